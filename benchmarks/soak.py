"""10,000 iterations of a small job: memory, descriptors, threads, Redis and files must not grow.

10 devices, a model of 10 KB, a checkpoint for each iteration. A JSON line every 500 iterations. The Server
and Redis are compared at rest, after iteration 1,000 and after the last one: no device is connected, and the
rows of ended iterations (kept for a minute) have expired. While devices are at work there may be as many rows
as the iterations of the last minute have. Ends with 1 if anything has grown by more than `SLACK` beyond the
metrics lines, which are kept for 10,000 iterations.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from dataclasses import asdict, dataclass
from pathlib import Path

from harness import Cluster, merge_errors, parse_options, report, tensors

DEVICES = 10
MEGABYTES = 0.01
STEP = 100  # iterations of one run of the load generator
ROWS_LAST = 60  # seconds that rows of an ended iteration stay in the cache
ROWS_OF_ITERATION = 3
# Kept on purpose, by the Server and in Redis: the metrics lines of the newest iterations, some 1.1 KB each.
HISTORY_LENGTH = 10_000
HISTORY_LINE_MB = 0.00125

# How much more there may be at the end than after iteration 1,000.
SLACK = {
    "rss_mb": 4.0,
    "descriptors": 2.0,
    "threads": 0.0,
    "redis_memory_mb": 1.0,
    "redis_keys": 0.0,
    "files": 0.0,
}


@dataclass
class Sample:
    rss_mb: float
    descriptors: int
    threads: int
    redis_memory_mb: float
    redis_keys: int
    files: int


def measure(cluster: Cluster) -> Sample:
    process = Path(f"/proc/{cluster.server_pid}")
    status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    with cluster.redis() as client:
        redis_memory, redis_keys = client.info("memory")["used_memory"], client.dbsize()
    return Sample(
        rss_mb=round(int(status["VmRSS"].split()[0]) * 1024 / 1e6, 2),
        descriptors=len(list((process / "fd").iterdir())),
        threads=int(status["Threads"]),
        redis_memory_mb=round(redis_memory / 1e6, 2),
        redis_keys=redis_keys,
        files=sum(1 for path in cluster.folder.rglob("*") if path.is_file()),
    )


def rest() -> None:
    time.sleep(ROWS_LAST + 5)


class Soak:
    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._done = 0
        self._errors: list[dict[str, dict[str, int]]] = []
        self._ended: deque[float] = deque()  # times at which STEP iterations had ended
        self.faults: list[str] = []

    def run_to(self, iterations: int, line_every: int) -> None:
        began, first = time.monotonic(), self._done
        while self._done < iterations:
            load = self._cluster.load(DEVICES, DEVICES, STEP, "start,update,model")
            self._errors.append({"errors": load["errors"]})
            self._done += STEP
            self._ended.append(time.monotonic())
            if self._done % line_every == 0:
                self._line("at work", rate=round((self._done - first) / (time.monotonic() - began), 1))
                began, first = time.monotonic(), self._done

    def at_rest(self) -> Sample:
        rest()
        return self._line("at rest", rate=0.0)

    def _line(self, case: str, rate: float) -> Sample:
        sample = measure(self._cluster)
        while self._ended and self._ended[0] < time.monotonic() - ROWS_LAST - 2:
            self._ended.popleft()
        # Redis removes what has expired in its own time; up to a tenth of it is still there.
        most = 50 + 1.15 * ROWS_OF_ITERATION * STEP * (len(self._ended) + 1)
        if sample.redis_keys > most:
            self.faults.append(
                f"{sample.redis_keys} keys in Redis after iteration {self._done}, expected {most}"
            )
        report(
            "soak",
            case,
            1,
            iterations=self._done,
            iterations_per_second=rate,
            errors=merge_errors(self._errors),
            **asdict(sample),
        )
        return sample


def main() -> None:
    options = parse_options(__doc__ or "")
    warm, last, line_every = (200, 600, 200) if options.quick else (1_000, 10_000, 500)
    with Cluster(tensors(MEGABYTES), threshold=DEVICES, checkpoints=True) as cluster:
        soak = Soak(cluster)
        soak.run_to(warm, line_every)
        before = asdict(soak.at_rest())
        soak.run_to(last, line_every)
        after = asdict(soak.at_rest())
    history = HISTORY_LINE_MB * (min(last, HISTORY_LENGTH) - min(warm, HISTORY_LENGTH))
    for name, slack in SLACK.items():
        slack += history if name in ("rss_mb", "redis_memory_mb") else 0
        if after[name] > before[name] + slack:
            soak.faults.append(
                f"{name} has grown from {before[name]} to {after[name]}, allowed is {slack:.1f} more"
            )
    if soak.faults:
        sys.exit("\n".join(soak.faults))


if __name__ == "__main__":
    main()
