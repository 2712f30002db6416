"""The management plane: answers operators over HTTP from the job's record in the cache."""

from __future__ import annotations

from mindspore_federated.scheduler.run import run_scheduler

__all__ = ["run_scheduler"]
