"""The key `compatibility`: our behaviour or that of release 0.2, where there can't be both."""

from __future__ import annotations

import os

from mindspore_federated.config.errors import Problem, shown
from mindspore_federated.config.yaml_reader import Mapping, Scalar

KEY = "compatibility"
VARIABLE = "MSFL_COMPATIBILITY"
RELEASE_0_2 = "0.2"


def with_environment(root: Mapping) -> tuple[Mapping, list[Problem]]:
    """`root` with the value of the environment variable, where the file says nothing of its own."""
    value = os.environ.get(VARIABLE, "").strip()
    if KEY in root.entries or not value:
        return root, []
    if value != RELEASE_0_2:
        text = f"The environment variable {VARIABLE}, default of '{KEY}', has an unknown value"
        return root, [Problem(text, KEY, value=shown(value), allowed=f"{RELEASE_0_2}, or nothing")]
    node = Scalar(value, root.line, plain=False)
    return Mapping({**root.entries, KEY: node}, root.line), []


def asks_for_release_0_2(root: Mapping) -> bool:
    node = root.entries.get(KEY)
    return isinstance(node, Scalar) and release(node.value) == RELEASE_0_2


def release(value: object) -> object:
    """The name of a release, also where YAML has read a number."""
    return str(value) if isinstance(value, float) else value
