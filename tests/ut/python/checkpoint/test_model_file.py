"""Model files in every format: what is written is what others read, what is damaged is refused."""

from __future__ import annotations

import io
import json
import os
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load as load_safetensors
from safetensors.numpy import save as save_safetensors

from mindspore_federated.checkpoint import (
    FORMATS,
    CheckpointError,
    Limits,
    encode,
    read_checkpoint,
    read_model,
    write_model,
)

MATRIX = np.arange(12, dtype=np.float32).reshape(3, 4)
MODEL: dict[str, Any] = {
    "c": MATRIX,
    "fortran": np.asfortranarray(MATRIX),
    "strided": MATRIX[::2, ::-1],
    "big endian": MATRIX.astype(">f4"),
    "scalar": np.array(3.5, np.float32),
    "one": np.array([0.0], np.float32),
    "ä/../weight.npy": np.array([np.nan, np.inf], np.float32),
}


def same(found: Any, expected: dict[str, Any]) -> None:
    assert set(found) == set(expected)
    for name, array in expected.items():
        assert np.asarray(found[name]).shape == array.shape, name
        assert np.asarray(found[name]).dtype == np.float32, name
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("format", FORMATS)
def test_round_trip(format: str, tmp_path: Path) -> None:
    path = str(tmp_path / f"a.{format}")
    write_model(path, MODEL.items())
    found, others = read_model(path)
    assert others == []
    same(found, MODEL)
    for array in found.values():
        assert array.flags.c_contiguous
        assert array.flags.writeable
    pieces = list(encode(format, MODEL.items()))
    assert b"".join(pieces) == Path(path).read_bytes()
    assert os.listdir(tmp_path) == [f"a.{format}"]


def test_others_read_it() -> None:
    same(np.load(io.BytesIO(b"".join(encode("npz", MODEL.items()))), allow_pickle=False), MODEL)
    same(load_safetensors(b"".join(encode("safetensors", MODEL.items()))), MODEL)


def test_an_unpacked_archive_can_be_read() -> None:
    archive = zipfile.ZipFile(io.BytesIO(b"".join(encode("npz", [("w", MATRIX)]))))
    assert archive.testzip() is None
    assert archive.infolist()[0].external_attr >> 16 == 0o600


@pytest.mark.parametrize("format", FORMATS)
def test_pieces_are_small_and_big_arrays_are_not_copied(format: str) -> None:
    big = np.zeros(3 << 20, np.uint8).view(np.float32)
    pieces = [len(piece) for piece in encode(format, [("big", big)])]
    assert max(pieces) <= 1 << 20
    if format != "safetensors":
        views = [piece for piece in encode(format, [("big", big)]) if isinstance(piece, memoryview)]
        assert any(np.shares_memory(np.frombuffer(view, np.uint8), big) for view in views)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    ("parameters", "part"),
    [
        ([], "without parameters"),
        ([("", MATRIX)], "non-empty"),
        ([("a\0b", MATRIX)], "cannot be named"),
        ([("__metadata__", MATRIX)], "cannot be named"),
        ([("\ud800", MATRIX)], "UTF-8"),
        ([("a", MATRIX), ("a", MATRIX)], "two parameters named 'a'"),
        ([("a", [1.0])], "list"),
        ([("a", np.zeros((0, 3), np.float32))], "no element"),
        ([("a", np.array(["x"]))], "cannot be stored"),
        ([("a", np.array([1], np.complex64))], "complex64"),
    ],
)
def test_what_cannot_be_written(format: str, parameters: Any, part: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=part):
        encode(format, parameters)  # before the first piece is asked for
    path = tmp_path / f"a.{format}"
    path.write_bytes(b"old")
    with pytest.raises(CheckpointError, match=part):
        write_model(str(path), parameters)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == [f"a.{format}"]


def test_formats_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="must be one of ckpt, safetensors, npz: 'h5'"):
        encode("h5", MODEL.items())
    with pytest.raises(CheckpointError, match="must be one of"):
        write_model(str(tmp_path / "a.mindir"), MODEL.items())
    with pytest.raises(CheckpointError, match=r"must end in \.ckpt, .*'.*a\.h5'"):
        read_model(str(tmp_path / "a.h5"))


def mixed(format: str) -> bytes:
    values = {"w": MATRIX, "half": MATRIX.astype(np.float16), "count": np.array([1], np.int64)}
    return b"".join(encode(format, values.items()))


@pytest.mark.parametrize(
    ("format", "kinds"),
    [
        ("ckpt", {"half": "Float16", "count": "Int64"}),
        ("safetensors", {"half": "F16", "count": "I64"}),
        ("npz", {"half": "float16", "count": "int64"}),
    ],
)
def test_only_float32_is_taken_the_rest_is_named(format: str, kinds: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / f"a.{format}"
    path.write_bytes(mixed(format))
    found, others = read_model(str(path))
    same(found, {"w": MATRIX})
    assert dict(others) == kinds
    path.write_bytes(b"".join(encode(format, [("i", np.array([1]))])))
    with pytest.raises(CheckpointError, match=r"holds no parameter of type [fF]loat32"):
        read_model(str(path))


def test_arrays_without_elements_are_left_out(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", w=MATRIX, e=np.zeros((0, 3), np.float32))
    (tmp_path / "a.safetensors").write_bytes(
        save_safetensors({"w": MATRIX, "e": np.zeros((0, 3), np.float32)})
    )
    for name in ("a.npz", "a.safetensors"):
        found, others = read_model(str(tmp_path / name))
        same(found, {"w": MATRIX})
        assert others == [("e", "float32 without elements, shape (0, 3)")]


def test_archives_of_numpy(tmp_path: Path) -> None:
    path = str(tmp_path / "a.npz")
    values = {"f": np.asfortranarray(MATRIX), "big": MATRIX.astype(">f4"), "none": np.array([None])}
    for save in (np.savez, np.savez_compressed):
        save(path, **values)
        found, others = read_model(path)
        same(found, {"f": MATRIX, "big": MATRIX})
        assert found["f"].flags.c_contiguous
        assert others == [("none", "object")]  # and nothing was unpickled


@pytest.mark.parametrize("format", FORMATS)
def test_what_is_no_file(format: str, tmp_path: Path) -> None:
    missing, folder, pipe = (tmp_path / f"{name}.{format}" for name in ("missing", "folder", "pipe"))
    folder.mkdir()
    os.mkfifo(pipe)
    for path, part in (
        (missing, "No such file"),
        (folder, "no regular file"),
        (pipe, "no regular file"),
        (tmp_path / f"a\0.{format}", "null"),
    ):
        with pytest.raises(CheckpointError, match=part) as caught:
            read_model(str(path))
        assert str(path) in str(caught.value)


@pytest.mark.parametrize("format", FORMATS)
def test_limits(format: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{format}"
    path.write_bytes(mixed(format))
    for limits in (Limits(file_bytes=10), Limits(entries=2), Limits(name_bytes=3)):
        with pytest.raises(CheckpointError) as caught:
            read_model(str(path), limits)
        assert str(path) in str(caught.value)


@pytest.mark.parametrize("format", FORMATS)
def test_truncated_at_every_byte(format: str, tmp_path: Path) -> None:
    whole = b"".join(encode(format, [("a", MATRIX), ("b", MATRIX)]))
    path = tmp_path / f"a.{format}"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        if format == "ckpt" and length == len(whole) // 2:
            continue  # cut between two parameters: the format has no length of its own
        with pytest.raises(CheckpointError) as caught:
            read_model(str(path))
        assert str(path) in str(caught.value)


@pytest.mark.parametrize("format", FORMATS)
def test_flipped_bits_never_crash(format: str, tmp_path: Path) -> None:
    whole = b"".join(encode(format, [("a", MATRIX), ("b", np.array(1, np.float32))]))
    path = tmp_path / f"a.{format}"
    for place in range(len(whole)):
        broken = bytearray(whole)
        broken[place] ^= 1 << (0, 3, 7)[place % 3]
        path.write_bytes(broken)
        try:
            read_model(str(path))
        except CheckpointError as error:
            assert str(path) in str(error)  # noqa: PT017 (some flips only change a value)


def safetensors(header: object, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def tensor(shape: object, offsets: object, dtype: str = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not safetensors",
        safetensors({}),
        safetensors({}, length=1 << 62),
        safetensors({}, length=(1 << 64) - 1),
        safetensors(b"[" * 10_000),
        safetensors(b"\xff\xfe"),
        safetensors({"a": tensor([2], [0, 4])}, b"\0" * 4),
        safetensors({"a": tensor([1], [0, 4])}, b"\0" * 5),
        safetensors({"a": tensor([1], [4, 0])}, b"\0" * 4),
        safetensors({"a": tensor([-1], [0, 4])}, b"\0" * 4),
        safetensors({"a": tensor([1 << 62, 1 << 62], [0, 4])}, b"\0" * 4),
        safetensors({"a": tensor([1], [0, 1 << 62])}, b"\0" * 4),
        safetensors({"a": tensor([1], [0, 4], "F31")}, b"\0" * 4),
        safetensors({"a": tensor([1], [0, 4]), "b": tensor([1], [0, 4])}, b"\0" * 4),
    ],
)
def test_hostile_safetensors(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        read_model(str(path))
    assert str(path) in str(caught.value)


def npy(shape: str, data: bytes = b"", descr: str = "'<f4'", version: int = 1) -> bytes:
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}\n".encode()
    length = struct.pack("<H" if version == 1 else "<I", len(header))
    return b"\x93NUMPY" + bytes([version, 0]) + length + header + data


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (npy("(1,)"), "needs 4 bytes|ends early"),
        (npy("(3,)", b"\0" * 8), "ends early"),
        (npy("(2,)", b"\0" * 12), "more bytes than"),
        (npy(f"({1 << 62}, {1 << 62})"), "needs"),
        (npy(f"({1 << 40},)"), "needs"),
        (npy("(-1,)"), "shape"),
        (npy("(1, True)", b"\0" * 4, version=2), ""),
        (npy("'x'"), "corrupted"),
        (npy("()", descr="__import__('os').system('true')"), "corrupted"),
        (b"", "corrupted"),
        (b"x" * 100, "corrupted"),
        (npy("(1,)", version=1)[:-3], "corrupted"),
    ],
)
def test_hostile_npz(content: bytes, part: str, tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", content)
    if not part:
        read_model(str(path))
        return
    with pytest.raises(CheckpointError, match=part) as caught:
        read_model(str(path))
    assert str(path) in str(caught.value)


def test_an_archive_that_unpacks_to_too_much(tmp_path: Path) -> None:
    path = str(tmp_path / "a.npz")
    np.savez_compressed(path, w=np.zeros(1 << 20, np.float32))
    assert os.path.getsize(path) < 10_000
    with pytest.raises(CheckpointError, match="unpacks to"):
        read_model(path, Limits(file_bytes=1 << 20))


def test_an_array_twice(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", npy("()", b"\0" * 4))
        archive.writestr("a", npy("()", b"\0" * 4))
    with pytest.raises(CheckpointError, match="'a' twice"):
        read_model(str(path))


def test_texts_of_a_ckpt_are_left_out(tmp_path: Path) -> None:
    source = Path(__file__).parent / "fixtures" / "net.ckpt"
    assert "note" in read_checkpoint(str(source))
    _, others = read_model(str(source))
    assert ("note", "str") in others
