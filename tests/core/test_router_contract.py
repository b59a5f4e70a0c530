"""What every kind of router keeps to, whatever it is inside. Each is fitted once on the planted world of two camps."""

import io
import zipfile
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from core.dataset import PreferenceDataset
from core.domain import LLM, OUTCOMES, LLMId, Outcome, Query, QueryId, UserId
from core.errors import CorruptArtifact, InvalidInput
from core.evaluation import Estimate, evaluate, log_loss_gain, predict_pairs
from core.optimisation import TrainConfig
from core.routers import ROUTERS, load_router, router_class
from core.routers.base import Batched, Onboards, Router
from core.routers.folded import FoldedRouter
from core.routers.gat import GatRouter
from core.routers.personalized_router import RECIPES
from tests.planted import LLMS, HashEncoder, comparison, liking, two_camps
from tests.short_descents import short_ladder, shorten_descents

KINDS = tuple(ROUTERS)
# What a person said changes what they are told, and nobody else's answer.
PERSONAL = (
    "user_best", "user_task_best", "user_bradley_terry", "user_knn", "matrix_factorization", "logistic_per_user",
    "personalized_router", "gat", "ladder",
)  # fmt: skip
POPULATION = tuple(kind for kind in KINDS if kind not in PERSONAL)
# Its contrastive loss sees only the 24 queries it is fitted on, and learns them by heart.
OVERFITS = ("router_dc",)
# What is asked here is what they do, not how good the last epochs make them: these learn the two camps in a few.
NETWORKS = ("gat", "ladder")
EPOCHS = 10
# Whom the seed changes; the others draw nothing.
SEEDED = ("matrix_factorization", "router_dc", "graph_router", "personalized_router", *NETWORKS)
ENCODER = HashEncoder()
STRANGER = UserId("nobody knows me")
SHORT, LONG = UserId("short-00"), UserId("long-01")


@cache
def world() -> tuple[PreferenceDataset, PreferenceDataset, PreferenceDataset]:
    """Train, validation and test part, split by query."""
    train, validation, test = two_camps(users=24, ratings=30, n_queries=40, one_in=3).split(
        "query", (0.6, 0.2, 0.2), seed=1
    )
    return train, validation, test


@cache
def fitted(kind: str) -> Router:
    train, validation, _ = world()
    return fit(kind, train, validation)


def fit(kind: str, train: PreferenceDataset, validation: PreferenceDataset) -> Router:
    config = TrainConfig(EPOCHS, seed=3)
    if kind == "gat":
        return GatRouter.fit_with_report(train, validation, ENCODER, config)[0]
    if kind == "ladder":
        return short_ladder(train, validation, ENCODER, config)
    return router_class(kind).fit(train, validation, ENCODER, seed=3)


def asked() -> tuple[Query, ...]:
    """Queries that nobody rated before the test, and one of a task never seen."""
    test = world()[2]
    return (
        *(test.queries[i] for i in np.unique(test.query)),
        Query(QueryId("typed"), ("something else",), "never seen"),
    )


MANY_AT_ONCE = tuple(kind for kind in KINDS if hasattr(router_class(kind), "predict_everyone"))


@pytest.mark.parametrize("kind", MANY_AT_ONCE)
def test_many_people_in_one_call_are_told_what_each_is_told_alone(kind: str) -> None:
    train, router = world()[0], fitted(kind)
    assert isinstance(router, Batched)
    # Some with few ratings, one without, and an LLM that the router has never heard of before all the others.
    new = replace(LLMS[0], llm_id=LLMId("llm-new"))
    moved = replace(train, llms=(new, *train.llms), llm_a=train.llm_a + 1, llm_b=train.llm_b + 1)
    history = moved.where(moved.place_within_user < 3 * moved.user)
    told = router.predict_everyone(asked(), history)
    for row, user in enumerate(history.users):
        np.testing.assert_allclose(told[row], router.predict_proba(user, asked(), history), atol=1e-5)
    nobody = PreferenceDataset.from_comparisons([], [], LLMS)
    assert router.predict_everyone(asked(), nobody).shape == (0, len(asked()), len(LLMS))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if hasattr(router_class(kind), "pair_margins")])
def test_margins_of_many_pairs_in_one_call_are_those_of_the_probabilities(kind: str) -> None:
    train, _, test = world()
    held_out, router = test.where(test.user % 3 == 1), fitted(kind)
    assert isinstance(router, GatRouter | FoldedRouter)
    told = predict_pairs(router, held_out, train).probability
    margins = np.clip(router.pair_margins(held_out, train), -10, 10)  # probabilities end at one in a billion
    np.testing.assert_allclose(margins, np.clip(np.log(told) - np.log1p(-told), -10, 10), atol=1e-3)


def renamed(ratings: PreferenceDataset, *names: str) -> PreferenceDataset:
    """One person's ratings as if people of these names had each given them."""
    copies = len(names)
    every = ratings.where(np.tile(np.arange(len(ratings)), copies))
    return replace(
        every, users=tuple(map(UserId, names)), user=np.repeat(np.arange(copies, dtype=np.int32), len(ratings))
    )


@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_probabilities_over_the_llms_in_the_datasets_order(kind):
    train = world()[0]
    router = fitted(kind)
    assert router.llms == tuple(m.llm_id for m in train.llms)
    for user in (SHORT, LONG, STRANGER):
        probability = router.predict_proba(user, asked(), train)
        assert probability.shape == (len(asked()), len(LLMS))
        assert np.isfinite(probability).all()
        assert (probability > 0).all()
        np.testing.assert_allclose(probability.sum(1), 1)
    assert router.predict_proba(SHORT, [], train).shape == (0, len(LLMS))


@pytest.mark.parametrize("kind", KINDS)
def test_same_seed_same_numbers(kind, monkeypatch):
    """Which random numbers are drawn shows in the first steps."""
    shorten_descents(monkeypatch)
    train, validation, _ = world()

    def told(seed: int) -> np.ndarray:
        torch.rand(7)  # what others drew before must not matter
        router = router_class(kind).fit(train, validation, ENCODER, seed=seed)
        return router.predict_proba(SHORT, asked(), train)

    once = told(3)
    np.testing.assert_array_equal(told(3), once)
    if kind in SEEDED:
        assert not np.array_equal(told(4), once)


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_fit_without_a_report_is_one_with_the_default_settings(kind, monkeypatch):
    train, validation, _ = world()
    router = fitted(kind)
    asked_for: list[Any] = []

    def fit_with_report(*arguments):
        asked_for.extend(arguments)
        return router, None

    monkeypatch.setattr(router_class(kind), "fit_with_report", fit_with_report)
    assert router_class(kind).fit(train, validation, ENCODER, seed=5) is router
    *given, config = asked_for
    assert all(one is other for one, other in zip(given, (train, validation, ENCODER), strict=True))
    assert config == TrainConfig(seed=5)


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_round_trip_without_pickle(kind):
    train = world()[0]
    data = fitted(kind).to_bytes()
    if kind != "gat":  # which is safetensors, and so no pickle by its format
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            assert all(file[name].dtype.kind in "fiuU" for name in file.files)
    again = load_router(kind, data, ENCODER)
    assert again.llms == fitted(kind).llms
    for user in (SHORT, STRANGER):
        before = fitted(kind).predict_proba(user, asked(), train)
        np.testing.assert_allclose(again.predict_proba(user, asked(), train), before, atol=1e-12)
    assert load_router(kind, again.to_bytes(), ENCODER).llms == again.llms


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "personalized_router"])  # its user nodes have names
def test_nobodys_name_is_in_the_bytes(kind):
    data = fitted(kind).to_bytes()
    if kind != "gat":  # safetensors is not compressed
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            data = b"".join(file.read(name) for name in file.namelist())
    for text in (data, data.replace(b"\x00", b"")):  # npz holds text as UTF-32
        assert not any(user.encode() in text for user in world()[0].users)


@pytest.mark.parametrize("kind", KINDS)
def test_broken_bytes_are_a_corrupt_artifact(kind):
    data = fitted(kind).to_bytes()
    middle = len(data) // 2
    flipped = data[:middle] + bytes(255 - byte for byte in data[middle : middle + 40]) + data[middle + 40 :]
    other = fitted("uniform" if kind != "uniform" else "elo").to_bytes()
    for broken in (b"", b"garbage", b"\x00" * 100, data[:20], data[:middle], data[:-7], other):
        with pytest.raises(CorruptArtifact):
            load_router(kind, broken, ENCODER)
    if kind != "gat":  # safetensors has no checksum: the registry's SHA-256 finds a flipped weight
        with pytest.raises(CorruptArtifact):
            load_router(kind, flipped, ENCODER)


@pytest.mark.parametrize("kind", KINDS)
def test_another_encoder_is_refused_by_routers_that_read_texts(kind):
    class OtherEncoder(HashEncoder):
        id = "another"

    router = fitted(kind)
    if hasattr(router, "encoder"):
        with pytest.raises(InvalidInput, match="another"):
            load_router(kind, router.to_bytes(), OtherEncoder())
    else:
        load_router(kind, router.to_bytes(), OtherEncoder())


@pytest.mark.parametrize("kind", KINDS)
def test_a_stranger_gets_the_populations_answer(kind):
    train = world()[0]
    population = fitted(kind).predict_proba(STRANGER, asked())
    np.testing.assert_allclose(fitted(kind).predict_proba(STRANGER, asked(), train), population, atol=1e-9)
    nothing = train.where(np.zeros(len(train), bool))
    np.testing.assert_allclose(fitted(kind).predict_proba(STRANGER, asked(), nothing), population, atol=1e-9)
    np.testing.assert_allclose(fitted(kind).predict_proba(UserId("another"), asked()), population, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_no_history_equals_an_empty_one_for_a_known_user(kind):
    train = world()[0]
    nothing = train.where(np.zeros(len(train), bool))
    without = fitted(kind).predict_proba(SHORT, asked())
    np.testing.assert_allclose(fitted(kind).predict_proba(SHORT, asked(), nothing), without, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_one_query_alone_equals_the_same_in_a_batch(kind):
    train = world()[0]
    together = fitted(kind).predict_proba(LONG, asked(), train)
    alone = np.concatenate([fitted(kind).predict_proba(LONG, [query], train) for query in asked()])
    np.testing.assert_allclose(alone, together, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_other_people_in_the_history_make_no_difference(kind):
    train = world()[0]
    among_all = fitted(kind).predict_proba(LONG, asked(), train)
    own = train.of_user(LONG)
    np.testing.assert_allclose(fitted(kind).predict_proba(LONG, asked(), own), among_all, atol=1e-6)
    np.testing.assert_allclose(fitted(kind).predict_proba(LONG, asked(), renamed(own, LONG)), among_all, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_identical_histories_under_new_names_give_identical_scores(kind):
    history = renamed(world()[0].of_user(SHORT), "first new name", "second new name")
    first, second = (fitted(kind).predict_proba(user, asked(), history) for user in history.users)
    np.testing.assert_allclose(first, second, atol=1e-6)


@pytest.mark.parametrize("kind", PERSONAL)
def test_users_of_opposed_camps_get_different_picks(kind):
    train, _, test = world()
    held_out = [test.queries[i] for i in np.unique(test.query)]
    for camp, user in (("short", SHORT), ("long", LONG)):
        pick = fitted(kind).predict_proba(user, held_out, train).argmax(1)
        truth = np.array([np.argmax(liking(camp, query.task)) for query in held_out])
        assert (pick == truth).mean() > 0.9


@pytest.mark.parametrize("kind", PERSONAL)
def test_a_new_rating_counts_for_its_user_and_nobody_else(kind):
    train = world()[0]
    query = train.queries[0]
    news = [comparison(STRANGER, query, LLMS[0], LLMS[1], Outcome.A, f"new-{i}") for i in range(5)]
    added = PreferenceDataset.from_comparisons(news, train.queries, train.llms)
    columns = ("query", "llm_a", "llm_b", "outcome", "time", "ids", "choice")
    joined: dict[str, Any] = {name: np.concatenate([getattr(train, name), getattr(added, name)]) for name in columns}
    both = replace(
        train,
        users=(*train.users, STRANGER),
        user=np.concatenate([train.user, np.full(5, len(train.users), np.int32)]),
        **joined,
    )
    before, after = (fitted(kind).predict_proba(STRANGER, [query], history)[0] for history in (train, both))
    assert after[0] / after[1] > 1.05 * before[0] / before[1]
    for user in (SHORT, LONG):
        unmoved = fitted(kind).predict_proba(user, asked(), train)
        np.testing.assert_allclose(fitted(kind).predict_proba(user, asked(), both), unmoved, atol=1e-6)


@pytest.mark.parametrize("kind", POPULATION)
def test_routers_without_persons_tell_everyone_the_same(kind):
    train = world()[0]
    told = [fitted(kind).predict_proba(user, asked(), train) for user in (SHORT, LONG, STRANGER)]
    np.testing.assert_array_equal(told[0], told[1])
    np.testing.assert_array_equal(told[0], told[2])


def _loss(kind: str) -> float:
    train, _, test = world()
    return evaluate(predict_pairs(fitted(kind), test, train)).log_loss.value


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("uniform", *OVERFITS)])
def test_beats_uniform_on_the_planted_world(kind):
    assert _loss(kind) < _loss("uniform") - 0.01


@pytest.mark.parametrize("kind", OVERFITS)
def test_who_overfits_so_few_queries_is_not_far_worse_than_uniform(kind):
    assert _loss(kind) < _loss("uniform") + 0.05


@pytest.mark.parametrize("kind", PERSONAL)
def test_personal_routers_beat_the_population_on_the_planted_world(kind):
    assert _loss(kind) < _loss("task_bradley_terry") - 0.1


@pytest.mark.parametrize("kind", PERSONAL)
def test_with_users_shuffled_what_knowing_the_person_gains_is_gone(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    train, validation, test = world()
    strangers = replace(test, users=tuple(UserId(f"stranger {i}") for i in range(len(test.users))))

    def gain(router: Router, history: PreferenceDataset) -> Estimate:
        # Over strangers, not over a history left out: one of the routers knows people by their ids, too.
        return log_loss_gain(predict_pairs(router, test, history), predict_pairs(router, strangers, None))

    real = gain(fitted(kind), train)
    monkeypatch.setattr("core.routers.personalized_router.RECIPES", RECIPES[:1])  # trying all takes most of the time
    random = np.random.default_rng(0)
    mixed, held_out = (replace(part, user=random.permutation(part.user)) for part in (train, validation))
    gone = gain(fit(kind, mixed, held_out), mixed)
    assert real.low > 0.05
    assert gone.value < 0.1 * real.value


@pytest.mark.parametrize("kind", KINDS)
def test_llms_that_the_router_does_not_know_are_ignored(kind):
    train = world()[0]
    new = LLM(LLMId("llm-new"), "new", "planted", "came later")
    order = (3, 1, 0, 2)
    where = np.empty(4, np.int32)
    where[list(order)] = np.arange(1, 5)  # the new one stands first, and the others have moved
    moved = replace(
        train, llms=(new, *(train.llms[i] for i in order)), llm_a=where[train.llm_a], llm_b=where[train.llm_b]
    )
    own = np.flatnonzero(train.user == train.user_row[SHORT])[:3]
    newer = moved.where(np.concatenate([np.arange(len(train)), own]))
    newer.llm_b[-3:] = 0
    expected = fitted(kind).predict_proba(SHORT, asked(), train)
    np.testing.assert_allclose(fitted(kind).predict_proba(SHORT, asked(), newer), expected, atol=1e-6)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if hasattr(router_class(kind), "with_llm")])
def test_an_llm_that_joins_gets_the_last_column_and_is_liked_as_its_comparisons_say(kind: str) -> None:
    train, router = world()[0], fitted(kind)
    assert isinstance(router, Onboards)
    new = LLM(LLMId("llm-new"), "new", "planted", "came later")
    its = np.arange(len(train)) % 3 == 0
    wider = replace(train, llms=(*train.llms, new), llm_b=np.where(its, 4, train.llm_b).astype(np.int32))

    def liked(outcome: int) -> float:
        history = replace(wider, outcome=np.where(its, outcome, train.outcome).astype(np.int8))
        joined = router.with_llm(new, history)
        assert joined.llms == (*router.llms, new.llm_id)
        probability = joined.predict_proba(STRANGER, asked(), history)
        np.testing.assert_allclose(probability.sum(1), 1)
        again = load_router(kind, joined.to_bytes(), ENCODER)
        np.testing.assert_allclose(again.predict_proba(STRANGER, asked(), history), probability, atol=1e-6)
        return float(probability[:, -1].mean())

    lost, level, won = (liked(OUTCOMES.index(outcome)) for outcome in (Outcome.A, Outcome.TIE, Outcome.B))
    assert lost < level < won
    uncompared = router.with_llm(new, train).predict_proba(SHORT, asked(), train)
    others = uncompared[:, :-1] / uncompared[:, :-1].sum(1, keepdims=True)
    np.testing.assert_allclose(others, router.predict_proba(SHORT, asked(), train), atol=1e-5)
    with pytest.raises(InvalidInput, match="knows the LLM"):
        router.with_llm(LLMS[0], train)
