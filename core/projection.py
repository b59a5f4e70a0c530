"""Pictures that keep neighbours together, where principal components keep distances: t-SNE, and UMAP where installed.

Both take their time, which a page has not: a worker draws them.
"""

from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from core.errors import InvalidInput
from core.layout import Layout

Floats = NDArray[np.float64]
Reach = Callable[[str, int, int], None]

TSNE, UMAP = "t-SNE", "UMAP"
STAGES = 4  # of t-SNE: between two of them a cancel is heard
STEPS_A_STAGE = 250
PERPLEXITY = 30.0
LEAST_POINTS = 10


def methods() -> tuple[str, ...]:
    """What can be drawn here."""
    return (TSNE, UMAP) if find_spec("umap") else (TSNE,)


def check_method(method: str) -> str:
    """The method. Raises InvalidInput for one that is not here."""
    if method not in methods():
        raise InvalidInput(f"'{method}' cannot be drawn here. Known: {', '.join(methods())}.")
    return method


def project(method: str, layout: Layout, reach: Reach, seed: int = 0) -> Floats:
    """[N, 2]: a place for each point of a layout from its full vector. It starts from the principal components, so that
    the same layout gives the same picture, and a similar one a similar picture. `reach(stage, number, of)` is told
    before each stage; what it raises ends the work. Raises InvalidInput where there are too few points.
    """
    if len(layout.vector) < LEAST_POINTS:
        raise InvalidInput(f"A {method} picture needs at least {LEAST_POINTS} points; there are {len(layout.vector)}.")
    start = layout.place / max(float(layout.place[:, 0].std()), 1e-12) * 1e-4
    drawn = _tsne(layout.vector, start, reach, seed) if check_method(method) == TSNE else _umap(layout, reach, seed)
    # As large as the picture of principal components, and centred, so that one scale serves both.
    drawn = drawn - drawn.mean(0)
    return np.asarray(drawn * (layout.place.std() / max(float(drawn.std()), 1e-12)))


def _tsne(vector: Floats, start: Floats, reach: Reach, seed: int) -> Floats:
    """Van der Maaten and Hinton (2008), Barnes-Hut. Exaggerated in the first stage only."""
    from sklearn import manifold

    place = np.asarray(start, np.float32)
    for stage in range(STAGES):
        reach("drawing", stage, STAGES)
        place = manifold.TSNE(
            perplexity=min(PERPLEXITY, (len(vector) - 1) / 3), init=place, random_state=seed,
            early_exaggeration=12.0 if stage == 0 else 1.0, max_iter=STEPS_A_STAGE, n_jobs=1,
        ).fit_transform(vector)  # fmt: skip
    return np.asarray(place, np.float64)


def _umap(layout: Layout, reach: Reach, seed: int) -> Floats:
    """McInnes, Healy and Melville (1802.03426); one stage, since it cannot be asked to pause."""
    import umap

    reach("drawing", 0, 1)
    near = min(15, len(layout.vector) - 1)
    fitted = umap.UMAP(n_neighbors=near, random_state=seed, init=layout.place.astype(np.float32), n_jobs=1)
    return np.asarray(fitted.fit_transform(layout.vector), np.float64)
