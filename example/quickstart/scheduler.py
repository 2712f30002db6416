"""The Scheduler's process: tells an operator how the job is doing.

Usage: python scheduler.py <job.yaml> <ip:port>, then: curl http://<ip:port>/state
"""

import sys

from mindspore_federated import FlSchedulerJob

if __name__ == "__main__":
    yaml_config, address = sys.argv[1:]
    FlSchedulerJob(yaml_config, address).run()
