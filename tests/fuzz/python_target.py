"""What the fuzz targets in Python share: a file for the input, limits of memory, the start of atheris."""

from __future__ import annotations

import logging
import os
import resource
import sys
import tempfile
from collections.abc import Callable

import atheris

# Beyond what any input of 64 KB may cost; the interpreter and NumPy take most of it.
ADDRESS_SPACE = 4 << 30


def run(read: Callable[[str], None], suffix: str) -> None:
    """Calls `read` with the path of a file that holds the input; what it raises is a finding."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    logging.disable(logging.CRITICAL)
    folder = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.NamedTemporaryFile(suffix=suffix, dir=folder) as file:

        def one(data: bytes) -> None:
            file.seek(0)
            file.write(data)
            file.truncate()
            file.flush()
            read(file.name)

        atheris.Setup(sys.argv, one)
        atheris.Fuzz()
