"""A process's registry and its text. No registry is global: a process may run several jobs."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def new_registry() -> CollectorRegistry:
    """A registry that already tells of the process itself: memory, CPU seconds, open files, start time."""
    registry = CollectorRegistry(auto_describe=True)
    ProcessCollector(registry=registry)
    return registry


def exposition(registry: CollectorRegistry) -> bytes:
    """The metrics of `registry` as they are now, in Prometheus' text format (`CONTENT_TYPE`)."""
    return generate_latest(registry)
