"""Weights between NumPy and the `feature_map` of a message, without copies on the way."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mindspore_federated.client.checked_table import elements
from mindspore_federated.client.exceptions import NonFiniteUpdate
from mindspore_federated.schema import FeatureMap

Weights = dict[str, NDArray[np.float32]]


def scaled_feature(builder: Any, name: str, array: NDArray[Any], data_size: int) -> int:
    """Writes one `FeatureMap` and returns its offset. Raises NonFiniteUpdate."""
    weight_fullname = builder.CreateString(name)
    FeatureMap.StartDataVector(builder, array.size)
    builder.head -= 4 * array.size  # what CreateNumpyVector does, but the product is written in place
    data = np.frombuffer(builder.Bytes, "<f4", array.size, builder.head)
    with np.errstate(over="ignore", invalid="ignore"):
        np.multiply(array, np.float32(data_size), out=data.reshape(array.shape), casting="same_kind")
    if not _is_finite(data):
        raise NonFiniteUpdate(f"weight {name} times data_size {data_size} holds NaN or an infinity")
    vector = builder.EndVector()
    FeatureMap.Start(builder)
    FeatureMap.AddWeightFullname(builder, weight_fullname)
    FeatureMap.AddData(builder, vector)
    return int(FeatureMap.End(builder))


def features(root: Any) -> Weights:
    """`feature_map` of a checked answer, by name, as views of its bytes. Raises ValueError."""
    weights: Weights = {}
    for feature in elements(root.FeatureMapLength, root.FeatureMap):
        name = feature.WeightFullname().decode() if feature.WeightFullname() else ""
        if not name or name in weights or feature.DataIsNone():
            raise ValueError(f"feature {name!r} has no name, no data or stands there twice")
        data = feature.DataAsNumpy()
        if not _is_finite(data):
            raise ValueError(f"feature {name!r} holds NaN or an infinity")
        data.flags.writeable = False
        weights[name] = data
    return weights


def _is_finite(data: NDArray[np.float32]) -> bool:
    # A float64 sum of float32 values cannot overflow, keeps NaN and infinities, and needs no temporary array.
    with np.errstate(invalid="ignore"):
        return bool(np.isfinite(data.sum(dtype=np.float64)))
