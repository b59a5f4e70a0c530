"""From the space a router thinks in to a picture: principal components, versions laid over each other, neighbours in
the full space.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.routers.base import States

Floats = NDArray[np.float64]
KINDS = ("person", "query", "LLM")


@dataclass(frozen=True, eq=False)
class Layout:
    """N points: `kind` [N] indexes `KINDS`, `row` [N] is the row within that kind, `vector` [N, D] its place in the
    full space (each kind scaled to a mean square of 1), `place` [N, 2] that on the picture. `origin` [2] is where a
    person without ratings stands; `explained` the two axes' shares of all variance, the three kinds counting alike.
    `left_out` points had numbers that are not finite.
    """

    kind: NDArray[np.int8]
    row: NDArray[np.int64]
    vector: Floats
    place: Floats
    origin: Floats
    explained: tuple[float, float]
    left_out: int

    def position(self, kind: str, row: int) -> int | None:
        """Where a point stands among the N; None if it was left out."""
        found = np.flatnonzero((self.kind == KINDS.index(kind)) & (self.row == row))
        return int(found[0]) if len(found) else None

    def neighbours(self, point: int, kind: str, most: int) -> list[tuple[int, float]]:
        """The points of a kind nearest to `point` in the full space, itself left out, with the cosine to each."""
        others = np.flatnonzero(self.kind == KINDS.index(kind))
        others = others[others != point]
        length = np.linalg.norm(self.vector[others], axis=1) * np.linalg.norm(self.vector[point])
        cosine = np.divide(
            self.vector[others] @ self.vector[point], length, out=np.zeros(len(others)), where=length > 1e-12
        )
        return [(int(others[i]), float(cosine[i])) for i in np.argsort(-cosine, kind="stable")[:most]]


class Alignment(NamedTuple):
    """A picture laid over another: `place` [N, 2], `origin` [2], and the share `agreement` of the other's spread that
    it explains, over `common` points.
    """

    place: Floats
    origin: Floats
    agreement: float
    common: int


def lay_out(states: States) -> Layout:
    """The picture of a router's states: the same states, the same picture, to the sign of its axes."""
    kinds, rows, vectors, weights = [], [], [], []
    left_out = 0
    for k, points in enumerate(states):
        finite = np.flatnonzero(np.isfinite(points).all(axis=1))
        left_out += len(points) - len(finite)
        kinds.append(np.full(len(finite), k, np.int8))
        rows.append(finite.astype(np.int64))
        vectors.append(_scaled(points[finite]))
        weights.append(np.full(len(finite), 1 / max(len(finite), 1)))
    vector = np.concatenate(vectors)
    place, axes, mean, explained = principal_components(vector, np.concatenate(weights))
    return Layout(np.concatenate(kinds), np.concatenate(rows), vector, place, -mean @ axes, explained, left_out)


def lay_out_texts(vectors: Floats) -> Layout:
    """The picture of text vectors of queries alone: what can be shown before any training."""
    nobody = np.zeros((0, vectors.shape[1]))
    return lay_out(States(nobody, np.asarray(vectors, np.float64), nobody))


def principal_components(vector: Floats, weight: Floats) -> tuple[Floats, Floats, Floats, tuple[float, float]]:
    """Places [N, 2], axes [D, 2], mean [D], and the shares of the variance along the two axes, each point counting by
    its weight. The largest entry of an axis is positive, so that a picture is never a mirror image of itself.
    """
    if not len(vector):
        return np.zeros((0, 2)), np.zeros((vector.shape[1], 2)), np.zeros(vector.shape[1]), (0.0, 0.0)
    weight = weight / weight.sum()
    mean = weight @ vector
    centred = vector - mean
    variance, directions = np.linalg.eigh((centred * weight[:, None]).T @ centred)
    axes = directions[:, ::-1][:, :2]
    if axes.shape[1] < 2:
        axes = np.pad(axes, ((0, 0), (0, 2 - axes.shape[1])))
    axes = axes * np.where(np.take_along_axis(axes, np.abs(axes).argmax(0)[None], 0) < 0, -1, 1)
    total = max(float(variance.sum()), 1e-300)
    shares = np.append(np.maximum(variance[::-1], 0), 0.0)[:2] / total
    return centred @ axes, axes, mean, (float(shares[0]), float(shares[1]))


def aligned(layout: Layout, reference: Layout, pairs: list[tuple[int, int]]) -> Alignment:
    """`layout` turned, mirrored, scaled and moved (Procrustes) so that the first of each pair of points falls as near
    as it can on the second, which is a point of `reference`. With fewer than two pairs it stays as it is.
    """
    if len(pairs) < 2:
        return Alignment(layout.place, layout.origin, 0.0, len(pairs))
    own, other = np.array(pairs).T
    source, target = layout.place[own], reference.place[other]
    centre, goal = source.mean(0), target.mean(0)
    source, target = source - centre, target - goal
    left, strength, right = np.linalg.svd(source.T @ target)
    rotation = left @ right
    scale = strength.sum() / max(float((source**2).sum()), 1e-300)
    left_over = float(((scale * source @ rotation - target) ** 2).sum())
    agreement = 1 - left_over / max(float((target**2).sum()), 1e-300)

    def moved(place: Floats) -> Floats:
        return np.asarray(scale * (place - centre) @ rotation + goal)

    return Alignment(moved(layout.place), moved(layout.origin), agreement, len(pairs))


def _scaled(points: Floats) -> Floats:
    points = np.asarray(points, np.float64)
    size = float(np.sqrt((points**2).sum(1).mean())) if len(points) else 0.0
    return points / size if size > 1e-12 else points
