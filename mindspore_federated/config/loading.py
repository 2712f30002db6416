"""From a file to a typed configuration: all mistakes at once, the first in the documented order first."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from pydantic import ValidationError

from mindspore_federated import log
from mindspore_federated.config.compatibility import with_environment
from mindspore_federated.config.errors import ConfigError, Problem
from mindspore_federated.config.findings import problems_of, rules_between_keys
from mindspore_federated.config.model import CommonConfig, ServerConfig
from mindspore_federated.config.not_yet import not_there_yet
from mindspore_federated.config.participation import participation_levels
from mindspore_federated.config.walk import Walk, dotted_keys
from mindspore_federated.config.yaml_reader import read_yaml

_Config = TypeVar("_Config", bound=CommonConfig)


def load_common_config(file: str) -> CommonConfig:
    """Reads `file` as the Scheduler does: keys of Servers are neither required nor checked.

    Raises:
        ConfigError: with everything that is wrong.
    """
    return _load(file, CommonConfig)


def load_server_config(file: str) -> ServerConfig:
    """Reads `file` as Servers and Workers do.

    Raises:
        ConfigError: with everything that is wrong.
    """
    config = _load(file, ServerConfig)
    kind = config.encrypt.encrypt_train_type
    if config.compression.upload_compress_type != "NO_COMPRESS" and kind in ("SIGNDS", "PW_ENCRYPT"):
        log.warning(
            "compression.upload_compress_type %s is set to NO_COMPRESS because of encrypt_train_type %s (%s)",
            config.compression.upload_compress_type,
            kind,
            file,
        )
        plain = config.compression.model_copy(update={"upload_compress_type": "NO_COMPRESS"})
        config = config.model_copy(update={"compression": plain})
    if participation_levels(config.summary.participation_time_level) is None:
        default = type(config.summary).model_fields["participation_time_level"].default
        log.warning(
            "summary.participation_time_level %r is not two integers 0 < a < b <= 2880; using %r (%s)",
            config.summary.participation_time_level,
            default,
            file,
        )
        summary = config.summary.model_copy(update={"participation_time_level": default})
        config = config.model_copy(update={"summary": summary})
    return config


def _load(file: str, model: type[_Config]) -> _Config:
    root, problems = with_environment(read_yaml(file))
    walk = Walk(root, model, file)
    fields = dict(dotted_keys(model))
    problems += walk.problems
    try:
        config = model.model_validate(walk.values)
    except ValidationError as error:
        reported = {problem.key for problem in problems}
        problems += problems_of(error, fields, walk.lines, reported, file)
    else:
        problems += rules_between_keys(config, walk.lines, file)
    problems = _in_documented_order(problems, list(fields))
    # Also when its other keys are wrong, so that nobody mends those in vain; last, where the eye falls.
    reported = {problem.key for problem in problems}
    for problem in not_there_yet(walk.values, file):
        if problem.key not in reported:
            problems.append(replace(problem, line=walk.lines.get(problem.key)))
    for warning in walk.warnings:
        log.warning("%s", warning.render(file).replace("\n   ", ""))
    if problems:
        raise ConfigError(file, problems)
    return config


def _in_documented_order(problems: list[Problem], keys: list[str]) -> list[Problem]:
    position = {key: place for place, key in enumerate(keys)}
    return sorted(problems, key=lambda problem: position.get(problem.key, len(position)))
