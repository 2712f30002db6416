"""A metric as it is declared, once, for the collector and for docs/metrics.md."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    SummaryMetricFamily,
)
from prometheus_client.core import (
    Metric as Family,
)

BASE_LABEL = "fl_name"
_SUFFIXES = {
    "counter": ("_total",),
    "summary": ("_count", "_sum"),
    "histogram": ("_bucket", "_count", "_sum"),
}

_FAMILIES: dict[str, Callable[..., Family]] = {
    "counter": CounterMetricFamily,
    "gauge": GaugeMetricFamily,
    "histogram": HistogramMetricFamily,
    "summary": SummaryMetricFamily,
}


@dataclass(frozen=True)
class Metric:
    """Name, kind, meaning and labels of a metric; each has the label `fl_name` too."""

    name: str  # as samples of a counter carry it, `_total` included
    kind: str  # counter, gauge, histogram, summary
    doc: str  # one sentence; states the unit unless the name does
    labels: Sequence[str] = ()

    @property
    def sample_names(self) -> tuple[str, ...]:
        """What stands in the exposition."""
        if self.kind == "counter":
            return (self.name,)
        return tuple(self.name + suffix for suffix in _SUFFIXES.get(self.kind, ("",)))

    def family(self) -> Family:
        """An empty family of samples."""
        name = self.name[: -len("_total")] if self.kind == "counter" else self.name
        return _FAMILIES[self.kind](name, self.doc, labels=[BASE_LABEL, *self.labels])
