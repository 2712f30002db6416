"""The job's Redis for redis-py: clients, wherever it is; the names of the rows; a look at its memory."""

from __future__ import annotations

from mindspore_federated.cache.clients import AsyncCache, BlockingCache
from mindspore_federated.cache.keys import job_prefix
from mindspore_federated.cache.memory import MemoryTrouble, memory_trouble

__all__ = ["AsyncCache", "BlockingCache", "MemoryTrouble", "job_prefix", "memory_trouble"]
