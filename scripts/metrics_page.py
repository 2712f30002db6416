"""Writes docs/metrics.md from the declarations: python scripts/metrics_page.py docs/metrics.md"""

from __future__ import annotations

import sys

from mindspore_federated.monitoring import SERVER_METRICS
from mindspore_federated.monitoring.reference import metrics_page
from mindspore_federated.scheduler.metrics import SCHEDULER_METRICS

if __name__ == "__main__":
    page = metrics_page({"Server": SERVER_METRICS, "Scheduler": SCHEDULER_METRICS})
    if len(sys.argv) > 1:
        with open(sys.argv[1], "w", encoding="utf-8") as file:
            file.write(page)
    else:
        sys.stdout.write(page)
