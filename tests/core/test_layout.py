"""Pictures of what was learned: the same for the same states, honest about what they leave out, laid over another."""

import numpy as np
import pytest

from core.layout import KINDS, aligned, lay_out, lay_out_texts
from core.routers.base import States


def blobs(seed: int = 0, users: int = 40, queries: int = 20, llms: int = 5, dim: int = 8) -> States:
    random = np.random.default_rng(seed)
    spread = np.array([5.0, 3.0, *np.ones(dim - 2)])
    return States(*(random.standard_normal((n, dim)) * spread for n in (users, queries, llms)))


def test_the_same_states_give_the_same_picture_and_its_axes_hold_the_variance_they_say():
    first, again = lay_out(blobs()), lay_out(blobs())
    np.testing.assert_array_equal(first.place, again.place)
    assert 1 > first.explained[0] > first.explained[1] > 0
    weight = 1 / np.bincount(first.kind)[first.kind]
    weight = weight / weight.sum()
    centred = first.vector - weight @ first.vector
    total = (weight[:, None] * centred**2).sum()
    np.testing.assert_allclose((weight[:, None] * first.place**2).sum(0) / total, first.explained, rtol=1e-9)


def test_each_kind_has_the_same_size_so_that_few_llms_are_seen_among_many_people():
    states = blobs()
    layout = lay_out(states._replace(llms=1000 * states.llms))
    for kind in range(len(KINDS)):
        assert (layout.vector[layout.kind == kind] ** 2).sum(1).mean() == pytest.approx(1)


def test_a_person_without_ratings_stands_at_the_origin_of_the_space():
    states = blobs()
    layout = lay_out(states._replace(users=np.vstack([states.users, np.zeros(8)])))
    at = layout.position("person", 40)
    assert at is not None
    np.testing.assert_allclose(layout.place[at], layout.origin, atol=1e-12)


def test_numbers_that_are_not_finite_are_left_out_and_counted():
    states = blobs()
    states.users[3, 2], states.llms[1, 0] = np.nan, np.inf
    layout = lay_out(states)
    assert layout.left_out == 2
    assert len(layout.place) == 63 and np.isfinite(layout.place).all()
    assert layout.position("person", 3) is None and layout.position("LLM", 1) is None
    assert layout.row[layout.position("person", 4)] == 4


def test_neighbours_are_found_in_the_full_space_and_not_on_the_picture():
    users = np.zeros((3, 8))
    users[:, 0] = 1  # alike on the picture's first axis
    users[0, 7], users[1, 7], users[2, 7] = 3.0, 3.1, -3.0
    layout = lay_out(blobs()._replace(users=users))
    me = layout.position("person", 0)
    assert me is not None
    (nearest, cosine), (farthest, other) = layout.neighbours(me, "person", 5)
    assert layout.row[nearest] == 1 and layout.row[farthest] == 2
    assert cosine > 0.99 and other < 0
    assert all(layout.kind[point] == 2 for point, _ in layout.neighbours(me, "LLM", 3))


def test_a_version_that_is_turned_mirrored_and_scaled_is_laid_exactly_over_the_other():
    states = blobs()
    reference = lay_out(states)
    turn, _ = np.linalg.qr(np.random.default_rng(1).standard_normal((8, 8)))
    layout = lay_out(States(*(7 * points @ turn for points in states)))
    everyone = [(point, point) for point in range(len(layout.place))]
    alignment = aligned(layout, reference, everyone)
    np.testing.assert_allclose(alignment.place, reference.place, atol=1e-9)
    np.testing.assert_allclose(alignment.origin, reference.origin, atol=1e-9)
    assert alignment.agreement == pytest.approx(1) and alignment.common == 65
    unlike = aligned(lay_out(blobs(seed=9)), reference, everyone)
    assert unlike.agreement < 0.5


@pytest.mark.parametrize(("users", "queries", "llms", "dim"), [(0, 0, 0, 8), (1, 0, 0, 8), (0, 3, 1, 1), (1, 1, 1, 2)])
def test_a_world_of_almost_nothing_has_a_picture_too(users, queries, llms, dim):
    random = np.random.default_rng(0)
    layout = lay_out(States(*(random.standard_normal((n, dim)) for n in (users, queries, llms))))
    assert layout.place.shape == (users + queries + llms, 2)
    assert np.isfinite(layout.place).all()
    assert aligned(layout, layout, []).common == 0


def test_texts_alone_have_a_picture_before_any_training():
    vectors = np.random.default_rng(0).standard_normal((12, 16))
    layout = lay_out_texts(vectors)
    assert len(layout.place) == 12 and set(layout.kind) == {KINDS.index("query")}
