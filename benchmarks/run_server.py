"""One Server of a benchmark, in a process of its own.

run_server.py CONFIG ADDRESS CHECKPOINT_DIR NAME=ELEMENTS...
"""

from __future__ import annotations

import sys

import numpy as np

from mindspore_federated import FLServerJob


def main() -> None:
    config, address, checkpoint_dir, *features = sys.argv[1:]
    model = {}
    for feature in features:
        name, elements = feature.rsplit("=", 1)
        model[name] = np.linspace(-1, 1, int(elements), dtype=np.float32)
    job = FLServerJob(yaml_config=config, http_server_address=address, checkpoint_dir=checkpoint_dir)
    job.run(model)


if __name__ == "__main__":
    main()
