"""The codec against an installed MindSpore, both ways. Skipped where there is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mindspore_federated.checkpoint import read_checkpoint, read_mindir, write_checkpoint

if int(np.__version__.partition(".")[0]) >= 2:
    pytest.skip("MindSpore needs numpy<2", allow_module_level=True)
ms = pytest.importorskip("mindspore")

RANDOM = np.random.default_rng(1)
ARRAYS: dict[str, Any] = {
    "conv": RANDOM.standard_normal((6, 1, 5, 5)).astype(np.float32),
    "scalar": np.array(1.5, np.float32),
    "one": np.array([1.5], np.float32),
    "half": RANDOM.standard_normal(7).astype(np.float16),
    "double": RANDOM.standard_normal((3, 3)),
    "flags": RANDOM.integers(0, 2, 9).astype(bool),
    **{kind: RANDOM.integers(0, 100, (2, 3)).astype(kind) for kind in ("int8", "uint8", "int16", "uint16")},
    **{kind: RANDOM.integers(0, 100, (2, 3)).astype(kind) for kind in ("int32", "uint32", "int64", "uint64")},
}


@pytest.mark.parametrize("crc", [False, True])
def test_ours_is_read_by_mindspore(tmp_path: Path, crc: bool) -> None:
    path = str(tmp_path / "ours.ckpt")
    write_checkpoint(path, [*ARRAYS.items(), ("note", "Grüße 🙂"), ("step", 3)], crc=crc)
    found = ms.load_checkpoint(path, crc_check=crc)
    assert list(found) == [*ARRAYS, "note", "step"]
    for name, array in ARRAYS.items():
        actual = found[name].asnumpy()
        assert (actual.dtype, actual.shape) == (array.dtype, array.shape), name
        np.testing.assert_array_equal(actual, array)
    assert found["note"] == "Grüße 🙂"
    assert found["step"].asnumpy() == 3


def test_our_pieces_are_read_by_mindspore(tmp_path: Path) -> None:
    path = str(tmp_path / "ours.ckpt")
    array = np.arange(1000, dtype=np.float32).reshape(10, 100)
    write_checkpoint(path, [("a", array), ("b", array)], piece_bytes=1024)
    np.testing.assert_array_equal(ms.load_checkpoint(path)["a"].asnumpy(), array)


def test_ours_fills_a_network(tmp_path: Path) -> None:
    path = str(tmp_path / "ours.ckpt")
    net = ms.nn.SequentialCell(ms.nn.Dense(4, 3), ms.nn.Dense(3, 2))
    model = {p.name: RANDOM.standard_normal(p.shape).astype(np.float32) for p in net.get_parameters()}
    write_checkpoint(path, model.items())
    assert ms.load_param_into_net(net, ms.load_checkpoint(path)) == ([], [])
    for parameter in net.get_parameters():
        np.testing.assert_array_equal(parameter.asnumpy(), model[parameter.name])


@pytest.mark.parametrize("crc", [False, True])
def test_mindspores_is_read_by_us(tmp_path: Path, crc: bool) -> None:
    path = str(tmp_path / "theirs.ckpt")
    saved = [{"name": name, "data": ms.Tensor(array)} for name, array in ARRAYS.items()]
    ms.save_checkpoint(saved, path, crc_check=crc)
    found = read_checkpoint(path)
    assert list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
        actual = np.asarray(found[name])
        assert (actual.dtype, actual.shape) == (array.dtype, array.shape), name
        np.testing.assert_array_equal(actual, array)


def test_mindir(tmp_path: Path) -> None:
    class Net(ms.nn.Cell):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.dense = ms.nn.Dense(4, 3)

        def construct(self, x: Any) -> Any:
            return self.dense(x)

    net = Net()
    path = str(tmp_path / "net.mindir")
    ms.export(net, ms.Tensor(np.zeros((1, 4), np.float32)), file_name=path, file_format="MINDIR")
    found = read_mindir(path)
    for parameter in net.get_parameters():
        np.testing.assert_array_equal(found[parameter.name], parameter.asnumpy())
