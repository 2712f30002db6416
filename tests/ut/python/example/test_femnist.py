"""Readers of handwritten characters: every form says the same, and what is broken is named."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import femnist
import lenet
import numpy as np
import pytest
from femnist import DataError, Images, Writer, WrittenImages

RANDOM = np.random.default_rng(5)


def images(count: int) -> Images:
    pixels = RANDOM.integers(0, 256, (count, 28, 28)).astype(np.uint8)
    return Images(pixels, np.sort(RANDOM.integers(0, 62, count)))


PEOPLE = WrittenImages(
    [Writer(f"f{number:04d}", images(9 + number), images(2)) for number in range(12)],
    Images(np.empty((0, 28, 28), np.uint8), np.empty(0, np.int64)),
)


def assert_same(found: WrittenImages, expected: WrittenImages) -> None:
    assert [writer.name for writer in found.writers] == [writer.name for writer in expected.writers]
    for ours, theirs in zip(found.writers, expected.writers):
        for part in ("train", "test"):
            np.testing.assert_array_equal(getattr(ours, part).pixels, getattr(theirs, part).pixels)
            np.testing.assert_array_equal(getattr(ours, part).labels, getattr(theirs, part).labels)


@pytest.mark.parametrize("kind", femnist.KINDS)
def test_every_form_gives_back_what_it_was_given(tmp_path, kind):
    if kind == "folders":
        pytest.importorskip("PIL")
    target = tmp_path / ("data.npz" if kind == "npz" else "data")
    femnist.write(PEOPLE, target, kind)
    assert_same(femnist.read(target), PEOPLE)
    assert_same(femnist.read(target, 3), WrittenImages(PEOPLE.writers[:3], PEOPLE.others))


def test_the_same_archive_to_the_byte(tmp_path):
    femnist.write(PEOPLE, tmp_path / "a.npz")
    femnist.write(femnist.read(tmp_path / "a.npz"), tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_files_of_one_user_each(tmp_path):
    writer = PEOPLE.writers[0]
    femnist.write(WrittenImages([writer], PEOPLE.others), tmp_path / "leaf", "leaf")
    for part in ("train", "test"):
        (file,) = (tmp_path / "leaf" / part).iterdir()
        content = json.loads(file.read_text())
        one = {"user_name": writer.name, "num_samples": 9, "user_data": content["user_data"][writer.name]}
        file.write_text(json.dumps(one))
    assert_same(femnist.read(tmp_path / "leaf"), WrittenImages([writer], PEOPLE.others))


def test_a_part_to_test_on_is_drawn_by_the_seed(tmp_path):
    femnist.write(PEOPLE, tmp_path / "leaf", "leaf")
    alone = tmp_path / "leaf" / "train"
    assert_same(femnist.read(alone), femnist.read(alone))
    other = femnist.read(alone, seed=2)
    for drawn, again, writer in zip(femnist.read(alone).writers, other.writers, PEOPLE.writers):
        assert len(drawn.test) == len(again.test) == round(0.1 * len(writer.train))
        assert len(drawn.train) + len(drawn.test) == len(writer.train)
    assert any(
        (a.test.pixels != b.test.pixels).any() for a, b in zip(femnist.read(alone).writers, other.writers)
    )


def test_clients_are_read_in_the_order_of_their_numbers(tmp_path):
    pytest.importorskip("PIL")
    clients = WrittenImages([Writer(f"dataset_{n}", images(1), images(1)) for n in range(11)], PEOPLE.others)
    femnist.write(clients, tmp_path / "clients")
    assert [writer.name for writer in femnist.read(tmp_path / "clients").writers][-2:] == [
        "dataset_9",
        "dataset_10",
    ]


@pytest.mark.parametrize("known", [True, False])
def test_mnist(tmp_path, known):
    arrays = {
        "x_train": RANDOM.integers(0, 256, (60, 28, 28)).astype(np.uint8),
        "y_train": RANDOM.integers(0, 10, 60),
        "x_test": RANDOM.integers(0, 256, (7, 28, 28)).astype(np.uint8),
        "y_test": RANDOM.integers(0, 10, 7),
    }
    if known:
        arrays["writer_train"] = np.repeat([41, 7, 9], 20)
    np.savez(tmp_path / "mnist.npz", **arrays)
    found = femnist.read(tmp_path / "mnist.npz", 3)
    assert [len(writer.train) for writer in found.writers] == [18, 18, 18]
    assert len(found.others) == 7
    assert len(found.test()) == 7 + 6
    if known:
        assert [writer.name for writer in found.writers] == ["writer_7", "writer_9", "writer_41"]


def test_merging_takes_successive_writers():
    first, second = femnist.merged(PEOPLE, 5)
    assert (first[0].name, second[0].name) == ("dataset_0", "dataset_1")
    assert [member.name for member in second[1]] == [f"f{n:04d}" for n in range(5, 10)]
    assert len(first[0].train) == sum(len(writer.train) for writer in PEOPLE.writers[:5])


def leaf_file(tmp_path: Path, content: object) -> Path:
    file = tmp_path / "data.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


def user(x: object, y: object) -> dict[str, object]:
    return {"users": ["f1"], "user_data": {"f1": {"x": x, "y": y}}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is no JSON"),
        ([], "no JSON object"),
        ({}, "'user_data' is missing"),
        ({"user_data": {}}, "neither a list 'users' nor a text 'user_name'"),
        ({"users": ["f1"], "user_data": {}}, "nothing of the user f1"),
        (user([[0.5] * 783], [1]), "f1: 'x' should be lists of 784 numbers"),
        (user([[0.5] * 784], [1, 2]), "1 images and 2 labels"),
        (user([[0.5] * 784], [1.5]), "labels of type float64"),
        (user([[1.5] * 784], [1]), "between 0 and 1"),
        (user([[float("nan")] * 784], [1]), "between 0 and 1"),
        (user([[0.5] * 784], [62]), r"0\.\.61"),
        (user([], []), "f1 has nothing to train on"),
        ({"users": ["f1", "f1"], "user_data": {"f1": {"x": [[0] * 784], "y": [1]}}}, "f1 is there twice"),
    ],
)
def test_broken_json(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        femnist.read(leaf_file(tmp_path, content))


ARCHIVE = {"images": np.zeros((2, 28, 28), np.uint8), "labels": np.array([0, 1]), "writer": np.array([0, 0])}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": np.zeros((2, 28, 27), np.uint8)}, "should be uint8 of shape"),
        ({"images": np.zeros((2, 28, 28), np.float32)}, "should be uint8 of shape"),
        ({"labels": np.array([0, -1])}, r"0\.\.61"),
        ({"labels": np.array([[0], [1]])}, "should be a vector"),
        ({"writer": np.array([0])}, "writer should be 2 integers"),
        ({"writer": np.array([0, 0.5])}, "writer should be 2 integers"),
        ({"split": np.array([0, 1, 0])}, "split should be 2 integers"),
        ({"split": np.array([1, 1])}, "nothing to train on"),
        ({"writer": np.array([0, 3]), "writer_name": np.array(["a"])}, "out of bounds"),
        ({"images": None}, "no array 'images'"),
        ({"labels": np.array([None, None])}, "pickle"),
    ],
)
def test_broken_archives(tmp_path, change, message):
    arrays = {name: array for name, array in {**ARCHIVE, **change}.items() if array is not None}
    np.savez(tmp_path / "data.npz", **arrays)
    with pytest.raises(DataError, match=message):
        femnist.read(tmp_path / "data.npz")


def test_what_is_no_source(tmp_path):
    pytest.importorskip("PIL")
    (tmp_path / "noise.npz").write_bytes(b"noise")
    (tmp_path / "empty").mkdir()
    (tmp_path / "client" / "c" / "train" / "sixty").mkdir(parents=True)
    (tmp_path / "image" / "c" / "train" / "61").mkdir(parents=True)
    (tmp_path / "image" / "c" / "train" / "61" / "x.png").write_bytes(b"noise")
    for name, message in {
        "noise.npz": "no .npz archive",
        "empty": "neither an .npz archive",
        "absent": "does not exist",
        "client": "should be a label",
        "image": "no image that can be read",
    }.items():
        with pytest.raises(DataError, match=message):
            femnist.read(tmp_path / name)
    np.savez(tmp_path / "data.npz", **ARCHIVE)
    with pytest.raises(DataError, match="has 1 writers, 2 are wanted"):
        femnist.read(tmp_path / "data.npz", 2)
    with pytest.raises(DataError, match="exists and is not an empty folder"):
        femnist.write(PEOPLE, tmp_path)


def test_the_command_converts(tmp_path, example):
    pytest.importorskip("PIL")

    def convert(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(example / "convert_data.py"), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)

    femnist.write(PEOPLE, tmp_path / "a.npz")
    assert convert("a.npz", "leaf", "--to", "leaf").returncode == 0
    done = convert("leaf", "clients", "--merge", 5)
    assert done.returncode == 0
    rule = "=" * 26
    assert f"{rule} combine the raw 5~9 users to the new user: dataset_1 {rule}\n" in done.stdout
    assert done.stdout.count(f"{'-' * 13} process the raw user: f00") == 10
    assert len(femnist.read(tmp_path / "clients").writers) == 2
    failed = convert("nothing", "b.npz")
    assert (failed.returncode, failed.stderr) == (1, "nothing does not exist\n")


def test_lenet_starts_alike_everywhere():
    model = lenet.initial_model()
    assert {name: array.shape for name, array in model.items()} == lenet.SHAPES
    assert {array.dtype for array in model.values()} == {np.dtype(np.float32)}
    assert all(np.abs(array).max() <= 0.04 for array in model.values())
    # Cut at two sigma, a normal distribution is 0.88 as wide.
    assert model["fc1.weight"].std() == pytest.approx(0.02 * 0.88, rel=0.02)
    assert all((array == lenet.initial_model()[name]).all() for name, array in model.items())


def test_what_lenet_sees():
    pixels = np.zeros((2, 28, 28), np.uint8)
    pixels[1] = np.linspace(0, 255, 28).astype(np.uint8)
    inputs = lenet.inputs(pixels)
    assert (inputs.shape, inputs.dtype) == ((2, 3, 32, 32), np.float32)
    assert (inputs[0] == 1).all(), "paper"
    assert inputs[1, 0, 0, 0] == 1
    assert inputs[1, 2, 31, 31] == 0
    assert (np.diff(inputs[1, 1, 5]) <= 0).all()
