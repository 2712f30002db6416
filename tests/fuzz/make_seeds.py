"""Writes good messages of each kind as seeds: ``python make_seeds.py <folder>``.

Each target has a folder below it. Messages come from the device SDK's encoder and, where it has no words for
them, from the schema by flatc.
"""

from __future__ import annotations

import io
import json
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mindspore_federated.checkpoint import encode
from mindspore_federated.client.messages import GetModel, GetResult, StartFLJob, UpdateModel

ROOT = Path(__file__).resolve().parents[2]
# The model of served_rounds.cc.
SHAPES = {"a": (3,), "layer.weight": (40,), "s": (), "z": (2,)}
WEIGHTS = {
    name: np.arange(np.prod(shape, dtype=int), dtype=np.float32).reshape(shape)
    for name, shape in SHAPES.items()
}


def by_schema(table: str, fields: dict[str, Any]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder, "message.json")
        text.write_text(json.dumps(fields))
        schema = ["--root-type", f"mindspore_federated.schema.{table}", str(ROOT / "schema/fl_job.fbs")]
        subprocess.run(["flatc", "-b", "-o", folder, *schema, str(text)], check=True)
        return next(path for path in Path(folder).iterdir() if path != text).read_bytes()


def features(weights: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    return [{"weight_fullname": name, "data": array.ravel().tolist()} for name, array in weights.items()]


def start_requests() -> Iterator[tuple[str, bytes]]:
    yield "good", bytes(StartFLJob("job", "device 1", 32, 8, 1_700_000_000_000).encode())
    yield "no_data", bytes(StartFLJob("job", "device 1", 0, 0, 1_700_000_000_000).encode())
    everything = {"fl_name": "job", "fl_id": "d", "iteration": 1, "data_size": 65535, "timestamp": "1"}
    everything |= {"sign_data": [1, 2], "key_attestation": "k", "equip_cert": "c", "equip_ca_cert": "a"}
    everything |= {"root_cert": "r", "download_compress_types": ["QUANT"], "eval_data_size": 7}
    yield "every_field", by_schema("RequestFLJob", everything)
    yield "no_id", by_schema("RequestFLJob", {"fl_name": "job", "data_size": 1, "timestamp": "1"})


def uploads() -> Iterator[tuple[str, bytes]]:
    def upload(weights: dict[str, np.ndarray], iteration: int = 1, **more: Any) -> bytes:
        message = UpdateModel("job", "device 1", iteration, 32, weights, 0.5, 0.25, 1_700_000_000_000, **more)
        return bytes(message.encode())

    yield "good", upload(WEIGHTS)
    yield "one_feature", upload({"a": WEIGHTS["a"]})
    yield "next_iteration", upload(WEIGHTS, 2)
    yield (
        "evaluation",
        upload({"s": WEIGHTS["s"]}, evaluation=[np.ones(4, np.float32), np.zeros(2, np.float32)]),
    )
    yield "unknown_feature", upload({"b": WEIGHTS["a"]})
    yield "wrong_size", upload({"a": WEIGHTS["layer.weight"]})
    base: dict[str, Any] = {"fl_id": "device 2", "timestamp": "1", "iteration": 1}
    yield "no_features", by_schema("RequestUpdateModel", base)
    yield "empty_features", by_schema("RequestUpdateModel", base | {"feature_map": []})
    twice = features({"a": WEIGHTS["a"]}) * 2
    yield "one_feature_twice", by_schema("RequestUpdateModel", base | {"feature_map": twice})
    sparse = [{"weight_fullname": "a", "compress_data": [1, -2, 3], "min_val": -1.0, "max_val": 1.0}]
    compressed = base | {"compress_feature_map": sparse, "upload_compress_type": "DIFF_SPARSE_QUANT"}
    compressed |= {"upload_sparse_rate": 0.4, "name_vec": ["a", "layer.weight"]}
    yield "compressed", by_schema("RequestUpdateModel", compressed)
    signed = base | {"feature_map": features(WEIGHTS), "sign": 1, "index_array": [1, 5], "signds_b_hat": "1"}
    yield "signds", by_schema("RequestUpdateModel", signed | {"signature": [1, 2, 3]})


def gets() -> Iterator[tuple[str, bytes]]:
    for iteration in (-1, 0, 1, 4, 2**31 - 1):
        yield f"model_{iteration}", bytes(GetModel("job", iteration, 1_700_000_000_000).encode())
        yield f"result_{iteration}", bytes(GetResult("job", iteration, 1_700_000_000_000).encode())


def partial_messages() -> Iterator[tuple[str, bytes]]:
    """A byte that says how much of each end is kept, the message."""
    for name, message in [*start_requests(), *uploads()]:
        yield name, b"\xff" + message
        yield name + "_ends", b"\x08" + message


def sequences() -> Iterator[tuple[str, bytes]]:
    """Steps of round_sequence_fuzz.cc. 128 to 131 build startFLJob, updateModel, getModel, getResult."""

    def start(device: int, data_size: int = 10) -> bytes:
        return bytes([128, device, 0, 0, data_size, 0])

    def update(device: int, value: int = 2) -> bytes:
        each = b"".join(bytes([feature, value, value]) for feature in range(3))
        return bytes([129, device, 0, 3]) + each + bytes([0, 0, 2, 2])

    def raw(round_: int, message: bytes) -> bytes:
        return struct.pack("<BH", round_, len(message)) + message

    iteration = start(0) + start(1) + start(2) + update(0) + update(1)
    yield "one_iteration", iteration + bytes([130, 3, 131, 3])
    yield "whole_job", iteration * 5 + start(0) + bytes([130, 3])
    yield "waits", start(0) + bytes([130, 0, 131, 0]) + start(1) + update(0, 7) + update(1, 8)
    yield "disabled", start(0) + bytes([130, 0, 245]) + start(1) + bytes([240]) + iteration
    yield "failed", start(0) + update(0) + bytes([250]) + start(0) + update(0)
    yield "repeats", start(0) * 2 + update(0) * 2 + start(0) + update(3) + start(3, 0)
    no_room = start(0) + b"\xec" + start(1)[1:] + start(1) + b"\xed" + update(0)[1:] + start(0) + update(0)
    yield "no_room", no_room
    first = bytes(StartFLJob("job", "device 1", 32, 8, 1).encode())
    yield "as_they_are", raw(0, first) + raw(1, dict(uploads())["good"]) + raw(2, dict(gets())["model_1"])


def connections() -> Iterator[tuple[str, bytes]]:
    """A byte of switches, the number of piece sizes, the sizes, what the peer sends."""
    whole, small = b"\0\0", b"\0\4\1\0\7\50"
    body = struct.pack("<5f", 1, 2, float("nan"), 3, float("inf"))

    def post(path: bytes, content: bytes, more: bytes = b"") -> bytes:
        head = b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n%s\r\n"
        return head % (path, len(content), more) + content

    chunked = b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    get = b"GET /empty HTTP/1.1\r\nHost: x\r\n\r\n"
    cases = {
        "pipelined": post(b"/a", body) + post(b"/late", body) + get + post(b"/long", body),
        "chunked": chunked + b"14\r\n" + body + b"\r\n3;x=1\r\nabc\r\n0\r\n\r\n" + post(b"/a", b"1"),
        "trailer": chunked + b"1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n" + get,
        "expect": post(b"/a", b"abcd", b"Expect: 100-continue\r\n") + get,
        "expect_unknown": post(b"/a", b"abcd", b"Expect: tea\r\n") + get,
        "http_1_0": b"POST /a HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx" + get,
        "close": post(b"/a", b"x", b"Connection: close\r\n") + get,
        "other_methods": b"".join(
            m + b" /empty HTTP/1.1\r\n\r\n" for m in (b"HEAD", b"PUT", b"DELETE", b"TRACE")
        ),
        "unknown_path": post(b"/b?q=1", b"skipped") + post(b"http://host/a?q=1", b"taken") + get,
        "large": post(b"/a", bytes(range(256)) * 80) + post(b"/a", b"x"),
        "too_long": post(b"/a", b"x" * 25_000) + get,
        "throws": post(b"/throw", b"x") + get,
        "two_lengths": b"POST /a HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxy" + get,
        "length_and_chunks": post(b"/a", b"0\r\n\r\n", b"Transfer-Encoding: chunked\r\n") + get,
        "chunks_not_last": b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n" + get,
        "folded": b"POST /a HTTP/1.1\r\nX: a\r\n b\r\nContent-Length: 1\r\n\r\nx" + get,
        "folded_length": b"POST /a HTTP/1.1\r\nContent-Length:\r\n 1\r\n\r\nx" + get,
        "bare_lf": b"POST /a HTTP/1.1\nContent-Length: 1\n\nx" + get,
        "nul": b"POST /a HTTP/1.1\r\nX: a\0b\r\nContent-Length: 1\r\n\r\nx" + get,
        "space_before_colon": b"POST /a HTTP/1.1\r\nContent-Length : 1\r\n\r\nx" + get,
        "signed_length": b"POST /a HTTP/1.1\r\nContent-Length: +1\r\n\r\nx" + get,
        "huge_chunk": chunked + b"fffffffffffffffff\r\nx",
        "extension_with_lf": chunked + b"1;a\n=b\r\nx\r\n0\r\n\r\n" + get,
        "long_header": b"GET /empty HTTP/1.1\r\nX: " + b"x" * 3000 + b"\r\n\r\n",
    }
    for name, text in cases.items():
        yield name, whole + text
        yield name + "_in_pieces", small + text
    for name in ("large", "chunked", "pipelined"):
        yield name + "_waits_for_room", b"\4\0" + cases[name]
        yield name + "_without_room", b"\6\2\7\310" + cases[name]
    long_chunk = chunked + b"4e20\r\n" + b"y" * 20_000 + b"\r\n0\r\n\r\n" + get
    yield "long_chunk_waits_for_room", b"\4\0" + long_chunk
    yield "long_chunk_without_room", b"\6\2\7\310" + long_chunk
    yield "silent", b"\1\0" + cases["pipelined"] + b"POST /a HTT"


def redis_replies() -> Iterator[tuple[str, bytes]]:
    """Steps of redis_pipeline_fuzz.cc: 3 connects, 0 to 2 push a command, after 6 come bytes from Redis."""

    def reply(text: bytes) -> bytes:
        return bytes([6, len(text)]) + text

    yield (
        "kinds",
        b"\3\0\0\0\0\0" + reply(b"+OK\r\n:-7\r\n$-1\r\n$3\r\nabc\r\n*3\r\n:1\r\n*1\r\n$-1\r\n+x\r\n"),
    )
    yield "script", b"\3\1\2" + reply(b"-NOSCRIPT x\r\n-NOSCRIPT x\r\n") + reply(b"$1\r\nx\r\n:1\r\n") * 2
    yield "errors", b"\3\0\0" + reply(b"-LOADING x\r\n-ERR Error running script -READONLY x\r\n")
    yield "broken_off", b"\0\3\0" + reply(b"$10\r\nabc") + b"\4\3" + reply(b":1\r\n:2\r\n") + b"\5"
    yield "claims_gigabytes", b"\3\0" + reply(b"*3999999\r\n" * 8)
    yield "claims_a_long_text", b"\3\0" + reply(b"$536870912\r\nabc")
    yield "negative", b"\3\0" + reply(b"*-2\r\n")
    yield "nobody_asked", b"\3" + reply(b":1\r\n")
    yield "other_types", b"\3\0" + reply(b"%1\r\n+a\r\n,1.5\r\n")
    yield "late", b"\3\0\0" + b"\375" * 8 + b"\3" + reply(b":1\r\n")


def model_files() -> Iterator[tuple[str, str, bytes]]:
    for format in ("ckpt", "safetensors", "npz"):
        yield format, "good", b"".join(encode(format, WEIGHTS.items()))
        other = {"half": np.ones(2, np.float16), "f": np.zeros((2, 2), np.float32), "i": np.arange(3)}
        yield format, "other_types", b"".join(encode(format, other.items()))
    for path in sorted((ROOT / "tests/ut/python/checkpoint/fixtures").glob("*.ckpt")):
        yield "ckpt", path.stem, path.read_bytes()
    archive = io.BytesIO()
    np.savez_compressed(archive, f=np.zeros((64, 64), np.float32), o=np.array([{}], object))
    yield "npz", "compressed_with_objects", archive.getvalue()
    header = b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"__metadata__":{"format":"ms"}}'
    yield "safetensors", "metadata", struct.pack("<Q", len(header)) + header + b"\0" * 8
    yield "safetensors", "header_beyond_the_end", struct.pack("<Q", 2**63) + header
    tensor = b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\x7f\x12\x07Float32\x1a\x04\0\0\0\0"
    value = b"\x0a\x01a\x12" + bytes([len(tensor)]) + tensor
    yield "ckpt", "claims_2_to_the_63", b"\x0a" + bytes([len(value)]) + value


def configurations() -> Iterator[tuple[str, bytes]]:
    for place in ("docker/job/job.yaml", "example/quickstart/digits.yaml"):
        yield Path(place).stem, (ROOT / place).read_bytes()
    lenet = ROOT / "example/cross_device_lenet_femnist/yamls/lenet/default_yaml_config.yaml"
    yield "lenet", lenet.read_bytes()
    bomb = "a0: &a0 [x, x, x, x]\n" + "".join(f"a{i + 1}: &a{i + 1} [{f'*a{i}, ' * 9}x]\n" for i in range(9))
    yield "aliases", bomb.encode()
    yield "merge", b"base: &base {fl_name: x}\nround:\n  <<: [*base, *base]\n"
    yield "deep", b"[" * 400
    yield (
        "numbers",
        b"fl_iteration_num: 1" + b"0" * 4000 + b"\nround: {update_model_ratio: .inf, x: 1e-1, y: 1:2:3}\n",
    )
    yield "base_60_without_end", b"fl_iteration_num: 1" + b":1" * 3000
    yield "tags", b"fl_name: !!python/object/apply:os.getcwd []\ncheckpoint: !!binary aGk=\n"


def main(folder: str) -> None:
    seeds: list[tuple[str, str, bytes]] = [*model_files()]
    for target, messages in (
        ("start_fl_job", start_requests()),
        ("update_model", uploads()),
        ("get_model", gets()),
        ("round_sequence", sequences()),
        ("fl_id_peek", partial_messages()),
        ("http_session", connections()),
        ("redis_pipeline", redis_replies()),
        ("yaml", configurations()),
    ):
        seeds += [(target, name, content) for name, content in messages]
    for target, name, content in seeds:
        path = Path(folder, target, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


if __name__ == "__main__":
    main(sys.argv[1])
