"""A simulation as it is seen in a terminal, or as JSON lines."""

from __future__ import annotations

import json
from typing import IO

from mindspore_federated.simulation.reports import IterationReport, Summary


class Progress:
    """One line for each iteration, written as it ends, and a summary. `as_json`: an object a line, with
    `"kind": "iteration"` or `"summary"`. `file`: where to; None is the standard output."""

    def __init__(self, as_json: bool = False, file: IO[str] | None = None) -> None:
        from rich.console import Console

        self._as_json = as_json
        self._console = Console(file=file, highlight=False, soft_wrap=True)

    def iteration(self, report: IterationReport) -> None:
        """As `on_iteration` of `run`."""
        if self._as_json:
            self._write_json("iteration", report.as_json())
            return
        rates = report.as_json()
        parts = [
            f"iteration {report.iteration:4}",
            f"{report.updates:6} updates",
            f"{rates['updates_per_second']:8.1f}/s",
            f"{rates['mb_up_per_second']:8.2f} MB/s up",
            f"{rates['mb_down_per_second']:8.2f} MB/s down",
            *_learnt(report.loss, report.accuracy),
        ]
        if report.dropped:
            parts.append(f"{report.dropped} vanished")
        self._write("  ".join(parts))
        self._errors(report.errors)

    def summary(self, summary: Summary) -> None:
        if self._as_json:
            self._write_json("summary", summary.as_json())
            return
        end = "the job has finished" if summary.finished else "stopped"
        self._write(
            f"{end}: {summary.devices} devices, {summary.iterations} iterations, {summary.updates} updates "
            f"in {summary.seconds:.1f} s, {summary.updates_per_second:.1f}/s while iterations ran, "
            f"{summary.mb_up:.1f} MB up, "
            f"{summary.mb_down:.1f} MB down, {summary.memory_mb:.0f} MB of memory"
        )
        learnt = _learnt(summary.loss, summary.accuracy)
        if learnt:
            self._write("last iteration: " + "  ".join(learnt))
        self._errors(summary.errors)

    def _errors(self, errors: dict[str, int]) -> None:
        for cause, count in sorted(errors.items(), key=lambda item: -item[1])[:5]:
            self._write(f"    {count:6} x {cause}")

    def _write(self, line: str) -> None:
        self._console.print(line, markup=False)

    def _write_json(self, kind: str, values: dict[str, object]) -> None:
        self._write(json.dumps({"kind": kind, **values}))


def _learnt(loss: float | None, accuracy: float | None) -> list[str]:
    values = {"loss": loss, "accuracy": accuracy}
    return [f"{name} {value:.4f}" for name, value in values.items() if value is not None]
