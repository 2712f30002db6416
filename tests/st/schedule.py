"""The Scheduler in a process of its own.

Usage: python schedule.py <job.yaml> <ip:port>
"""

import sys

from mindspore_federated import FlSchedulerJob

if __name__ == "__main__":
    FlSchedulerJob(*sys.argv[1:]).run()
