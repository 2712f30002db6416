"""What a process tells monitoring systems: its metrics in Prometheus' format, and whether it is ready."""

from __future__ import annotations

from mindspore_federated.monitoring.endpoint import MonitoringEndpoint
from mindspore_federated.monitoring.exposition import CONTENT_TYPE, exposition, new_registry
from mindspore_federated.monitoring.metric import Metric
from mindspore_federated.monitoring.readiness import readiness
from mindspore_federated.monitoring.server_metrics import SERVER_METRICS, ServerCollector, ServerView

__all__ = [
    "CONTENT_TYPE",
    "SERVER_METRICS",
    "Metric",
    "MonitoringEndpoint",
    "ServerCollector",
    "ServerView",
    "exposition",
    "new_registry",
    "readiness",
]
