"""Scores of a clustering without labels, over vectors that devices attach to their updates.

A vector's cluster is the index of its largest component, the first one among equals; distances are
Euclidean. Formulae: scikit-learn's; where MindSpore Federated 0.1 and 0.2 differ, theirs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.intp]

_BLOCK_VALUES = 1 << 20  # distances in memory at a time
_ROUNDING = 1e-14  # of a squared distance, relative to the squares that it is made from


def evaluation_score(kind: str, vectors: NDArray[np.float32]) -> float:
    """The score of `vectors`, shape (n, values), finite.

    Args:
        kind: ``SILHOUETTE_SCORE``, ``CALINSKI_HARABASZ_SCORE`` or ``DAVIES_BOULDIN_SCORE``.

    Returns:
        0 if there are fewer than 2 or more than n - 1 clusters.
    """
    labels = np.argmax(vectors, axis=1) if vectors.size else np.zeros(0, np.intp)
    _, labels = np.unique(labels, return_inverse=True)
    clusters = int(labels.max()) + 1 if labels.size else 0
    if not 2 <= clusters <= len(vectors) - 1:
        return 0.0
    # Sorted by cluster, so that a cluster is a slice; centred, which costs the distances less precision.
    order = np.argsort(labels, kind="stable")
    points = vectors[order].astype(np.float64)
    points -= points.mean(axis=0)
    score = _SCORES[kind](points, labels[order])
    return score if math.isfinite(score) else 0.0


def _silhouette(points: Floats, labels: Integers) -> float:
    """Mean of (b - a) / max(a, b); 0 for a vector alone in its cluster or without any distance to it."""
    starts, counts = _slices(labels)
    _, same = np.unique(points, axis=0, return_inverse=True)
    same = same.reshape(-1)
    total = 0.0
    for block, distances in _distances(points):
        distances[same[block, None] == same[None, :]] = 0.0  # exactly, whatever was rounded
        sums = np.add.reduceat(distances, starts, axis=1)
        own = (np.arange(len(sums)), labels[block])
        inner = sums[own] / np.maximum(counts[labels[block]] - 1, 1)
        means = sums / counts
        means[own] = np.inf
        outer = means.min(axis=1)
        inside = inner > 0
        total += float(np.sum((outer[inside] - inner[inside]) / np.maximum(inner, outer)[inside]))
    return total / len(points)


def _calinski_harabasz(points: Floats, labels: Integers) -> float:
    """Dispersion between clusters over that within, each by its degrees of freedom; 1 without the latter."""
    starts, counts = _slices(labels)
    if np.array_equal(points, points[starts][labels]):
        return 1.0
    centres = np.add.reduceat(points, starts, axis=0) / counts[:, None]
    between = float(np.sum(counts * np.einsum("ij,ij->i", centres, centres)))  # the mean of all is 0
    within = float(np.sum(_distances_to_centre(points, labels, centres) ** 2))
    clusters = len(counts)
    return between / within * (len(points) - clusters) / (clusters - 1) if within else 1.0


def _davies_bouldin(points: Floats, labels: Integers) -> float:
    """Mean over clusters of the largest (own width + other's width) / distance of centres."""
    starts, counts = _slices(labels)
    if np.array_equal(points, points[starts][labels]):
        return 0.0
    centres = np.add.reduceat(points, starts, axis=0) / counts[:, None]
    widths = np.add.reduceat(_distances_to_centre(points, labels, centres), starts) / counts
    total = 0.0
    for block, distances in _distances(centres):
        distances[distances == 0.0] = np.inf  # itself, and clusters at one place
        total += float(np.sum(np.max((widths[block, None] + widths[None, :]) / distances, axis=1)))
    return total / len(counts)


def _distances(points: Floats) -> Iterator[tuple[slice, Floats]]:
    """Distances of a block of points to all, block by block; 0 where they are lost in rounding."""
    squares = np.einsum("ij,ij->i", points, points)
    rows = max(1, _BLOCK_VALUES // len(points))
    for first in range(0, len(points), rows):
        block = slice(first, first + rows)
        sizes = squares[block, None] + squares[None, :]
        distances = sizes - 2.0 * (points[block] @ points.T)
        distances[distances <= _ROUNDING * sizes] = 0.0
        yield block, np.sqrt(distances, out=distances)


def _slices(labels: Integers) -> tuple[Integers, Integers]:
    """Where each cluster starts, and its size."""
    _, starts, counts = np.unique(labels, return_index=True, return_counts=True)
    return starts, counts


def _distances_to_centre(points: Floats, labels: Integers, centres: Floats) -> Floats:
    distances = np.empty(len(points))
    rows = max(1, _BLOCK_VALUES // points.shape[1])
    for first in range(0, len(points), rows):
        block = slice(first, first + rows)
        offsets = points[block] - centres[labels[block]]
        distances[block] = np.sqrt(np.einsum("ij,ij->i", offsets, offsets))
    return distances


_SCORES: dict[str, Callable[[Floats, Integers], float]] = {
    "SILHOUETTE_SCORE": _silhouette,
    "CALINSKI_HARABASZ_SCORE": _calinski_harabasz,
    "DAVIES_BOULDIN_SCORE": _davies_bouldin,
}
