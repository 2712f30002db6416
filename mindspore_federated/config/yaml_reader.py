"""Reads a YAML file into plain nodes with line numbers, safely.

PyYAML parses and resolves scalars (YAML 1.1, as the reference does); nothing but str, int, float, bool,
null, dates, lists and mappings can come out. Refused: duplicate keys, tags of other types, files beyond the
limits below.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Union

import yaml
from yaml.constructor import SafeConstructor

from mindspore_federated.config.errors import ConfigError, ConfigSyntaxError, Problem, file_suffix

MAX_FILE_BYTES = 256 * 1024
MAX_NUMBER = 400  # characters; one in base 60 ("1:30:00") takes quadratic time, and Python can't even show it
MAX_NODES = 20_000  # counted with every alias followed, so that nested aliases cannot explode

_TAGS = frozenset(
    f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "null", "timestamp", "map", "seq")
)
_NUMBERS = frozenset(f"tag:yaml.org,2002:{kind}" for kind in ("int", "float"))
_EXPONENT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+")
_MERGE_TAG = "tag:yaml.org,2002:merge"


@dataclass(frozen=True)
class Scalar:
    """A value. `plain` is False for quoted text, which is never read as a number."""

    value: object
    line: int
    plain: bool


@dataclass(frozen=True)
class Sequence:
    """A list; no key of ours takes one, so that its items are not kept."""

    line: int


@dataclass(frozen=True)
class Mapping:
    """Keys in the order of the file. Values have the line of their own key."""

    entries: dict[str, Node]
    line: int


Node = Union[Scalar, Sequence, Mapping]


class _Reader:
    def __init__(self, file: str) -> None:
        self.file = file
        self.nodes = 0
        self.constructor = SafeConstructor()

    def refuse(self, text: str, line: int) -> ConfigSyntaxError:
        message = f"{text}, in {self.file}, line {line}{file_suffix(self.file)}"
        return ConfigSyntaxError(self.file, [Problem(message)])

    def convert(self, node: yaml.Node, line: int) -> Node:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise self.refuse(f"More than {MAX_NODES} values", line)
        if node.tag not in _TAGS:
            raise self.refuse(f"The tag '{node.tag}' is not allowed in a configuration", line)
        if isinstance(node, yaml.MappingNode):
            return Mapping(self.entries(node), line)
        if not isinstance(node, yaml.ScalarNode):
            return Sequence(line)
        if node.tag in _NUMBERS and len(node.value) > MAX_NUMBER:
            raise self.refuse(f"A number of more than {MAX_NUMBER} characters", line)
        try:
            value = self.constructor.construct_object(node)
        except (yaml.YAMLError, ValueError, OverflowError) as error:
            raise self.refuse(f"'{node.value[:40]}' cannot be read ({error})", line) from error
        except (
            AttributeError,
            IndexError,
            KeyError,
        ) as error:  # PyYAML's, where an explicit tag does not fit
            tag = node.tag.replace("tag:yaml.org,2002:", "!!")
            raise self.refuse(f"'{node.value[:40]}' is not what its tag {tag} says", line) from error
        return Scalar(value, line, plain=node.style is None)

    def entries(self, mapping: yaml.MappingNode) -> dict[str, Node]:
        entries: dict[str, Node] = {}
        inherited: dict[str, Node] = {}
        for key_node, value_node in mapping.value:
            line = key_node.start_mark.line + 1
            if key_node.tag == _MERGE_TAG:
                self.merge(value_node, inherited, line)
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                raise self.refuse("A key must be a plain word", line)
            key = str(key_node.value)
            if key in entries:
                raise self.refuse(
                    f"The key '{key}' stands here a second time (first in line {entries[key].line})", line
                )
            entries[key] = self.convert(value_node, line)
        return {**inherited, **entries}

    def merge(self, value: yaml.Node, into: dict[str, Node], line: int) -> None:
        sources = value.value if isinstance(value, yaml.SequenceNode) else [value]
        for source in sources:
            node = self.convert(source, line)
            if not isinstance(node, Mapping):
                raise self.refuse("'<<' takes a mapping or a list of mappings", line)
            for key, inherited in node.entries.items():
                into.setdefault(key, inherited)


def _compose(content: bytes, file: str) -> yaml.Node | None:
    loader = yaml.SafeLoader(content)
    loader.name = file  # in the parser's messages, instead of "<byte string>"
    try:
        return loader.get_single_node()
    finally:
        loader.dispose()


def read_yaml(file: str) -> Mapping:
    """Reads `file`, whose top level must be a mapping.

    Raises:
        ConfigError: the file is absent, unreadable, or its top level is no mapping.
        ConfigSyntaxError: it is not YAML, too large, or has duplicate keys or foreign tags.
    """
    try:
        with open(file, "rb") as stream:
            content = stream.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError(file, [Problem(f"yaml config file {file} not exist")]) from None
    except (OSError, ValueError) as error:
        raise ConfigError(file, [Problem(f"yaml config file {file} cannot be read: {error}")]) from None
    if len(content) > MAX_FILE_BYTES:
        text = f"The file is larger than {MAX_FILE_BYTES} bytes{file_suffix(file)}"
        raise ConfigSyntaxError(file, [Problem(text)])
    try:
        root = _compose(content, file)
        node = None if root is None else _Reader(file).convert(root, root.start_mark.line + 1)
    except ConfigError:
        raise
    except yaml.YAMLError as error:
        # The message says it all; pages of the parser's innards would hide it.
        raise ConfigSyntaxError(file, [Problem(f"{error}{file_suffix(file)}")]) from None
    except RecursionError:
        raise ConfigSyntaxError(
            file, [Problem(f"The file is nested too deeply{file_suffix(file)}")]
        ) from None
    if not isinstance(node, Mapping):
        text = f"Expect content of yaml config file {file} is of the dict type{file_suffix(file)}"
        raise ConfigError(file, [Problem(text)])
    return node


def looks_like_float(text: str) -> bool:
    """Whether `text` is a number of YAML 1.2 that YAML 1.1 takes for a string, such as ``1e-1``."""
    return _EXPONENT.fullmatch(text) is not None
