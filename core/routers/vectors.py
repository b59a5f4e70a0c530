"""Text vectors for routers without a network: checked, in float64, and each text encoded once in a fit."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from core.domain import LLM, Query
from core.encoders import TextEncoder, Vectors
from core.errors import InvalidInput

Floats = NDArray[np.float64]


class EncodedOnce:
    """A TextEncoder that remembers every text it has seen: trying knobs on validation asks for the same queries over
    and over.
    """

    def __init__(self, encoder: TextEncoder) -> None:
        self._encoder = encoder
        self._known: dict[str, Vectors] = {}

    @property
    def id(self) -> str:
        return self._encoder.id

    @property
    def dim(self) -> int:
        return self._encoder.dim

    def encode(self, texts: Sequence[str]) -> Vectors:
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if new:
            self._known.update(zip(new, self._encoder.encode(new), strict=True))
        return np.array([self._known[text] for text in texts], np.float32).reshape(-1, self.dim)


def query_vectors(queries: Sequence[Query], encoder: TextEncoder) -> Floats:
    """[Q, dim] unit vectors of the queries. Raises InvalidInput when the encoder gives a number that is not finite."""
    return _unit(encoder.encode([q.text for q in queries]), "query")


def llm_vectors(llms: Sequence[LLM], encoder: TextEncoder) -> Floats:
    """[L, dim] unit vectors of the LLMs' descriptions. Raises InvalidInput as `query_vectors` does."""
    return _unit(encoder.encode([m.text for m in llms]), "LLM")


def task_names(queries: Sequence[Query]) -> tuple[str, ...]:
    """The tasks of some queries, sorted; queries without one add none."""
    return tuple(sorted({q.task for q in queries if q.task}))


def task_rows(queries: Sequence[Query], tasks: Sequence[str]) -> NDArray[np.int64]:
    """[Q] row of each query's task in `tasks`, and `len(tasks)` where it has none or one never seen."""
    row = {name: i for i, name in enumerate(tasks)}
    return np.array([row.get(q.task, len(tasks)) for q in queries], np.int64)


def _unit(vectors: Vectors, what: str) -> Floats:
    if not np.isfinite(vectors).all():
        bad = int((~np.isfinite(vectors).all(axis=1)).sum())
        raise InvalidInput(
            f"{bad} {what} vectors are not finite, so nothing can be learned or decided from them. "
            "Clear the cached text embeddings and try again."
        )
    exact = np.asarray(vectors, np.float64)
    unit: Floats = exact / np.maximum(np.linalg.norm(exact, axis=1, keepdims=True), 1e-12)
    return unit
