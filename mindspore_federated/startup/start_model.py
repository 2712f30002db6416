"""The model a Server starts with: a recovery file if there is one, else what the caller handed over."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mindspore_federated import log
from mindspore_federated.checkpoint import RecoveryStore, read_float32, read_mindir
from mindspore_federated.startup.feature_map import FeatureMap, feature_map_of

Features = list[tuple[str, NDArray[np.float32], bool]]


def start_model(argument: object, store: RecoveryStore) -> Features:
    """Names, values and require_aggr of the first model.

    Args:
        argument: dict of float32 arrays, `FeatureMap`, path of a ``.ckpt`` or ``.mindir`` file, or None if
            there is a recovery file.
        store: its newest readable file takes precedence; require_aggr comes from `argument` by name, else
            True.

    Raises:
        RuntimeError: `argument` is none of these, or its file cannot be read.
    """
    recovered = store.load()
    if recovered is None:
        given = _from_argument(argument)
    elif argument is None or isinstance(argument, str):
        given = FeatureMap()
    else:
        given = _from_argument(argument)
        sizes = {name: item.data.size for name, item in given.feature_map().items()}
        if sizes != {name: data.size for name, data in recovered.items()}:
            log.warning(
                "The recovery checkpoint in %s holds other parameters than the argument 'feature_map' and "
                "is used in its place; for another model choose another fl_name or checkpoint_dir",
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
    if not isinstance(argument, str):
        raise RuntimeError(
            "The parameter 'feature_map' is expected to be instance of dict(feature_name, feature_val), "
            f"FeatureMap, or a checkpoint or mindir file path, but got '{type(argument)}'."
        )
    try:
        if argument.endswith(".ckpt"):
            values, others = read_float32(argument)
        elif argument.endswith(".mindir"):
            everything = read_mindir(argument)
            values = {name: value for name, value in everything.items() if value.dtype == np.float32}
            others = [(n, str(value.dtype)) for n, value in everything.items() if value.dtype != np.float32]
        else:
            raise RuntimeError(
                "The value of parameter 'feature_map' is expected to be checkpoint file path, ends with "
                "'.ckpt', or MindIR file path, ends with '.mindir', when the type of parameter "
                "'feature_map' is str."
            )
    except ValueError as error:
        raise RuntimeError(str(error)) from error
    for name, kind in others:
        log.info("Skip weight %s, type is %s", name, kind)
    return feature_map_of(values)
