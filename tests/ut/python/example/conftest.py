"""The modules of an example lie beside its scripts; tests import them from there."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[4] / "example" / "cross_device_lenet_femnist"
sys.path.insert(0, str(EXAMPLE))


@pytest.fixture
def example() -> Path:
    """The folder of the example, not to be written to."""
    return EXAMPLE
