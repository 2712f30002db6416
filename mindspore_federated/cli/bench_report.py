"""What `msfl bench` prints: one object with everything that was measured, and the same for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TypedDict

from mindspore_federated.cli.output import print_pairs, print_table

if TYPE_CHECKING:
    from mindspore_federated._core import LoadLatency, LoadProgress, LoadReport

_BUSY = 0.9  # of one core
_EXPLANATIONS = {
    "job_over": "the job is disabled or finished",
    "interrupted": "interrupted",
    "no_connection": "no connection could be opened",
    "only_errors": "nothing but errors",
    "no_model": "startFLJob was answered without a model",
    "round_full": "the round was full all the time",
    "not_ready": "the Servers were not ready: they were in safemode, or an iteration was not over in time "
    "(does the job wait for more devices than there are?)",
    "no_answer": "nothing was answered any more",
}
# How a Server without a place for a connection looks from outside.
_CLOSED_UNANSWERED = (
    "closed by the Server between requests",
    "closed by the Server instead of an answer",
    "Connection reset by peer",
    "Broken pipe",
)
_SHARE_HINT = (
    "Connections were closed unanswered: limits.address_share, what one address may hold of a Server's "
    "connections, may have struck; 1.0 lifts it (docs/limits.md)."
)


class RoundReport(TypedDict):
    accepted: int
    refused: int
    not_ready: int
    failed: int
    bytes_sent: int
    bytes_received: int
    seconds: float
    per_second: float
    server_cpu_seconds: float | None
    latency_ms: LoadLatency | None
    refused_latency_ms: LoadLatency | None


class Report(TypedDict):
    """docs/cli.md describes it for users."""

    servers: list[str]
    loop: str
    rate: float | None
    devices: int
    connections: int
    ending: str
    explanation: str
    seconds: float
    iterations: int
    arrivals: int
    unanswered: int
    rounds: dict[str, RoundReport]
    updates_per_second: float
    mb_sent_per_second: float
    mb_received_per_second: float
    switch_ms: list[float]
    switch_server_cpu_seconds: float | None
    refusals: dict[str, int]
    errors: dict[str, int]
    connect_latency_ms: LoadLatency | None
    connections_opened: int
    idle_connections: int
    idle_lost: int
    model_bytes: int
    server_pids: list[int]
    server_cpu_seconds: float | None
    generator_cpu_seconds: float
    generator_was_the_limit: bool


def summarise(
    found: LoadReport,
    servers: Sequence[str],
    devices: int,
    connections: int,
    rate: float,
    pids: Sequence[int],
) -> Report:
    seconds = found["seconds"]
    rounds: dict[str, RoundReport] = {}
    sent = received = 0
    for name, counts in found["rounds"].items():
        sent += counts["bytes_sent"]
        received += counts["bytes_received"]
        if not any(counts[count] for count in ("accepted", "refused", "not_ready", "failed")):
            continue
        took = counts["seconds"] if not rate else seconds
        rounds[name] = {
            "accepted": counts["accepted"],
            "refused": counts["refused"],
            "not_ready": counts["not_ready"],
            "failed": counts["failed"],
            "bytes_sent": counts["bytes_sent"],
            "bytes_received": counts["bytes_received"],
            "seconds": took,
            "per_second": _per(counts["accepted"] + counts["refused"], took),
            "server_cpu_seconds": counts["server_cpu_seconds"] if pids and not rate else None,
            "latency_ms": counts["latency_ms"],
            "refused_latency_ms": counts["refused_latency_ms"],
        }
    explanation = _EXPLANATIONS.get(found["ending"], "")
    return {
        "servers": list(servers),
        "loop": "open" if rate else "closed",
        "rate": rate or None,
        "devices": devices,
        "connections": connections,
        "ending": found["ending"],
        "explanation": ": ".join(filter(None, (explanation, found["detail"] or _first_error(found)))),
        "seconds": seconds,
        "iterations": found["iterations"],
        "arrivals": found["arrivals"],
        "unanswered": found["unanswered"],
        "rounds": rounds,
        "updates_per_second": _per(found["rounds"]["updateModel"]["accepted"], seconds),
        "mb_sent_per_second": _per(sent / 1e6, seconds),
        "mb_received_per_second": _per(received / 1e6, seconds),
        "switch_ms": found["switch_ms"],
        "switch_server_cpu_seconds": found["switch_server_cpu_seconds"] if pids else None,
        "refusals": found["refusals"],
        "errors": found["errors"],
        "connect_latency_ms": found["connect_latency_ms"],
        "connections_opened": found["connections_opened"],
        "idle_connections": found["idle_connections"],
        "idle_lost": found["idle_lost"],
        "model_bytes": found["model_bytes"],
        "server_pids": list(pids),
        "server_cpu_seconds": found["server_cpu_seconds"] if pids else None,
        "generator_cpu_seconds": found["generator_cpu_seconds"],
        "generator_was_the_limit": seconds > 0 and found["generator_cpu_seconds"] > _BUSY * seconds,
    }


def _per(amount: float, seconds: float) -> float:
    return amount / seconds if seconds > 0 else 0.0


def _first_error(found: LoadReport) -> str:
    """The most frequent cause, where nothing else happened."""
    if found["ending"] not in ("no_connection", "only_errors", "no_answer") or not found["errors"]:
        return ""
    return max(found["errors"], key=lambda cause: found["errors"][cause])


def progress_line(now: LoadProgress) -> str:
    accepted = now["accepted"]
    rounds = ", ".join(f"{count:,} {name}" for name, count in accepted.items() if count)
    moved = (now["bytes_sent"] + now["bytes_received"]) / 1e6
    return (
        f"{now['seconds']:.1f} s  {now['iterations']} iterations  {rounds or 'connecting'}"
        f"  {now['refused']:,} refused  {now['failed']:,} failed  {moved:,.0f} MB"
    )


def may_have_met_address_share(errors: Iterable[str]) -> bool:
    """Whether connections were closed as beyond the share; a Server that has gone looks otherwise."""
    causes = list(errors)
    return any(cause.endswith(_CLOSED_UNANSWERED) for cause in causes) and not any(
        "Connection refused" in cause for cause in causes
    )


def show(report: Report, one_address: bool) -> None:
    """`one_address`: that the load has one address, as Servers see it."""
    closed = report["loop"] == "closed"
    rows = []
    for name, counts in report["rounds"].items():
        for kind, count, latency in (
            (name, counts["accepted"], counts["latency_ms"]),
            (f"{name}, refused", counts["refused"], counts["refused_latency_ms"]),
        ):
            if count or kind == name:
                rate = f"{_per(count, counts['seconds']):,.0f}"
                rows.append([kind, f"{count:,}", rate, *_latency_cells(latency)])
    if rows:
        print_table(["round", "count", "per s", "p50 ms", "p95 ms", "p99 ms", "max ms"], rows)
        print(
            "Latencies are service times under a closed load: a device sends when its turn comes, so a "
            "Server that stalls is asked less. --rate measures what devices would see."
            if closed
            else "Latencies run from the time at which each request was intended, so they hold its waiting "
            "for a connection."
        )
        print()
    print_pairs(_pairs(report))
    for title, causes in (("refusals", report["refusals"]), ("errors", report["errors"])):
        if causes:
            print()
            print_table(
                ["count", title], [[f"{causes[c]:,}", c] for c in sorted(causes, key=causes.__getitem__)]
            )
    if one_address and may_have_met_address_share(report["errors"]):
        print()
        print(_SHARE_HINT)
    if report["generator_was_the_limit"]:
        print()
        print("The load generator itself was the limit: it used more than 90 % of a core.")


def _latency_cells(latency: LoadLatency | None) -> list[str]:
    if latency is None:
        return ["-"] * 4
    times = (latency["p50"], latency["p95"], latency["p99"], latency["max"])
    return [f"{time:,.3g}" if time < 100 else f"{time:,.0f}" for time in times]


def _pairs(report: Report) -> list[tuple[str, str]]:
    pairs = [("seconds", f"{report['seconds']:.2f}")]
    if report["loop"] == "closed":
        pairs.append(("iterations", str(report["iterations"])))
    else:
        pairs.append(("devices arrived", f"{report['arrivals']:,}"))
    pairs += [
        ("updates/s", f"{report['updates_per_second']:,.1f}"),
        ("MB/s sent", f"{report['mb_sent_per_second']:,.1f}"),
        ("MB/s received", f"{report['mb_received_per_second']:,.1f}"),
    ]
    if report["switch_ms"]:
        ordered = sorted(report["switch_ms"])
        pairs.append(
            (
                "switch ms",
                f"{ordered[len(ordered) // 2]:,.1f} (worst {ordered[-1]:,.1f}), last update to next model",
            )
        )
    if report["unanswered"]:
        pairs.append(("unanswered", f"{report['unanswered']:,} at the end; not among the latencies"))
    if report["idle_connections"]:
        pairs.append(("idle connections", f"{report['idle_connections']:,} ({report['idle_lost']:,} lost)"))
    if report["server_cpu_seconds"] is not None:
        found = ", ".join(map(str, report["server_pids"]))
        pairs.append(("CPU s of Servers", f"{report['server_cpu_seconds']:.2f} (process {found})"))
    pairs.append(("CPU s of load", f"{report['generator_cpu_seconds']:.2f}"))
    if report["ending"] != "done":
        pairs.append(("ended", report["explanation"]))
    return pairs
