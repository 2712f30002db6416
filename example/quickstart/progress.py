"""What a person sees of the job: a line for each iteration, a bar if there is a terminal, and a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar


@dataclass(frozen=True)
class Iteration:
    number: int
    participants: int
    loss: float  # of the devices on their own digits
    accuracy: float  # of the shared model on digits that no device has seen


class Progress:
    """Use as `with`. Without a terminal it writes plain lines only."""

    def __init__(self, iterations: int) -> None:
        console = Console(highlight=False)
        columns = (TextColumn("federated training"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._iterations = iterations
        self._bar = Bar(*columns, console=console, disable=not console.is_terminal, transient=True)
        self._task = self._bar.add_task("", total=iterations)

    def __enter__(self) -> Progress:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def show(self, iteration: Iteration) -> None:
        self._bar.console.print(
            f"iteration {iteration.number:2}/{self._iterations}   {iteration.participants} devices   "
            f"loss {iteration.loss:.4f}   accuracy {iteration.accuracy:.4f}"
        )
        self._bar.advance(self._task)


def plot(iterations: Sequence[Iteration], file: Path) -> None:
    """Draws accuracy over iterations as a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.ticker import MaxNLocator

    figure, axes = pyplot.subplots(figsize=(8, 4.5), layout="constrained")
    axes.plot([i.number for i in iterations], [i.accuracy for i in iterations], marker="o")
    axes.axhline(0.95, linestyle="--", linewidth=1, color="grey")
    axes.set(
        title=f"Handwritten digits, {iterations[-1].participants} devices",
        xlabel="iteration",
        ylabel="accuracy on held-out digits",
    )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    figure.savefig(file, dpi=120)
    pyplot.close(figure)
