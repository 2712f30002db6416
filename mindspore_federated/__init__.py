"""Horizontal federated learning: Servers, Scheduler and devices. Successor of MindSpore Federated 0.2.

Importing this package loads nothing but itself; each name below is loaded at its first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mindspore_federated import log
    from mindspore_federated.startup import FLSchedulerJob
    from mindspore_federated.startup.callback import Callback, CallbackContext
    from mindspore_federated.startup.errors import (
        AddressInUse,
        CacheRefused,
        CacheUnavailable,
        Disagreement,
        JobError,
        Stopping,
    )
    from mindspore_federated.startup.feature_map import FeatureItem, FeatureMap
    from mindspore_federated.startup.fl_scheduler_job import FlSchedulerJob
    from mindspore_federated.startup.fl_server_job import FLServerJob
    from mindspore_federated.startup.ssl_config import SSLConfig

__version__ = "0.3.0"

__all__ = [
    "AddressInUse",
    "CacheRefused",
    "CacheUnavailable",
    "Callback",
    "CallbackContext",
    "Disagreement",
    "FLSchedulerJob",
    "FLServerJob",
    "FeatureItem",
    "FeatureMap",
    "FlSchedulerJob",
    "JobError",
    "SSLConfig",
    "Stopping",
    "log",
]

_MODULES = {
    "AddressInUse": "startup.errors",
    "CacheRefused": "startup.errors",
    "CacheUnavailable": "startup.errors",
    "Callback": "startup.callback",
    "CallbackContext": "startup.callback",
    "Disagreement": "startup.errors",
    "FLSchedulerJob": "startup",
    "FLServerJob": "startup.fl_server_job",
    "FeatureItem": "startup.feature_map",
    "FeatureMap": "startup.feature_map",
    "FlSchedulerJob": "startup.fl_scheduler_job",
    "JobError": "startup.errors",
    "SSLConfig": "startup.ssl_config",
    "Stopping": "startup.errors",
}

_NOT_YET = frozenset({"FederatedLearningManager", "HFLModel", "PushMetrics", "privacy"})


def __getattr__(name: str) -> object:
    if name in _MODULES:
        value = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
        globals()[name] = value
        return value
    if name == "log":
        return importlib.import_module(f"{__name__}.log")
    if name in _NOT_YET:
        # An AttributeError would become "cannot import name" and lose the reason.
        raise ImportError(f"{__name__}.{name} of MindSpore Federated 0.2 is not there yet in {__version__}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
