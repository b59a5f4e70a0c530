"""Groups of people of like taste, found among their states."""

import numpy as np
from numpy.typing import NDArray

FEW = 8  # people: below that, groups would be single persons
MOST_GROUPS = 6
JUDGED = 400  # people on whom a number of groups is judged: the comparison is quadratic


def groups(states: NDArray[np.float64]) -> NDArray[np.int64]:
    """[U]: the group of each person by k-means, the largest 0; one group where there are few people or no structure.

    The number of groups is that of the best silhouette (Rousseeuw, 1987). People whose numbers are not finite are in
    group 0. The same states give the same groups.
    """
    from sklearn.cluster import KMeans
    from sklearn.metrics import silhouette_score

    finite = np.isfinite(states).all(axis=1)
    found = np.zeros(len(states), np.int64)
    points = states[finite]
    if len(np.unique(points, axis=0)) < FEW:
        return found
    judged = np.unique(np.linspace(0, len(points) - 1, min(len(points), JUDGED)).round().astype(int))
    best, labels = 0.0, np.zeros(len(points), np.int64)
    for k in range(2, MOST_GROUPS + 1):
        tried = KMeans(k, n_init=3, random_state=0).fit(points).labels_
        if len(np.unique(tried[judged])) < 2:
            continue
        score = float(silhouette_score(points[judged], tried[judged]))
        if score > best + 0.01:  # the simpler of nearly equals
            best, labels = score, tried
    by_size = np.argsort(np.argsort(-np.bincount(labels), kind="stable"))
    found[finite] = by_size[labels]
    return found
