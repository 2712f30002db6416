"""A configuration in YAML, read as Servers and as the Scheduler do: only `ConfigError` may come of it."""

from __future__ import annotations

import atheris

# PyYAML without its scanner and parser: they would be ten times slower, and are not ours. atheris looks at
# the first part of a name to include, at the whole of one to exclude.
with atheris.instrument_imports(
    include=["mindspore_federated", "yaml"],
    exclude=["yaml.composer", "yaml.parser", "yaml.reader", "yaml.scanner"],
):
    from mindspore_federated.config import ConfigError, load_common_config, load_server_config
    from mindspore_federated.config.core_options import hyper_parameters
from python_target import run


def read(path: str) -> None:
    try:
        load_common_config(path)
    except ConfigError as error:
        check(error)
    try:
        config = load_server_config(path)
    except ConfigError as error:
        check(error)
        return
    values = hyper_parameters(config)
    assert all(isinstance(name, str) and isinstance(value, str) for name, value in values.items())
    assert config.fl_name


def check(error: ConfigError) -> None:
    assert error.problems
    assert str(error)
    # A file of 64 KB is not told back whole for each of its mistakes.
    assert len(str(error)) < 8 << 20


if __name__ == "__main__":
    run(read, ".yaml")
