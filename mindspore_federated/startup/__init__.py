"""The processes of a job as Python objects: Server and Scheduler, their model, hooks, passwords and cache."""

from __future__ import annotations

from mindspore_federated.startup.callback import Callback, CallbackContext
from mindspore_federated.startup.feature_map import FeatureItem, FeatureMap
from mindspore_federated.startup.fl_scheduler_job import FlSchedulerJob
from mindspore_federated.startup.fl_server_job import FLServerJob
from mindspore_federated.startup.ssl_config import SSLConfig

__all__ = [
    "Callback",
    "CallbackContext",
    "FLServerJob",
    "FeatureItem",
    "FeatureMap",
    "FlSchedulerJob",
    "SSLConfig",
]
