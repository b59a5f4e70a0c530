"""Pictures that keep neighbours together: the same each time, as large as the other picture, stopped on request."""

import numpy as np
import pytest

from core.errors import InvalidInput, TrainingCancelled
from core.layout import lay_out
from core.projection import STAGES, TSNE, check_method, methods, project
from core.routers.base import States


def groups_of(n: int = 20) -> States:
    """Three groups of people far apart in eight dimensions, of which two are seen as one on the first two axes."""
    random = np.random.default_rng(0)
    centres = np.zeros((3, 8))
    centres[0, 0], centres[1, 1], centres[2, 2] = 6, 6, 6
    people = np.concatenate([centre + random.normal(0, 0.5, (n, 8)) for centre in centres])
    return States(people, random.normal(0, 0.5, (6, 8)), random.normal(0, 0.5, (3, 8)))


def test_neighbours_in_the_full_space_are_neighbours_on_the_picture_and_it_is_always_the_same() -> None:
    layout, told = lay_out(groups_of()), list[tuple[str, int, int]]()
    place = project(TSNE, layout, lambda *stage: told.append(stage))
    assert told == [("drawing", stage, STAGES) for stage in range(STAGES)]
    assert place.shape == layout.place.shape and np.isfinite(place).all()
    assert place.std() == pytest.approx(layout.place.std()) and np.abs(place.mean(0)).max() < 1e-6
    assert np.array_equal(place, project(TSNE, layout, lambda *_: None))
    people = place[:60]
    apart = np.linalg.norm(people[:, None] - people[None], axis=-1) + 1e9 * np.eye(60)
    group = np.repeat(np.arange(3), 20)
    assert (group[apart.argmin(1)] == group).mean() > 0.95


def test_a_drawing_is_stopped_between_two_stages() -> None:
    def stop(_stage: str, number: int, _of: int) -> None:
        if number:
            raise TrainingCancelled

    with pytest.raises(TrainingCancelled):
        project(TSNE, lay_out(groups_of()), stop)


def test_what_cannot_be_drawn_is_said() -> None:
    assert TSNE in methods()
    with pytest.raises(InvalidInput, match="'crayon' cannot be drawn here"):
        check_method("crayon")
    with pytest.raises(InvalidInput, match="at least 10 points; there are 3"):
        project(TSNE, lay_out(States(*(points[:1] for points in groups_of()))), lambda *_: None)
