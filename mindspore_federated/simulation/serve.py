"""The process of a simulation's own Server: ends when its standard input does, so that it outlives nobody.

python -m mindspore_federated.simulation.serve <job.yaml> <ip:port> <checkpoint folder> <model.npz>
"""

from __future__ import annotations

import os
import signal
import sys
import threading

import numpy as np

from mindspore_federated.startup import FLServerJob


def main() -> None:
    config, address, checkpoint_dir, model = sys.argv[1:]
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with np.load(model) as arrays:
        weights = dict(arrays.items())
    FLServerJob(config, address, checkpoint_dir=checkpoint_dir).run(weights)


def _end_with_parent() -> None:
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
