"""Writes docs/yaml.md: ``python -m mindspore_federated.config.reference docs/yaml.md``."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from mindspore_federated.config.findings import describe
from mindspore_federated.config.keys import Section, is_ours
from mindspore_federated.config.model import CommonConfig, ServerConfig
from mindspore_federated.config.walk import scalar_type, section_type

_HEAD = """# The YAML configuration

<!-- Made by `python -m mindspore_federated.config.reference docs/yaml.md`: change
mindspore_federated/config/model.py instead of this page. -->

One file serves Scheduler, Servers and Workers. All mistakes of a file are reported at once, each with file,
line, key, value and what is allowed. Unknown keys are refused below `encrypt` and where they look like a
misspelt key (unless `compatibility` is `0.2`); others give a warning. *Role*: `all` is read by every process,
`server` by Servers and Workers. *New* marks what MindSpore Federated 0.2 does not know. Times are
milliseconds unless stated otherwise. An empty text means "not set".
"""

_REQUIRED_UNLESS_EMBEDDED = "distributed_cache.address"


def _default(key: str, default: object) -> str:
    if key == _REQUIRED_UNLESS_EMBEDDED:
        return "see text"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f'`"{default}"`' if isinstance(default, str) else f"`{default}`"


def _table(model: type[Section], prefix: str, role: str) -> Iterator[str]:
    yield "| Key | Type | Required | Default | Allowed | Role | Meaning |"
    yield "|---|---|---|---|---|---|---|"
    for name, field in model.model_fields.items():
        if section_type(field) is not None:
            continue
        key = prefix + name
        required = "yes" if field.is_required() else "no"
        default = "-" if field.is_required() else _default(key, field.default)
        reader = role or ("all" if name in CommonConfig.model_fields else "server")
        meaning = f"*New.* {field.description}" if is_ours(field) else field.description
        cells = (f"`{key}`", scalar_type(field), required, default, describe(field), reader, meaning)
        yield f"| {' | '.join(str(cell) for cell in cells)} |"
    yield ""


def _sections(model: type[Section], prefix: str, role: str, depth: int) -> Iterator[str]:
    for name, field in model.model_fields.items():
        inner = section_type(field)
        if inner is None:
            continue
        reader = role or ("all" if name in CommonConfig.model_fields else "server")
        key = prefix + name
        yield from ["#" * depth + f" `{key}`", "", str(field.description), ""]
        yield from _table(inner, f"{key}.", reader)
        yield from _sections(inner, f"{key}.", reader, depth + 1)


def reference_page() -> str:
    """The whole page, Markdown."""
    lines = [_HEAD, "## Top level", "", *_table(ServerConfig, "", ""), *_sections(ServerConfig, "", "", 2)]
    return "\n".join(lines).rstrip("\n") + "\n"


if __name__ == "__main__":
    if len(sys.argv) > 1:
        with open(sys.argv[1], "w", encoding="utf-8") as page:
            page.write(reference_page())
    else:
        sys.stdout.write(reference_page())
