"""What asks a process to stop: SIGTERM, SIGINT, or the program itself."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopSignals:
    """A request to stop, made by `request` on any thread, or by a signal.

    While entered on the main thread both signals make it; elsewhere they are left alone. The previous
    handlers are restored on exit.
    """

    def __init__(self) -> None:
        self.number = 0  # of the last signal; 0 if the program asked
        self._requested = False  # no Event: a signal may come while this thread holds its lock
        self._previous: dict[signal.Signals, object] = {}

    @property
    def requested(self) -> bool:
        return self._requested

    @property
    def why(self) -> str:
        """What the log says about it."""
        return (
            f"Receive signal message {self.number} and begin exit"
            if self.number
            else "Stop was requested; begin exit"
        )

    def request(self) -> None:
        """Asks for the stop and returns at once. Harmless when repeated."""
        self._requested = True

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self.number = number
        self._requested = True

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                self._previous[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            # None stands for a handler that was not installed from Python and cannot be put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)  # type: ignore[arg-type]
        self._previous.clear()
