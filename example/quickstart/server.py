"""The Server's process: averages what the devices send. It needs no machine-learning library.

Usage: python server.py <job.yaml> <ip:port>
"""

import sys

import numpy as np

from mindspore_federated import FLServerJob


def initial_model(seed: int = 1) -> dict[str, np.ndarray]:
    """What the devices start from, under the names that scikit-learn's network has for its weights."""
    random = np.random.default_rng(seed)
    model = {
        "coefs_.0": random.normal(0, 0.15, (64, 100)),
        "intercepts_.0": np.zeros(100),
        "coefs_.1": random.normal(0, 0.15, (100, 10)),
        "intercepts_.1": np.zeros(10),
    }
    return {name: array.astype(np.float32) for name, array in model.items()}


if __name__ == "__main__":
    yaml_config, address = sys.argv[1:]
    FLServerJob(yaml_config, address).run(initial_model())
