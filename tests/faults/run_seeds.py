"""Runs jobs to which things happen that are drawn from seeds; a seed draws the same things each time.

python tests/faults/run_seeds.py --seeds 1-1000
python tests/faults/run_seeds.py --seeds 17 --shrink
python tests/faults/run_seeds.py --faults '[{"after": 0.5, "kind": "kill", "server": 1, "seconds": 2}]'
"""

from __future__ import annotations

import argparse
import asyncio
import io
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "st"))

from fault_schedule import Fault, draw, read, shrink, write
from faulty_job import FaultyJob, Outcome


class Kind(NamedTuple):
    """Of job."""

    servers: int
    iterations: int
    replicas: int


async def outcome_of(faults: Sequence[Fault], kind: Kind) -> tuple[Outcome | None, str]:
    """The outcome, or nothing; and all that was said. Several may run at once."""
    said = io.StringIO()
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        try:
            job = FaultyJob(Path(folder), kind.servers, kind.iterations, kind.replicas, said)
            return await job.run(faults), said.getvalue()
        except Exception:  # whatever it is, the promise is broken
            traceback.print_exc(file=said)
            for log in sorted(Path(folder).glob("**/*.log")):
                text = log.read_text(errors="replace")[-6000:]
                print(f"---- {log.parent.name}/{log.name}\n{text}", file=said)
            return None, said.getvalue()


async def run(given: argparse.Namespace) -> int:
    broken = 0
    kind = Kind(given.servers, given.iterations, given.replicas)
    schedules = [
        (f"seed {seed}", draw(seed, given.servers, given.count, given.replicas)) for seed in given.seeds
    ]
    if given.faults:
        schedules = [("these", given.faults)]
    for name, faults in schedules:
        outcome, said = await outcome_of(faults, kind)
        if outcome is not None:
            print(
                f"{name}: ok, {outcome.failed} of {outcome.iterations} iterations failed, "
                f"{outcome.seconds:.1f} s",
                flush=True,
            )
            continue
        broken += 1
        print(f"{name}: BROKEN by {write(faults)}\n{said}", flush=True)
        if given.shrink:

            async def fails(some: Sequence[Fault]) -> bool:
                return (await outcome_of(some, kind))[0] is None

            print(f"{name}: enough is {write(await shrink(faults, fails))}", flush=True)
    print(f"{len(schedules) - broken} held, {broken} broken")
    return min(broken, 1)


def seeds(text: str) -> range:
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=seeds, default=range(1, 21), help="one, or first-last")
    parser.add_argument("--faults", type=read, help="JSON, as it is printed, instead of seeds")
    parser.add_argument("--count", type=int, default=6, help="faults of a run")
    parser.add_argument("--servers", type=int, default=3)
    parser.add_argument("--replicas", type=int, default=0, help="recovery.replicas")
    parser.add_argument("--iterations", type=int, default=25)
    parser.add_argument("--shrink", action="store_true", help="look for the few faults that do the harm")
    return asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
