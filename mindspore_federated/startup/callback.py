"""Hooks into the life of a Server."""

from __future__ import annotations

from dataclasses import dataclass, field

from mindspore_federated import log
from mindspore_federated.startup.feature_map import FeatureMap


@dataclass
class CallbackContext:
    """What a hook is told about an iteration that has ended."""

    feature_map: FeatureMap = field(
        default_factory=FeatureMap
    )  # the model that iteration_num produced; read-only
    checkpoint_file: str = ""  # its recovery file; "" if none was due, or it could not be written
    fl_name: str = ""
    instance_name: str = ""  # i_{time}, as in the metrics and the management plane
    iteration_num: int = 0
    iteration_valid: bool = False
    iteration_result: str = ""  # the reason, for people


class Callback:
    """Subclass it and override what is of interest.

    Hooks run on the thread that called `FLServerJob.run`, or on the one that `start` made, after the cluster
    has moved on: a slow one delays nobody. What they raise is logged and never stops the job; a hook that
    wants to end it calls `FLServerJob.stop`.
    """

    def after_started(self) -> None:
        """The Server is registered and reachable."""

    def on_iteration_end(self, context: CallbackContext) -> None:
        """An iteration has ended, valid or not; only on the Server that wrote its metrics."""

    def before_stopped(self) -> None:
        """The Server has stopped serving, or could not be started."""


class Hooks:
    """Calls the user's hooks and survives them."""

    def __init__(self, callback: Callback | None) -> None:
        self._callback = Callback() if callback is None else callback

    def after_started(self) -> None:
        try:
            self._callback.after_started()
        except (Exception, SystemExit) as error:
            log.warning("Catch exception when invoke callback after started: %s", error)

    def on_iteration_end(self, context: CallbackContext) -> None:
        try:
            self._callback.on_iteration_end(context)
        except (Exception, SystemExit) as error:
            log.warning("Catch exception when invoke callback on iteration end: %s", error)

    def before_stopped(self) -> None:
        try:
            self._callback.before_stopped()
        except (Exception, SystemExit) as error:
            log.warning("Catch exception when invoke callback before stopped: %s", error)


def check_callback(value: object) -> None:
    """Raises RuntimeError unless `value` is None or a Callback."""
    if value is not None and not isinstance(value, Callback):
        raise RuntimeError(
            "Parameter 'callback' is expected to be instance of Callback when it's not None, "
            f"but got {type(value)}."
        )
