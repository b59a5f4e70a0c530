"""Reasons that are true: what they name moves the choice more than what they do not, and what flips it flips it."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.costs import priced_scores
from core.dataset import PreferenceDataset
from core.domain import Query, UserId
from core.evaluation import Estimate, over_users
from core.explain import explain, flip_by_cost, nearest_rated
from core.optimisation import TrainConfig
from core.routers import router_class
from core.routers.base import Personal
from core.routers.gat import GatRouter
from core.style_profile import style_profile
from tests.planted import HashEncoder, two_camps

ENCODER = HashEncoder()
NAMED = 5


@cache
def planted() -> tuple[Personal, PreferenceDataset, tuple[Query, ...]]:
    train, validation, test = two_camps(users=24, ratings=30, n_queries=40, one_in=3).split(
        "query", (0.6, 0.2, 0.2), seed=1
    )
    router = router_class("gat").fit(train, validation, ENCODER, seed=3)
    assert isinstance(router, Personal)
    return router, train, tuple(test.queries[i] for i in np.unique(test.query))


def moved_more(
    router: Personal, history: PreferenceDataset, queries: tuple[Query, ...], users: list[UserId], by: str
) -> Estimate:
    """How much further removing the ratings named as reasons moves the chosen LLM's probability than removing as many
    at random: the mean over people, with its interval over them.
    """
    chance = np.random.default_rng(0)
    gained = []
    for user in users:
        own = history.of_user(user)
        each = []
        for query in queries:
            reasons = explain(router, user, query, own)
            order = sorted(reasons, key=lambda reason: -abs(getattr(reason, by)))
            named = np.isin(own.ids, [reason.comparison for reason in order[:NAMED]])
            random = np.isin(np.arange(len(own)), chance.choice(len(own), NAMED, replace=False))
            before = router.predict_proba(user, [query], own)[0]
            top = int(before.argmax())
            after = [router.predict_proba(user, [query], own.where(~gone))[0, top] for gone in (named, random)]
            each.append(abs(before[top] - after[0]) - abs(before[top] - after[1]))
        gained.append(float(np.mean(each)))
    return over_users(np.array(gained), np.ones(len(gained)))


def test_removing_the_named_ratings_moves_the_choice_more_than_removing_others() -> None:
    router, train, asked = planted()
    gain = moved_more(router, train, asked[:2], list(train.users), "effect")
    assert gain.low > 0, gain


def test_the_same_holds_on_simulated_personas(shared_data) -> None:
    from benchmarks.world import load_world

    world = load_world(shared_data / "personas", 50, 30)
    config = TrainConfig(epochs=8, device="cpu")
    router, _ = GatRouter.fit_with_report(world.train, world.validation, world.encoder, config)
    gain = moved_more(router, world.train, world.test[::24], list(world.train.users)[:24], "effect")
    assert gain.low > 0, gain


def test_a_rating_without_which_another_would_be_chosen_is_named_so() -> None:
    router, train, asked = planted()
    user = train.users[0]
    own = train.of_user(user).where(np.arange(2))
    for query in asked:
        top = int(router.predict_proba(user, [query], own)[0].argmax())
        for reason in explain(router, user, query, own):
            without = own.where(own.ids != reason.comparison)
            then = int(router.predict_proba(user, [query], without)[0].argmax())
            assert reason.instead == (None if then == top else router.llms[then])


def test_nearest_rated_queries_are_of_the_same_words_and_say_what_was_said_last() -> None:
    _, train, asked = planted()
    own = train.of_user(train.users[0])
    near = nearest_rated(asked[0], own, ENCODER, 3)
    assert len(near) == 3 and all(each.query.task == asked[0].task for each in near)
    assert [each.cosine for each in near] == sorted((each.cosine for each in near), reverse=True)
    rows = np.flatnonzero(own.query == own.query_row[near[0].query.query_id])
    assert near[0].outcome == own.outcome_of(rows[-1])
    assert nearest_rated(asked[0], own.where(np.zeros(0, np.int64)), ENCODER, 3) == ()


@given(
    st.lists(
        st.tuples(st.floats(0.01, 1), st.one_of(st.just(float("nan")), st.floats(0, 0.02))), min_size=1, max_size=6
    )
)
def test_just_above_the_named_cost_weight_another_is_served_and_below_it_is_not(rows) -> None:
    probability = np.array([p for p, _ in rows])
    probability = probability / probability.sum()
    cost = np.array([c for _, c in rows])
    flip, top = flip_by_cost(probability, cost), int(probability.argmax())
    if flip is None:
        for alpha in (0.0, 0.3, 0.99):
            served = priced_scores(probability, cost, alpha)
            assert served[top] >= served.max() - 1e-9
        return
    assert 0 <= flip.alpha < 1
    above = priced_scores(probability, cost, min(flip.alpha + 1e-4, 1.0))
    assert above[flip.llm] > above[top] - 1e-9
    below = priced_scores(probability, cost, max(flip.alpha - 1e-4, 0.0))
    assert below[top] >= below.max() - 1e-6 * abs(below.max()) - 1e-9 or flip.alpha < 1e-4


def written(n: int, taste: float, seed: int = 0) -> tuple[np.ndarray, ...]:
    """n ratings among four LLMs of different liking, by someone to whom 100 more words are worth `taste` logits."""
    random = np.random.default_rng(seed)
    a = random.integers(0, 4, n)
    b = (a + random.integers(1, 4, n)) % 4
    style = np.stack([random.normal(0, 120, n).round(), *np.zeros((3, n))], 1)
    liking = np.array([0.8, 0.2, -0.3, -0.7])
    margin = liking[a] - liking[b] + taste * style[:, 0] / 100
    label = (random.random(n) < 1 / (1 + np.exp(-margin))).astype(float)
    return a, b, label, style, np.zeros(n)


def test_a_taste_for_short_answers_is_found_beside_the_llms_with_an_interval_that_holds_it() -> None:
    inside = 0
    for seed in range(40):
        (length,) = style_profile(*written(120, -0.8, seed))
        truth = 1 / (1 + np.exp(0.8)) - 0.5
        inside += length.low <= truth <= length.high
        assert length.name == "100 more words" and length.n > 100
    assert inside >= 34  # of 40 at 95 %; the prior pulls a little
    (length,) = style_profile(*written(400, -0.8))
    assert length.clear and length.points < -0.1


def test_no_taste_in_length_is_called_no_taste_and_few_ratings_nothing() -> None:
    unclear = [not style_profile(*written(120, 0.0, seed))[0].clear for seed in range(20)]
    assert sum(unclear) >= 17
    assert style_profile(*written(10, -0.8)) == ()
    assert style_profile(*(column[:0] for column in written(10, 0.0))) == ()


@pytest.mark.parametrize("usual", [-2.0, 2.0])
def test_what_the_average_person_thinks_is_not_taken_for_taste(usual: float) -> None:
    a, b, _, style, _ = written(300, 0.0)
    margin = usual * style[:, 0] / 100
    label = (np.random.default_rng(1).random(300) < 1 / (1 + np.exp(-margin))).astype(float)
    (length,) = style_profile(a, b, label, style, margin)
    assert abs(length.points) < 0.1
