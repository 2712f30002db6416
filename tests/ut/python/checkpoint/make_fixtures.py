"""Writes fixtures/ with the real MindSpore: ``python make_fixtures.py fixtures`` (needs numpy<2)."""

from __future__ import annotations

import os
import sys

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn


def values() -> dict[str, np.ndarray]:
    """One array for each type and shape of interest, the same whenever it is called."""
    grid = np.arange(6).reshape(2, 3)
    arrays = {f"{kind}.matrix": (grid - 2).astype(kind) for kind in ("int8", "int16", "int32", "int64")}
    arrays.update({f"{kind}.matrix": grid.astype(kind) for kind in ("uint8", "uint16", "uint32", "uint64")})
    arrays.update(
        {f"{kind}.matrix": (grid / 7 - 0.3).astype(kind) for kind in ("float16", "float32", "float64")}
    )
    arrays["bool.matrix"] = grid % 2 == 0
    arrays["float32.scalar"] = np.array(1.25, np.float32)
    arrays["float32.one"] = np.array([2.5], np.float32)
    arrays["float32.conv"] = np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2)
    return arrays


def main(folder: str) -> None:
    types = [{"name": name, "data": Tensor(value)} for name, value in values().items()]
    types.append(
        {"name": "bfloat16.matrix", "data": Tensor(np.array([[1.5, -2.0]], np.float32), ms.bfloat16)}
    )
    ms.save_checkpoint(types, os.path.join(folder, "types.ckpt"))
    ms.save_checkpoint(types[:3], os.path.join(folder, "crc.ckpt"), crc_check=True)

    class Net(nn.Cell):
        def __init__(self) -> None:
            super().__init__()
            self.weight = Parameter(Tensor(np.arange(6, dtype=np.float32).reshape(2, 3)), name="weight")
            self.bias = Parameter(Tensor(np.array([0.5, -0.5], np.float32)), name="bias")

        def construct(self, x):
            return x

    extra = {"epoch_num": 7, "lr": 0.5, "done": True, "note": "Grüße"}
    ms.save_checkpoint(Net(), os.path.join(folder, "net.ckpt"), append_dict=extra)
    for name in os.listdir(folder):
        os.chmod(os.path.join(folder, name), 0o644)


if __name__ == "__main__":
    main(sys.argv[1])
