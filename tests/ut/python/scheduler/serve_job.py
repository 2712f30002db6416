"""A Server in a process of its own. usage: serve_job.py <yaml> <ip:port> <checkpoint dir>"""

from __future__ import annotations

import sys

import numpy as np

from mindspore_federated import FeatureMap, FLServerJob


def main() -> None:
    config, address, checkpoint_dir = sys.argv[1:]
    model = FeatureMap()
    model.add_feature("w", np.arange(6, dtype=np.float32).reshape(2, 3))
    model.add_feature("fixed", np.array(5, np.float32), require_aggr=False)
    FLServerJob(config, address, checkpoint_dir=checkpoint_dir).run(model)


if __name__ == "__main__":
    main()
