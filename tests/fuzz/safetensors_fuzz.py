"""`.safetensors`: lengths of the header, offsets, names and types that lie."""

from __future__ import annotations

import atheris

with atheris.instrument_imports(include=["mindspore_federated.checkpoint", "safetensors"]):
    from model_file_target import read_and_write
from python_target import run

if __name__ == "__main__":
    run(read_and_write, ".safetensors")
