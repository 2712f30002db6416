"""The model a Server starts with: a recovery file if there is one, else what the caller handed over."""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mindspore_federated import log
from mindspore_federated.checkpoint import RecoveryStore, read_model, tell_left_out
from mindspore_federated.startup.feature_map import FeatureMap, feature_map_of

Features = list[tuple[str, NDArray[np.float32], bool]]
_SUFFIXES = (".ckpt", ".mindir", ".safetensors", ".npz")


def start_model(argument: object, store: RecoveryStore) -> Features:
    """Names, values and require_aggr of the first model.

    Args:
        argument: dict of float32 arrays, `FeatureMap`, path (`str` or `os.PathLike`) of a ``.ckpt``,
            ``.safetensors``, ``.npz`` or ``.mindir`` file, or None if there is a recovery file.
        store: its newest readable file takes precedence, unless it is told never to resume; require_aggr
            comes from `argument` by name, else True.

    Raises:
        RuntimeError: `argument` is none of these, its file cannot be read, or a recovery file is required
            and there is none.
    """
    path = isinstance(argument, (str, os.PathLike))
    try:
        recovered = store.load()
    except ValueError as error:
        raise RuntimeError(str(error)) from error
    if recovered is not None and argument is not None:
        text = (
            "The recovery checkpoint takes the place of the argument 'feature_map': checkpoint.resume is '%s'"
        )
        log.progress(text, store.resume)
    if recovered is None:
        if argument is None and store.resume == "never":
            raise RuntimeError(
                f"{_wrong_type(argument)} It must be given, since checkpoint.resume is 'never'."
            )
        given = _from_argument(argument)
    elif argument is None or path:
        given = FeatureMap()
    else:
        given = _from_argument(argument)
        sizes = {name: item.data.size for name, item in given.feature_map().items()}
        if sizes != {name: data.size for name, data in recovered.items()}:
            log.warning(
                "The recovery checkpoint in %s holds other parameters than the argument 'feature_map' and "
                "is used in its place; for another model choose another fl_name or checkpoint_dir, or "
                "checkpoint.resume: never",
                store.folder,
            )
    items = given.feature_map()
    if recovered is None:
        return [(name, item.data, bool(item.require_aggr)) for name, item in items.items()]
    flags = {name: bool(item.require_aggr) for name, item in items.items()}
    return [(name, data, flags.get(name, True)) for name, data in recovered.items()]


def _from_argument(argument: object) -> FeatureMap:
    if isinstance(argument, FeatureMap):
        return argument
    if isinstance(argument, Mapping):
        return feature_map_of(argument)
    path = os.fspath(argument) if isinstance(argument, (str, os.PathLike)) else None
    if not isinstance(path, str):
        raise RuntimeError(_wrong_type(argument))
    if not path.endswith(_SUFFIXES):
        raise RuntimeError(
            "The value of parameter 'feature_map' is expected to be checkpoint file path, ends with "
            "'.ckpt', or MindIR file path, ends with '.mindir', when the type of parameter "
            f"'feature_map' is str. '.safetensors' and '.npz' are read as well; got '{path}'."
        )
    try:
        values, others = read_model(path)
    except ValueError as error:
        raise RuntimeError(str(error)) from error
    tell_left_out(path, others)
    return feature_map_of(values)


def _wrong_type(argument: object) -> str:
    return (
        "The parameter 'feature_map' is expected to be instance of dict(feature_name, feature_val), "
        f"FeatureMap, or a checkpoint or mindir file path, but got '{type(argument)}'."
    )
