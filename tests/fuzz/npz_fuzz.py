"""`.npz`: archives that are none, or unpack to more than they say; arrays of objects; headers that lie."""

from __future__ import annotations

import atheris
import numpy as np  # noqa: F401  before, so that all of it is not instrumented

with atheris.instrument_imports(include=["mindspore_federated.checkpoint", "zipfile"]):
    from model_file_target import read_and_write
from python_target import run

if __name__ == "__main__":
    run(read_and_write, ".npz")
