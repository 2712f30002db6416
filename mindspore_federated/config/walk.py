"""Walks a configuration file beside the typed model: what is absent, of the wrong kind, or unknown.

Yields plain values for pydantic, which checks types and ranges; `problems.py` puts its findings into words.
"""

from __future__ import annotations

import difflib
import typing
from collections.abc import Iterator

from pydantic.fields import FieldInfo

from mindspore_federated.config.compatibility import asks_for_release_0_2
from mindspore_federated.config.errors import Problem, file_suffix, missing, shown, wrong_type
from mindspore_federated.config.keys import Section
from mindspore_federated.config.model import Encrypt, ServerConfig
from mindspore_federated.config.yaml_reader import Mapping, Node, Scalar, looks_like_float

_TYPE_NAMES = {bool: "bool", int: "int", float: "float", str: "str", dict: "dict"}
_SELECTED_BY = {
    "encrypt.pw_encrypt": ("PW_ENCRYPT", "STABLE_PW_ENCRYPT"),
    "encrypt.dp_encrypt": ("DP_ENCRYPT",),
    "encrypt.signds": ("SIGNDS",),
    "encrypt.laplace_eval": ("LAPLACE",),
}
_CLOSE = 0.8  # of difflib's ratio: one or two letters of a usual key


def section_type(field: FieldInfo) -> type[Section] | None:
    """The class of a mapping; None for a key that holds a value."""
    for candidate in (field.annotation, *typing.get_args(field.annotation)):
        if isinstance(candidate, type) and issubclass(candidate, Section):
            return candidate
    return None


def scalar_type(field: FieldInfo) -> str:
    """int, float, bool or str, as in the messages."""
    return _TYPE_NAMES.get(field.annotation, "str") if isinstance(field.annotation, type) else "str"


def dotted_keys(model: type[Section], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """All keys of `model` in the order of declaration, sections before what is in them."""
    for name, field in model.model_fields.items():
        yield prefix + name, field
        inner = section_type(field)
        if inner is not None:
            yield from dotted_keys(inner, f"{prefix}{name}.")


def kind_of(node: Node | None) -> str:
    """What stands in the file, as messages name it."""
    if node is None:
        return "nothing"
    if isinstance(node, Mapping):
        return "dict"
    if not isinstance(node, Scalar):
        return "list"
    if node.value is None:
        return "null"
    return _TYPE_NAMES.get(type(node.value), type(node.value).__name__)


# What release 0.2 documents as a key and does not read.
_ARGUMENTS = {"checkpoint_dir": "it is an argument of FLServerJob"}


class Walk:
    """The plain values of one file for one model, and what was found on the way."""

    def __init__(self, root: Mapping, model: type[Section], file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self.lines: dict[str, int] = {}
        self._known_below_encrypt = {key.rpartition(".")[2] for key, _ in dotted_keys(Encrypt)} | {
            "encrypt_type"
        }
        self._other_roles = set(ServerConfig.model_fields) - set(model.model_fields)
        self._as_release_0_2 = asks_for_release_0_2(root)
        self.values = self._section(model, root, "", root.line)

    def _section(self, model: type[Section], mapping: Mapping, prefix: str, line: int) -> dict[str, object]:
        if model is Encrypt:
            mapping = self._with_one_name(mapping)
        for name, node in mapping.entries.items():
            if name not in model.model_fields:
                self._unknown(name, node, model, prefix)
        values: dict[str, object] = {}
        for name, field in model.model_fields.items():
            key, found = prefix + name, mapping.entries.get(name)
            self.lines[key] = line if found is None else found.line
            inner = section_type(field)
            if inner is not None:
                if self._is_read(key, values, found):
                    values[name] = self._section(inner, self._mapping(key, found), f"{key}.", self.lines[key])
                elif isinstance(found, Mapping):
                    self._strays(inner, found, f"{key}.")
            else:
                self._scalar(key, field, found, values)
        return values

    def _is_read(self, key: str, values: dict[str, object], found: Node | None) -> bool:
        if key == "ssl":
            return values.get("enable_ssl") is True
        if key in _SELECTED_BY:
            chosen = (values.get("encrypt_train_type"), values.get("privacy_eval_type"))
            return any(choice in _SELECTED_BY[key] for choice in chosen)
        return True

    def _mapping(self, key: str, found: Node | None) -> Mapping:
        if isinstance(found, Mapping):
            return found
        if kind_of(found) not in ("nothing", "null"):
            assert found is not None
            text = wrong_type(key, "dict", kind_of(found), self.file)
            self._problem(text, key, found, "a mapping: keys below it, indented")
        return Mapping({}, self.lines[key])

    def _scalar(self, key: str, field: FieldInfo, found: Node | None, values: dict[str, object]) -> None:
        expected, kind = scalar_type(field), kind_of(found)
        value = found.value if isinstance(found, Scalar) else None
        if kind == "dict":
            self._problem(
                wrong_type(key, expected, kind, self.file), key, found, f"a value of type {expected}"
            )
        elif kind in _TYPE_NAMES.values() and value != "":
            if expected == "float" and isinstance(found, Scalar) and found.plain and isinstance(value, str):
                value = float(value) if looks_like_float(value) else value
            values[key.rpartition(".")[2]] = value
        elif field.is_required():
            self._problem(missing(key, self.file), key, found, f"a value of type {expected}")
        elif kind not in ("nothing", "null") and value != "":
            self._problem(
                wrong_type(key, expected, kind, self.file), key, found, f"a value of type {expected}"
            )

    def _problem(self, text: str, key: str, found: Node | None, allowed: str) -> None:
        value = None
        if found is not None:
            value = (
                shown(found.value)
                if isinstance(found, Scalar) and found.value is not None
                else kind_of(found)
            )
        self.problems.append(Problem(text, key=key, line=self.lines[key], value=value, allowed=allowed))

    def _with_one_name(self, mapping: Mapping) -> Mapping:
        """encrypt_type (r0.1) and encrypt_train_type (0.2) are one key; different values are a mistake."""
        entries = dict(mapping.entries)
        older = entries.pop("encrypt_type", None)
        if older is None:
            return mapping
        newer = entries.get("encrypt_train_type")
        if newer is None:
            entries["encrypt_train_type"] = older
        elif not (isinstance(newer, Scalar) and isinstance(older, Scalar) and newer.value == older.value):
            text = (
                "The parameters 'encrypt.encrypt_type' and 'encrypt.encrypt_train_type' are two names of one "
                f"thing and differ{file_suffix(self.file)}"
            )
            value = f"{_brief(older)} and {_brief(newer)}"
            key = "encrypt.encrypt_train_type"
            allowed = "one of the two, or both with the same value"
            self.problems.append(Problem(text, key, newer.line, value, allowed))
        return Mapping(entries, mapping.line)

    def _unknown(self, name: str, node: Node, model: type[Section], prefix: str) -> None:
        key = prefix + name
        if not prefix and name in self._other_roles:
            return
        if key in _ARGUMENTS:
            text = f"The parameter '{key}' is not read from the file{file_suffix(self.file)}"
            self.warnings.append(Problem(text, key, node.line, _kind_only(node), _ARGUMENTS[key]))
            return
        known = [*model.model_fields, *(["encrypt_type"] if model is Encrypt else [])]
        close = difflib.get_close_matches(name, known, n=1, cutoff=_CLOSE)
        protects = prefix.startswith("encrypt.") or name in self._known_below_encrypt
        refused = (close or protects) and not self._as_release_0_2
        text = f"The parameter '{key}' is unknown{file_suffix(self.file)}"
        if close:
            allowed = f"did you mean '{close[0]}'?"
        elif name in self._known_below_encrypt and not prefix.startswith("encrypt."):
            allowed = f"'{name}' belongs below 'encrypt'"
        else:
            allowed = ", ".join(known)
        problem = Problem(text, key=key, line=node.line, value=_kind_only(node), allowed=allowed)
        (self.problems if refused else self.warnings).append(problem)

    def _strays(self, model: type[Section], mapping: Mapping, prefix: str) -> None:
        """A section that is not selected may contain anything; what it cannot know is worth a warning."""
        for name, node in mapping.entries.items():
            if name not in model.model_fields:
                text = f"The parameter '{prefix}{name}' is unknown{file_suffix(self.file)}"
                allowed = ", ".join(model.model_fields)
                self.warnings.append(Problem(text, prefix + name, node.line, _kind_only(node), allowed))


def _kind_only(node: Node) -> str:
    """Of an unknown key: its value may be a password."""
    return f"a value of type {kind_of(node)}"


def _brief(node: Node) -> str:
    return shown(node.value) if isinstance(node, Scalar) and node.value is not None else kind_of(node)


__all__ = ["Walk", "dotted_keys", "kind_of", "scalar_type", "section_type"]
