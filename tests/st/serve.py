"""One Server in a process of its own, for devices and other Servers at the same IP address.

Usage: python serve.py <job.yaml> <ip:port> <checkpoint folder> <model.npz> [feature not to be aggregated ...]
"""

import sys

import numpy as np

from mindspore_federated import FeatureMap, FLServerJob


def main() -> None:
    config, address, checkpoint_dir, model, *frozen = sys.argv[1:]
    feature_map = FeatureMap()
    with np.load(model) as arrays:
        for name, array in arrays.items():
            feature_map.add_feature(name, array, require_aggr=name not in frozen)
    host = address.rpartition(":")[0]
    FLServerJob(config, address, tcp_server_ip=host, checkpoint_dir=checkpoint_dir).run(feature_map)


if __name__ == "__main__":
    main()
