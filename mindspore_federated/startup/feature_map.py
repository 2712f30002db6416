"""The model as users hand it over and get it back: named float32 arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


class FeatureItem:
    """A parameter of the model.

    Args:
        feature_name: name of the parameter.
        data: float32 ndarray of any shape with at least one element; ``()`` is a scalar. Kept as it is if it
            is C-contiguous, else copied to C order, a Fortran-ordered array as well.
        require_aggr: whether the parameter is aggregated. If not, it keeps its first value for ever.

    Raises:
        RuntimeError: `data` is none of that.
    """

    def __init__(self, feature_name: str, data: NDArray[np.float32], require_aggr: bool = True) -> None:
        if not isinstance(data, np.ndarray):
            raise RuntimeError("The type of parameter 'data' is expected to be instance of numpy.ndarray")
        if data.dtype != np.float32:
            cast = f"; '{feature_name}' may be passed as .astype(np.float32)" if _castable(data) else ""
            raise RuntimeError(
                f"The value type of parameter 'data' is expected to be float32, but got {data.dtype}{cast}"
            )
        if data.size == 0:
            raise RuntimeError("The value size of parameter 'data' is expected to > 0")
        self._feature_name = feature_name
        self._data: NDArray[np.float32] = np.asarray(data, order="C")
        self._require_aggr = require_aggr

    @property
    def feature_name(self) -> str:
        return self._feature_name

    @property
    def data(self) -> NDArray[np.float32]:
        """float32, C order."""
        return self._data

    @property
    def shape(self) -> tuple[int, ...]:
        return self._data.shape

    @property
    def require_aggr(self) -> bool:
        return self._require_aggr

    @require_aggr.setter
    def require_aggr(self, require_aggr: bool) -> None:
        self._require_aggr = require_aggr


def _castable(data: NDArray[Any]) -> bool:
    return data.dtype.kind in "fiub"


class FeatureMap:
    """All parameters of a model, by name in the order in which they were added."""

    def __init__(self) -> None:
        self._feature_map: dict[str, FeatureItem] = {}

    def add_feature(
        self, feature_name: str, tensor: NDArray[np.float32], require_aggr: bool = True
    ) -> FeatureItem:
        """Adds or replaces a parameter; arguments and errors as for `FeatureItem`."""
        item = FeatureItem(feature_name, tensor, require_aggr)
        self._feature_map[feature_name] = item
        return item

    def feature_map(self) -> dict[str, FeatureItem]:
        """The parameters by name; the dictionary itself, not a copy."""
        return self._feature_map


def feature_map_of(values: Mapping[str, Any]) -> FeatureMap:
    """A map of arrays by name, all of them aggregated.

    Raises:
        RuntimeError: a name is no str, or as for `FeatureItem`.
    """
    features = FeatureMap()
    for name, value in values.items():
        if not isinstance(name, str):
            raise RuntimeError(f"The name of a feature is expected to be str, but got {type(name)}")
        features.add_feature(name, value)
    return features
