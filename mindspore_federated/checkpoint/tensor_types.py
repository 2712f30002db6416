"""Names of element types in a ``.ckpt`` file and their NumPy equivalents, little-endian."""

from __future__ import annotations

from typing import Any

import numpy as np

DTYPES: dict[str, np.dtype[Any]] = {
    name: np.dtype(code)
    for name, code in {
        "Int8": "<i1",
        "UInt8": "<u1",
        "Int16": "<i2",
        "UInt16": "<u2",
        "Int32": "<i4",
        "UInt32": "<u4",
        "Int64": "<i8",
        "UInt64": "<u8",
        "Float16": "<f2",
        "Float32": "<f4",
        "Float64": "<f8",
        "Bool": "?",
    }.items()
}
BFLOAT16 = "BFloat16"  # NumPy has no such type: read as float32, which holds each of its values exactly
TEXT = "str"  # UTF-32 little-endian without a mark

NAMES = {dtype.newbyteorder("="): name for name, dtype in DTYPES.items()}

# Bytes of one element of a tensor.
ITEM_SIZES = {**{name: dtype.itemsize for name, dtype in DTYPES.items()}, BFLOAT16: 2}
