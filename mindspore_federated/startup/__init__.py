"""The processes of a job as Python objects: Server and Scheduler, their model, hooks, passwords and cache."""

from __future__ import annotations

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

FLSchedulerJob = FlSchedulerJob  # the older spelling differs from that of FLServerJob

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
]
