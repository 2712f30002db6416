"""Scores of unsupervised evaluation: the reference's value, scikit-learn's, and the edges."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import calinski_harabasz_score, davies_bouldin_score, silhouette_score

from mindspore_federated import log
from mindspore_federated.startup import evaluation_scores
from mindspore_federated.startup.evaluation import unsupervised_score
from mindspore_federated.startup.evaluation_scores import evaluation_score
from mindspore_federated.startup.job_rows import JobRowsError

SKLEARN: dict[str, Callable[..., float]] = {
    "SILHOUETTE_SCORE": silhouette_score,
    "CALINSKI_HARABASZ_SCORE": calinski_harabasz_score,
    "DAVIES_BOULDIN_SCORE": davies_bouldin_score,
}
KINDS = tuple(SKLEARN)


def floats(*rows: object) -> Any:
    return np.array(rows, np.float32)


def test_the_value_of_the_reference() -> None:
    score = evaluation_score("SILHOUETTE_SCORE", floats([1, 2, 3], [2, 3, 4], [5, 4, 3]))
    assert score == pytest.approx(0.363489, abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("count", "values", "far"), [(50, 5, 6), (200, 300, 0), (300, 40, 1000)])
@pytest.mark.parametrize("block", [1 << 20, 700])
def test_scores_are_those_of_scikit_learn(
    kind: str, count: int, values: int, far: float, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation_scores, "_BLOCK_VALUES", block)
    random = np.random.default_rng(count)
    vectors = random.normal(size=(count, values)).astype(np.float32)
    vectors[np.arange(count), random.integers(0, 5, count)] += far
    expected = SKLEARN[kind](vectors.astype(np.float64), vectors.argmax(axis=1))
    assert evaluation_score(kind, vectors) == pytest.approx(expected, rel=1e-7, abs=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "vectors",
    [
        np.zeros((0, 3), np.float32),
        np.zeros((5, 0), np.float32),
        floats([1, 0]),
        floats([1, 0], [0, 1]),  # as many clusters as vectors
        floats([1, 0], [2, 0], [3, 0]),  # one cluster
        floats([0, 0], [0, 0], [0, 0]),
    ],
)
def test_without_two_clusters_and_one_vector_more_there_is_no_score(kind: str, vectors: Any) -> None:
    assert evaluation_score(kind, vectors) == 0.0


def test_the_first_of_equal_components_is_the_label() -> None:
    vectors = floats([2, 2, 0], [3, 1, 0], [1, 5, 5], [0, 4, 4])
    expected = silhouette_score(vectors, [0, 0, 1, 1])
    assert evaluation_score("SILHOUETTE_SCORE", vectors) == pytest.approx(expected)


def test_vectors_that_are_the_same() -> None:
    same = floats(*([[0.1, 0.2, 1e-3]] * 4), *([[0.3, 0.1, 0.7]] * 3))
    assert evaluation_score("SILHOUETTE_SCORE", same) == 0.0  # other than in scikit-learn, where it is 1
    assert evaluation_score("CALINSKI_HARABASZ_SCORE", same) == 1.0
    assert evaluation_score("DAVIES_BOULDIN_SCORE", same) == 0.0
    # One that differs makes its cluster's members count.
    moved = same.copy()
    moved[0, 1] = 0.25
    assert 0 < evaluation_score("SILHOUETTE_SCORE", moved) < 1


def test_clusters_around_one_place() -> None:
    vectors = floats([1, -1], [-1, 1], [2, -2], [-2, 2], [0, 0])
    assert evaluation_score("DAVIES_BOULDIN_SCORE", vectors) == pytest.approx(
        davies_bouldin_score(vectors, vectors.argmax(axis=1))
    )
    apart = floats([3, 1, 0], [3, -1, 0], [-3, 1, 2], [9, 0, 9.5], [0, 0, 1e-9])
    labels = apart.argmax(axis=1)
    assert evaluation_score("DAVIES_BOULDIN_SCORE", apart) == pytest.approx(
        davies_bouldin_score(apart, labels)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_extreme_values_give_a_number(kind: str) -> None:
    random = np.random.default_rng(0)
    for scale in (1e-38, 1e38):
        vectors = (random.normal(size=(30, 4)) * scale).astype(np.float32)
        assert np.isfinite(evaluation_score(kind, vectors))


@pytest.mark.parametrize("kind", KINDS)
def test_memory_is_bounded(kind: str) -> None:
    vectors = np.random.default_rng(0).normal(size=(4000, 8)).astype(np.float32)
    tracemalloc.start()
    evaluation_score(kind, vectors)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 60 << 20  # all distances at once: 128 MB


class Rows:
    def __init__(self, *vectors: object) -> None:
        self.vectors = vectors

    def evaluation_vectors(self, _instance: str, count: int) -> list[bytes]:
        if not self.vectors:
            raise JobRowsError("away")
        return [np.array(vector, "<f4").tobytes() for vector in self.vectors][:count]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []
    for level in ("info", "warning"):
        monkeypatch.setattr(log, level, lambda msg, *args: found.append(msg % args))
    return found


def score(rows: Any, wanted: int = 3) -> float:
    return unsupervised_score(rows, "i_1", "SILHOUETTE_SCORE", wanted)


def test_vectors_as_they_stand_in_the_cache(told: list[str]) -> None:
    assert score(Rows([5, 4, 3], [2, 3, 4], [1, 2, 3], [9, 9, 9])) == pytest.approx(0.363489, abs=1e-6)
    assert told == []


def test_too_few_vectors(told: list[str]) -> None:
    assert score(Rows([5, 4, 3], [2, 3, 4])) == 0.0
    assert told == ["No score of unsupervised evaluation: 2 of 3 vectors are there"]


def test_a_cache_that_is_away(told: list[str]) -> None:
    assert score(Rows()) == 0.0
    assert told == ["No score of unsupervised evaluation: away"]


def test_vectors_of_other_lengths_are_left_out(told: list[str]) -> None:
    rows = Rows([5, 4, 3], [2, 3, 4], [1, 2], [1, 2, 3], [1, np.nan, 2], [1, np.inf, 2])
    assert score(rows, 6) == pytest.approx(0.363489, abs=1e-6)
    assert told == [
        "Unsupervised evaluation takes 3 of the newest 6 vectors: those of the newest one's length, 3 "
        "values, that are finite"
    ]


def test_vectors_without_values(told: list[str]) -> None:
    assert score(Rows([], [], [])) == 0.0
    assert score(Rows([], [1], [2])) == 0.0
