"""The .ckpt codec against files of the real MindSpore and against hostile bytes."""

from __future__ import annotations

import os
import stat
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mindspore_federated.checkpoint import (
    CheckpointError,
    Limits,
    read_checkpoint,
    read_float32,
    read_mindir,
    scan_checkpoint,
    write_checkpoint,
)

FIXTURES = Path(__file__).parent / "fixtures"  # made by make_fixtures.py with MindSpore 2.10.0
GRID = np.arange(6).reshape(2, 3)


def varint(number: int) -> bytes:
    out = b""
    while number >= 0x80:
        out, number = out + bytes([number & 0x7F | 0x80]), number >> 7
    return out + bytes([number])


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def tensor(dims: tuple[int, ...], kind: str, content: bytes) -> bytes:
    return b"".join(b"\x08" + varint(d) for d in dims) + field(2, kind.encode()) + field(3, content)


def value(name: str, dims: tuple[int, ...], kind: str, content: bytes) -> bytes:
    return field(1, field(1, name.encode()) + field(2, tensor(dims, kind, content)))


class Folder:
    def __init__(self, path: Path) -> None:
        self.path = path

    def file(self, content: bytes) -> str:
        path = self.path / "model.ckpt"
        path.write_bytes(content)
        return str(path)

    def refuses(self, content: bytes, part: str, limits: Limits | None = None) -> None:
        path = self.file(content)
        with pytest.raises(CheckpointError) as caught:
            read_checkpoint(path, limits or Limits())
        assert part in str(caught.value)
        assert path in str(caught.value)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_every_type_as_mindspore_wrote_it() -> None:
    found = read_checkpoint(str(FIXTURES / "types.ckpt"))
    expected: dict[str, Any] = {
        f"int{bits}.matrix": (GRID - 2).astype(f"int{bits}") for bits in (8, 16, 32, 64)
    }
    expected.update({f"uint{bits}.matrix": GRID.astype(f"uint{bits}") for bits in (8, 16, 32, 64)})
    expected.update({f"float{bits}.matrix": (GRID / 7 - 0.3).astype(f"float{bits}") for bits in (16, 32, 64)})
    expected["bool.matrix"] = GRID % 2 == 0
    expected["float32.scalar"] = np.array(1.25, np.float32)
    expected["float32.one"] = np.array([2.5], np.float32)
    expected["float32.conv"] = np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2)
    expected["bfloat16.matrix"] = np.array([[1.5, -2.0]], np.float32)
    assert list(found) == list(expected)
    for name, array in expected.items():
        actual = found[name]
        assert isinstance(actual, np.ndarray)
        assert (actual.dtype, actual.shape) == (array.dtype, array.shape), name
        assert actual.tobytes() == array.tobytes(), name
        assert actual.flags.aligned
        assert actual.flags.c_contiguous


def test_texts_and_numbers_as_mindspore_wrote_them() -> None:
    found = read_checkpoint(str(FIXTURES / "net.ckpt"))
    assert list(found) == ["weight", "bias", "epoch_num", "lr", "done", "note"]
    assert found["note"] == "Grüße"
    assert found["epoch_num"] == np.int64(7)
    assert found["lr"] == np.float32(0.5)
    assert found["done"] == np.True_


def test_our_bytes_are_those_of_mindspore(tmp_path: Path) -> None:
    for name, crc in (("types", False), ("crc", True), ("net", False)):
        original = FIXTURES / f"{name}.ckpt"
        content = read_checkpoint(str(original))
        content.pop("bfloat16.matrix", None)
        write_checkpoint(str(tmp_path / "copy.ckpt"), content.items(), crc=crc)
        expected = original.read_bytes()
        if name == "types":
            expected = expected[: expected.index(b"bfloat16") - 4]
        copy = (tmp_path / "copy.ckpt").read_bytes()
        assert copy == expected


def test_only_float32_is_read_for_a_model() -> None:
    floats, others = read_float32(str(FIXTURES / "net.ckpt"))
    assert list(floats) == ["weight", "bias", "lr"]
    assert others == [("epoch_num", "Int64"), ("done", "Bool"), ("note", "str")]


def test_a_file_without_float32_is_no_model(folder: Folder) -> None:
    path = folder.file(value("a", (1,), "Int8", b"\x01"))
    with pytest.raises(CheckpointError, match="no parameter of type Float32"):
        read_float32(path)


def test_round_trip(tmp_path: Path) -> None:
    path = str(tmp_path / "a.ckpt")
    matrix = np.arange(12, dtype=np.float32).reshape(3, 4)
    parameters: dict[str, Any] = {
        "c": matrix,
        "fortran": np.asfortranarray(matrix),
        "strided": matrix[::2, ::-1],
        "big endian": matrix.astype(">f4"),
        "scalar": np.array(3.5, np.float32),
        "zero": np.array([0.0], np.float32),
        "ä.weight": np.array([np.nan, np.inf], np.float32),
        "text": "🙂 x",
        "empty text": "",
        "int": 5,
        "float": 0.1,
        "bool": True,
    }
    write_checkpoint(path, parameters.items())
    found = read_checkpoint(path)
    assert list(found) == list(parameters)
    for name in ("c", "fortran", "strided", "big endian", "scalar", "zero", "ä.weight"):
        np.testing.assert_array_equal(found[name], parameters[name])
        assert np.asarray(found[name]).shape == parameters[name].shape
    assert (found["text"], found["empty text"]) == ("🙂 x", "")
    kinds = {name: entry.tensor_type for name, entry in scan_checkpoint(path).items()}
    assert (kinds["int"], kinds["float"], kinds["bool"]) == ("Int64", "Float32", "Bool")


def test_pieces_are_written_and_joined(tmp_path: Path) -> None:
    path = str(tmp_path / "a.ckpt")
    array = np.arange(1000, dtype=np.float32).reshape(10, 100)
    write_checkpoint(path, [("a", array), ("b", array)], piece_bytes=512)
    assert len(scan_checkpoint(path)["a"].pieces) == 8
    found = read_checkpoint(path)
    np.testing.assert_array_equal(found["a"], array)
    np.testing.assert_array_equal(found["b"], array)


def test_pieces_along_the_first_axis(folder: Folder) -> None:
    data = np.arange(6, dtype="<f4")
    first, second = (value("a", (3, 2), "Float32", part.tobytes()) for part in (data[:4], data[4:]))
    np.testing.assert_array_equal(read_checkpoint(folder.file(first + second))["a"], data.reshape(3, 2))
    folder.refuses(first, "has 16 bytes instead of 24")
    folder.refuses(first + value("b", (), "Int8", b"\x01") + second, "has 8 bytes instead of 24")
    folder.refuses(first + value("a", (2, 3), "Float32", b"\0" * 8), "differ in shape or type")


def test_of_two_separate_entries_the_later_wins(folder: Folder) -> None:
    one, two, other = (value(name, (), "Int8", bytes([n])) for name, n in (("a", 1), ("a", 2), ("b", 3)))
    found = read_checkpoint(folder.file(one + other + two))
    assert found["a"] == 2
    assert list(found) == ["b", "a"]


def test_what_a_reader_must_tolerate(folder: Folder) -> None:
    packed = field(1, b"\x02\x03") + field(2, b"Int8") + field(3, bytes(range(6)))
    reversed_fields = field(3, b"\x07") + field(2, b"Int8")
    unknown = (
        varint(9 << 3)
        + varint(77)
        + field(8, b"xyz")
        + varint(7 << 3 | 1)
        + b"8bytes.."
        + varint(6 << 3 | 5)
        + b"4byt"
    )
    content = (
        unknown
        + field(1, unknown + field(1, b"packed") + field(2, packed + unknown))
        + field(1, field(2, reversed_fields) + field(1, b"reversed"))
        + field(1, field(1, b"map") + field(3, b"whatever"))
        + value("zero dim", (0,), "Float32", b"\0\0\x80?")
        + value("bool", (2,), "Bool", b"\x05\x00")
    )
    found = read_checkpoint(folder.file(content))
    np.testing.assert_array_equal(found["packed"], np.arange(6, dtype=np.int8).reshape(2, 3))
    assert found["reversed"] == 7
    assert found["zero dim"] == np.float32(1)
    assert np.asarray(found["bool"]).tolist() == [True, False]
    assert "map" not in found


def test_empty_tensors_can_be_read(folder: Folder) -> None:
    assert np.asarray(read_checkpoint(folder.file(value("a", (0, 3), "Float32", b"")))["a"]).shape == (0, 3)


def test_truncated_at_every_byte(folder: Folder) -> None:
    whole = (FIXTURES / "net.ckpt").read_bytes()
    names = list(read_checkpoint(str(FIXTURES / "net.ckpt")))
    complete = 0
    for length in range(len(whole)):
        path = folder.file(whole[:length])
        try:
            found = read_checkpoint(path)
        except CheckpointError as error:
            assert path in str(error)  # noqa: PT017 (most lengths fail, some cannot)
        else:
            # Cut between two parameters: the format has no length of its own.
            complete += 1
            assert list(found) == names[:complete]
    assert complete == len(names) - 1


def test_truncated_at_every_byte_with_check_sum(tmp_path: Path, folder: Folder) -> None:
    path = str(tmp_path / "whole.ckpt")
    write_checkpoint(path, [("a", np.arange(9, dtype=np.float32))], crc=True)
    whole = Path(path).read_bytes()
    for length in range(len(whole) - 17 + 1, len(whole)):
        with pytest.raises(CheckpointError):
            read_checkpoint(folder.file(whole[:length]))


def test_every_flipped_bit_is_found_by_the_check_sum(folder: Folder) -> None:
    whole = (FIXTURES / "crc.ckpt").read_bytes()
    for place in range(len(whole)):
        broken = bytearray(whole)
        broken[place] ^= 1
        with pytest.raises(CheckpointError):
            read_checkpoint(folder.file(bytes(broken)))


def test_flipped_bits_without_check_sum_never_crash(folder: Folder) -> None:
    whole = (FIXTURES / "net.ckpt").read_bytes()
    for place in range(len(whole)):
        for bit in (0, 3, 7):
            broken = bytearray(whole)
            broken[place] ^= 1 << bit
            try:
                read_checkpoint(folder.file(bytes(broken)))
            except CheckpointError:
                continue


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "holds no parameter"),
        (b"not a checkpoint at all", "no protobuf field"),
        (b"\x0b", "no protobuf field"),
        (b"\x00\x00", "no protobuf field"),
        (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "points past the end"),
        (b"\x0a\x7f", "points past the end"),
        (b"\xff" * 20, "64 bits"),
        (field(1, field(2, tensor((), "Int8", b"\x01"))), "has no name"),
        (field(1, field(1, b"\xff\xfe") + field(2, b"")), "not UTF-8"),
        (field(1, field(1, b"a") + field(2, field(2, b"Int8"))), "has no content"),
        (field(1, field(1, b"a") + field(2, field(3, b"x"))), "has no type"),
        (value("a", (2,), "Float32", b"\0" * 7), "has 7 bytes instead of 8"),
        (value("a", (2,), "Float32", b"\0" * 12), "has 12 bytes instead of 8"),
        (value("a", (1 << 62, 1 << 62), "Float32", b""), "has 0 bytes instead of"),
        (value("a", ((1 << 64) - 1,), "Float32", b""), "dimension is negative (-1)"),
        (value("a", (1,) * 65, "Int8", b"\0"), "more than 64 dimensions"),
        (value("a", (1,), "Int4", b"\0"), "type Int4; readable are Int8"),
        (value("a", (0,), "str", b"\0\0\0"), "no multiple of 4"),
        (value("a", (0,), "str", b"\xff\xff\xff\xff"), "not UTF-32"),
        (value("a" * 5000, (), "Int8", b"\0"), "exceeds the limit of 4096"),
        (field(1, field(1, b"a") + field(2, b"\x08")), "cut off"),
        (field(1, field(1, b"a") + field(2, b"\x09\x00")), "ends early"),
    ],
)
def test_what_a_reader_must_refuse(folder: Folder, content: bytes, part: str) -> None:
    folder.refuses(content, part)


def test_limits(folder: Folder) -> None:
    content = value("a", (), "Int8", b"\1") + value("b", (), "Int8", b"\1")
    folder.refuses(content, "more than 1 parameters", Limits(entries=1))
    folder.refuses(content, f"has {len(content)} bytes; allowed are 10", Limits(file_bytes=10))


def test_a_wrong_check_sum(folder: Folder) -> None:
    message = value("a", (), "Int8", b"\1")
    right = b"crc_num" + zlib.crc32(message).to_bytes(10, "big")
    assert read_checkpoint(folder.file(message + right))["a"] == 1
    folder.refuses(message + right[:-1] + bytes([right[-1] ^ 1]), "check sum is wrong")


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    for path in (tmp_path / "none.ckpt", tmp_path):
        with pytest.raises(CheckpointError, match=r"cannot be (opened|read)"):
            read_checkpoint(str(path))


@pytest.mark.parametrize(
    ("value_", "part"),
    [
        (np.zeros((0, 3), np.float32), "holds no element"),
        (np.zeros(3, np.complex64), "complex64"),
        (np.array(["a"]), "cannot be stored"),
        (np.array([None]), "object"),
        ([1.0], "list"),
    ],
)
def test_what_a_writer_must_refuse(tmp_path: Path, value_: Any, part: str) -> None:
    target = tmp_path / "a.ckpt"
    target.write_bytes(b"old")
    with pytest.raises(CheckpointError, match=part):
        write_checkpoint(str(target), [("good", np.ones(3, np.float32)), ("bad", value_)])
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.ckpt"]


def test_names_a_writer_must_refuse(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="non-empty"):
        write_checkpoint(str(tmp_path / "a.ckpt"), [("", 1)])
    with pytest.raises(CheckpointError, match=r"must end in \.ckpt"):
        write_checkpoint(str(tmp_path / "a.bin"), [("a", 1)])


def test_a_written_file_replaces_the_old_one_and_is_private(tmp_path: Path) -> None:
    target = tmp_path / "a.ckpt"
    target.write_bytes(b"old")
    target.chmod(0o400)
    write_checkpoint(str(target), [("a", 1)])
    assert read_checkpoint(str(target))["a"] == 1
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["a.ckpt"]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_checkpoint(str(tmp_path / "none" / "a.ckpt"), [("a", 1)])


def test_mindir_needs_mindspore(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(np, "__version__", "2.4.6")
    with pytest.raises(CheckpointError, match=r"needs numpy<2, found 2\.4\.6"):
        read_mindir(str(tmp_path / "a.mindir"))
    monkeypatch.setattr(np, "__version__", "1.26.4")
    monkeypatch.setitem(__import__("sys").modules, "mindspore", None)
    with pytest.raises(CheckpointError, match="is not installed"):
        read_mindir(str(tmp_path / "a.mindir"))
