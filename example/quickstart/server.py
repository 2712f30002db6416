"""The Server's process: takes the updates of all devices and averages them.

Usage: python server.py <job.yaml> <ip:port>
"""

import sys

import digits

from mindspore_federated import FLServerJob

if __name__ == "__main__":
    yaml_config, address = sys.argv[1:]
    devices_digits, _ = digits.load()
    initial_weights = digits.trainer(devices_digits).get_weights()
    FLServerJob(yaml_config, address).run(
        {name: array.astype("float32") for name, array in initial_weights.items()}
    )
