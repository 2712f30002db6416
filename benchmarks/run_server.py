"""One Server of a benchmark, in a process of its own.

run_server.py CONFIG ADDRESS CHECKPOINT_DIR NAME=ELEMENTS...

An empty CHECKPOINT_DIR: writes no recovery checkpoints, which is for measuring only; a job always has them.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from mindspore_federated import FLServerJob
from mindspore_federated.checkpoint.recovery import RecoveryStore


def main() -> None:
    config, address, checkpoint_dir, *features = sys.argv[1:]
    model: dict[str, np.ndarray] = {}
    for feature in features:
        name, elements = feature.rsplit("=", 1)
        model[name] = np.linspace(-1, 1, int(elements), dtype=np.float32)
    if not checkpoint_dir:
        checkpoint_dir = tempfile.gettempdir() + "/msfl-bench-no-checkpoints"
        RecoveryStore.save = lambda self, *_arguments: ""  # type: ignore[method-assign]
    job = FLServerJob(yaml_config=config, http_server_address=address, checkpoint_dir=checkpoint_dir)
    # From a file, so that the Server's memory is the Server's: what a script passes, it keeps itself.
    file = Path(config).with_name("start_model.safetensors")
    save_file(model, file)
    model.clear()
    job.run(str(file))


if __name__ == "__main__":
    main()
