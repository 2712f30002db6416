"""The score of the vectors that devices attached to their updates, as it stands in the metrics."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mindspore_federated import log
from mindspore_federated.startup.evaluation_scores import evaluation_score
from mindspore_federated.startup.job_rows import JobRows, JobRowsError


def unsupervised_score(rows: JobRows, instance: str, kind: str, wanted: int) -> float:
    """The score `kind` over the newest `wanted` vectors of `instance`; 0 if there are fewer.

    Vectors stand in the cache as float32, little-endian. Those of another length than the newest one are
    left out, as are those with values that are not finite; both is said in the log.
    """
    try:
        raw = rows.evaluation_vectors(instance, wanted)
    except JobRowsError as error:
        log.warning("No score of unsupervised evaluation: %s", error)
        return 0.0
    if not raw or len(raw) < wanted:
        log.info("No score of unsupervised evaluation: %d of %d vectors are there", len(raw), wanted)
        return 0.0
    vectors = _matrix(raw)
    if len(vectors) < len(raw):
        log.warning(
            "Unsupervised evaluation takes %d of the newest %d vectors: those of the newest one's length, "
            "%d values, that are finite",
            len(vectors),
            len(raw),
            vectors.shape[1],
        )
    return evaluation_score(kind, vectors)


def _matrix(raw: list[bytes]) -> NDArray[np.float32]:
    values = len(raw[0]) // 4
    alike = [text for text in raw if len(text) == 4 * values]
    matrix = np.frombuffer(b"".join(alike), "<f4").reshape(len(alike), values)
    finite = matrix[np.isfinite(matrix).all(axis=1)]
    return np.asarray(finite, np.float32)
