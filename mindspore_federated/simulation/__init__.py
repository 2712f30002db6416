"""Many devices on one machine: the engine of `msfl simulate`.

    from mindspore_federated.simulation import Options, run
    summary = run(Options(addresses=("http://10.0.0.1:6666",), devices=2000))        # load
    summary = run(Options(server=True, devices=100, trainer="digits", iterations=20))  # real training

Every device has an identity and a connection of its own; what they share is the process, and with it the
memory of what is the same for all of them: the model they download and, as load, the weights they upload.
"""

from mindspore_federated.simulation.engine import run
from mindspore_federated.simulation.options import Options
from mindspore_federated.simulation.reports import IterationReport, Summary

__all__ = ["IterationReport", "Options", "Summary", "run"]
