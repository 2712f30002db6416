"""docs/metrics.md as text, from the declarations of the metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mindspore_federated.monitoring.metric import BASE_LABEL, Metric
from mindspore_federated.monitoring.server_metrics import (
    COMBINATION_RESULTS,
    FETCH_RESULTS,
    LATENCY_BOUNDS_US,
    ROUNDS,
    STATES,
)

_HEAD = """# Metrics

<!-- Made by `python scripts/metrics_page.py docs/metrics.md`: change the declarations in
mindspore_federated/monitoring and mindspore_federated/scheduler instead of this page. -->

A Server answers Prometheus at an address of its own, which is off by default:

```yaml
monitoring:
  address: 127.0.0.1:9090      # or FLServerJob(..., monitoring_address="127.0.0.1:0"): any port that is free
```

The Scheduler answers at its management address. What is asked with GET:

| Path | Process | Answer |
|---|---|---|
| `/metrics` | Server, Scheduler | the metrics below, and `process_*`: CPU, memory, files, start time |
| `/healthz` | Server | 200 as long as the process lives, and its status |
| `/readyz` | Server | 200 if a load balancer should send devices here, else 503 with the reason |

```sh
curl -s http://127.0.0.1:9090/readyz
```

```json
{"ready":false,"reason":"The server is starting.","status":"starting"}
```

Ready are `serving`, `disabled` and `finished`: a Server that is disabled or finished hands out its model and
tells devices what they need to know. Not ready are `starting`, `safemode`, `stopping` and `stopped`. The
monitoring address is served from the start of the job on, so that a Server that waits for Redis can be told
from one that hangs, and by a thread of its own: whoever asks, however slowly, holds up no device. It asks for
no password: keep it to the operators' network.

Counts start at 0 with the process; those of a Server count what this Server did. A count whose source is not
there, such as those of the core before the Server is up, is left out. The unit stands in the name; times are
seconds.
"""


def metrics_page(processes: Mapping[str, Sequence[Metric]]) -> str:
    """The whole page, Markdown; `processes` are the metrics by the process that has them."""
    lines = [_HEAD]
    for process, metrics in processes.items():
        lines += [f"## {process}", "", f"Each sample has the label `{BASE_LABEL}`.", ""]
        lines += ["| Name | Kind | Further labels | Meaning |", "|---|---|---|---|"]
        for metric in metrics:
            labels = ", ".join(f"`{label}`" for label in metric.labels) or "-"
            lines.append(f"| `{metric.name}` | {metric.kind} | {labels} | {metric.doc} |")
        lines.append("")
    bounds = ", ".join(f"{bound / 1e6:g}" for bound in LATENCY_BOUNDS_US)
    lines += [
        "## Labels",
        "",
        "| Label | Values |",
        "|---|---|",
        f"| `state` of a Server | {', '.join(f'`{state}`' for state in STATES)} |",
        f"| `round` | {', '.join(f'`{wire}`' for wire in ROUNDS.values())} |",
        "| `result` of a round | `accepted`, `rejected` |",
        "| `result` of an iteration | `valid`, `failed` |",
        f"| `result` of a combination | {', '.join(f'`{result}`' for result in COMBINATION_RESULTS)} |",
        f"| `result` of a model fetch | {', '.join(f'`{result}`' for result in FETCH_RESULTS)} |",
        "| `reason` | `safemode`, `disabled` |",
        f"| `le` of the latencies | {bounds}, +Inf |",
        "",
    ]
    return "\n".join(lines).rstrip("\n") + "\n"
