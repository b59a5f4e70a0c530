"""The ladder: what it adds to its rungs, and that it says so."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from core.dataset import PreferenceDataset
from core.domain import LLM, LLMId, Outcome, Query, UserId
from core.errors import CorruptArtifact, TrainingCancelled
from core.evaluation import evaluate, predict_pairs
from core.explain import explain
from core.optimisation import Epoch, TrainConfig
from core.routers.artifact import pack, unpack
from core.routers.bag import Bag
from core.routers.base import Onboards, Personal
from core.routers.folds import folds_of
from core.routers.gat_ensemble import LEAST, SIZES, networks_for
from core.routers.ladder import NAMES, LadderRouter
from core.routers.pooling import fit_pool, fit_trusted_pool
from tests.planted import LLMS, HashEncoder, comparison, two_camps
from tests.short_descents import short_ladder, shorten_descents

SHORT, STRANGER = UserId("short-00"), UserId("nobody")
UNSEEN = (Query.typed("function loop array bug number100", "code"), Query.typed("dear friend number101", "letters"))


@cache
def trained() -> tuple[LadderRouter, PreferenceDataset, PreferenceDataset]:
    fitting, validation, test = two_camps(ratings=30, n_queries=40).split("query", (0.6, 0.2, 0.2))
    return short_ladder(fitting, validation, HashEncoder(), TrainConfig(epochs=10)), fitting, test


def test_it_is_about_as_good_as_its_best_rung_on_ratings_nobody_has_seen() -> None:
    router, fitting, test = trained()
    rungs = [evaluate(predict_pairs(rung, test, fitting)).log_loss.value for rung in (*router.lower, router.gat)]
    assert evaluate(predict_pairs(router, test, fitting)).log_loss.value < min(rungs) + 0.02


def test_the_shares_of_the_rungs_are_named_sum_to_one_and_follow_the_weights() -> None:
    router, fitting, _ = trained()
    for user in (SHORT, STRANGER):
        shares = router.rungs(user, UNSEEN, fitting)
        assert shares.shape == (len(UNSEEN), len(NAMES))
        np.testing.assert_allclose(shares.sum(1), 1)
        assert (shares >= 0).all()
        assert (shares[:, router.why(user, fitting).weights == np.zeros(len(NAMES))] == 0).all()
    alone = replace(router, weights=np.tile(np.eye(len(NAMES))[-1], (len(router.knots), 1)))
    np.testing.assert_allclose(alone.rungs(SHORT, UNSEEN, fitting)[:, -1], 1)
    none = replace(router, weights=np.zeros_like(router.weights))
    np.testing.assert_allclose(none.rungs(SHORT, UNSEEN, fitting), 1 / len(NAMES))
    np.testing.assert_allclose(
        alone.predict_proba(SHORT, UNSEEN, fitting), router.gat.predict_proba(SHORT, UNSEEN, fitting)
    )


def test_it_says_why_with_what_validation_measured_at_about_as_many_ratings() -> None:
    router, fitting, _ = trained()
    stranger, known = router.why(STRANGER, fitting), router.why(SHORT, fitting)
    assert (stranger.ratings, stranger.fitted_at) == (0, 0)
    assert known.ratings == len(fitting.of_user(SHORT)) and known.fitted_at > 3
    assert known.pooled_loss < stranger.pooled_loss - 0.1  # in this world a person's ratings tell nearly everything
    assert known.names == NAMES and len(known.validation_loss) == len(known.weights) == len(NAMES)


def test_weights_pass_from_one_fitted_number_of_ratings_to_the_next() -> None:
    router, _, _ = trained()
    at = [int(n) for n in router.knots]
    for row, n in enumerate(at[:3]):
        np.testing.assert_allclose(router.weights_for(n), router.weights[row])
    np.testing.assert_allclose(router.weights_for(10_000), router.weights[-1])
    between = router.weights_for(5)
    assert (between >= np.minimum(*router.weights[1:3]) - 1e-12).all()
    assert (between <= np.maximum(*router.weights[1:3]) + 1e-12).all()


def test_leaving_a_rating_out_equals_predicting_without_it_on_every_rung() -> None:
    router, fitting, _ = trained()
    every = replace(router, weights=np.full_like(router.weights, 0.3))
    for asked in (router, every):
        own = asked.own_ratings(SHORT, fitting)
        without = asked.leave_one_out(SHORT, UNSEEN[0], fitting)
        assert without.shape == (len(own), len(LLMS))
        for i in (0, len(own) - 1):
            rest = own.where(np.arange(len(own)) != i)
            np.testing.assert_allclose(without[i], asked.predict_proba(SHORT, [UNSEEN[0]], rest)[0], atol=1e-5)
    assert router.leave_one_out(STRANGER, UNSEEN[0], fitting).shape == (0, len(LLMS))


def test_draws_lie_around_the_prediction_and_narrow_with_ratings() -> None:
    router, fitting, _ = trained()
    gat = replace(router, weights=np.tile(0.2 + 0.6 * np.eye(len(NAMES))[-1], (len(router.knots), 1)))
    assert isinstance(router, Personal)
    width = {}
    for user in (SHORT, STRANGER):
        draws = gat.predict_draws(user, UNSEEN, fitting, n=200)
        assert draws.shape == (200, len(UNSEEN), len(LLMS))
        np.testing.assert_array_equal(draws, gat.predict_draws(user, UNSEEN, fitting, n=200))
        low, high = np.quantile(draws, [0.01, 0.99], axis=0)
        told = gat.predict_proba(user, UNSEEN, fitting)
        assert ((told >= low - 1e-3) & (told <= high + 1e-3)).all()
        width[user] = (high - low).max(-1).mean()
    assert width[SHORT] < width[STRANGER]


def test_reasons_come_from_the_persons_own_ratings() -> None:
    router, fitting, _ = trained()
    own = router.own_ratings(SHORT, fitting)
    found = explain(router, SHORT, UNSEEN[0], fitting)
    assert len(found) == len(own)
    assert sum(reason.attention for reason in found) == pytest.approx(1, abs=1e-5)
    assert explain(router, STRANGER, UNSEEN[0], fitting) == ()


def test_epochs_are_numbered_through_the_networks_and_what_the_callback_raises_ends_the_fit() -> None:
    fitting, validation, _ = two_camps(users=6).split("query")
    heard: list[Epoch] = []

    def stop(epoch: Epoch) -> None:
        heard.append(epoch)
        if epoch.number == 3:
            raise TrainingCancelled

    with pytest.raises(TrainingCancelled):
        LadderRouter.fit_with_report(fitting, validation, HashEncoder(), TrainConfig(epochs=2), stop)
    assert [(epoch.number, epoch.epochs) for epoch in heard] == [(1, 6), (2, 6), (3, 6)]


def test_the_more_ratings_the_fewer_networks() -> None:
    assert [networks_for(most) for most, _ in SIZES] == [networks for _, networks in SIZES]
    assert networks_for(10**6) == LEAST


def test_others_random_numbers_are_left_alone_by_asking() -> None:
    router, fitting, _ = trained()
    state = torch.get_rng_state()
    router.predict_draws(SHORT, UNSEEN, fitting, n=10)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_rating_counts_at_once() -> None:
    router, fitting, _ = trained()
    said = [comparison(STRANGER, fitting.queries[i], LLMS[1], LLMS[0], Outcome.A, str(i)) for i in range(10)]
    newcomer = PreferenceDataset.from_comparisons(said, fitting.queries, LLMS)
    before, after = (router.predict_proba(STRANGER, UNSEEN, history)[:, 1] for history in (None, newcomer))
    assert (after > before + 0.2).all()


def test_the_pool_follows_the_rung_that_is_right_and_never_weighs_below_nothing() -> None:
    random = np.random.default_rng(0)
    truth = random.normal(0, 2, 2000)
    label = (random.random(2000) < 1 / (1 + np.exp(-truth))).astype(float)
    pool = fit_pool(np.stack([random.normal(0, 1, 2000), -truth, truth], 1), label)
    assert pool.weights[2] == pytest.approx(1, abs=0.15) and (pool.weights >= 0).all()
    assert pool.weights[0] < 0.2 and pool.weights[1] == 0.0  # noise within its error; the opposite, nothing
    assert pool.single.argmin() == 2 and pool.loss < pool.single.min() + 0.005
    nothing = np.zeros((0, 3)), np.zeros(0)
    np.testing.assert_allclose(fit_pool(*nothing).weights, 1 / 3)
    np.testing.assert_allclose(fit_pool(*nothing, np.array([0.0, 1.0, 3.0])).weights, (0, 0.25, 0.75))


def test_with_few_ratings_the_likely_routers_share_the_weight_and_with_many_the_right_one_has_it() -> None:
    random = np.random.default_rng(2)
    truth, other, everyone = random.normal(0, 1, (3, 4000))
    margins = np.stack([everyone, truth, truth + 0.5 * other], 1)
    label = (random.random(4000) < 1 / (1 + np.exp(-truth))).astype(float)
    few = fit_pool(margins[:20], label[:20], np.array([0.0, 1.0, 1.0])).weights
    many = fit_pool(margins, label, np.array([0.0, 1.0, 1.0])).weights
    assert few[0] < 0.2 and few[2] > 0.5 * few[1]
    assert many[2] < 0.25 * many[1] and many.sum() == pytest.approx(1, abs=0.15)


def test_where_it_is_in_doubt_that_persons_differ_the_pool_is_the_populations() -> None:
    """Ratings of one query share luck: what helped on three queries may be nothing but those three."""
    random = np.random.default_rng(1)
    everyone, own = random.normal(0, 1, 600), random.normal(0, 1, 600)
    query = np.repeat(np.arange(12), 50)

    def weights(truth: np.ndarray) -> np.ndarray:
        label = (random.random(600) < 1 / (1 + np.exp(-truth))).astype(float)
        return fit_trusted_pool(np.stack([everyone, own], 1), label, query, np.array([0.0, 1.0])).weights

    nothing_personal, personal = weights(everyone), weights(everyone + own)
    assert nothing_personal[1] < 0.02 and nothing_personal[0] == pytest.approx(1, abs=0.2)
    assert personal[1] == pytest.approx(1, abs=0.25)


def test_pairs_that_were_rated_as_such_tell_the_scale_of_a_pool_and_choices_among_several_its_weights() -> None:
    """Here choices follow what a router says, and of two losers, which nobody was asked about, it is twice too sure."""
    random = np.random.default_rng(3)
    said, noise = random.normal(0, 2, (2, 500, 10))
    winner = (said + random.gumbel(size=said.shape)).argmax(1)
    others = (winner[:, None] + 1 + np.arange(9)) % 10
    chosen = np.stack(
        [np.take_along_axis(x, winner[:, None], 1) - np.take_along_axis(x, others, 1) for x in (noise, said)], 2
    ).reshape(-1, 2)
    pairs = random.normal(0, 3, (400, 2))
    preferred = (random.random(400) < 1 / (1 + np.exp(-pairs[:, 1] / 2))).astype(float)
    label, query = np.concatenate([np.ones(4500), preferred]), np.arange(4900) // 9
    stage = np.concatenate([np.repeat(np.arange(500), 9), np.full(400, -1)])
    both = fit_trusted_pool(np.concatenate([chosen, pairs]), label, query, np.array([0.0, 1.0]), stage).weights
    alone = fit_trusted_pool(chosen, label[:4500], query[:4500], np.array([0.0, 1.0]), stage[:4500]).weights
    assert alone[1] == pytest.approx(1, abs=0.15) and both[1] == pytest.approx(0.5, abs=0.1)
    assert max(both[0], alone[0]) < 0.1


def test_a_lower_rung_says_the_mean_of_what_it_learned_from_each_fold_and_survives_its_bytes() -> None:
    router, fitting, _ = trained()
    for rung in router.lower:
        assert len(rung.members) == networks_for(fitting.items) == len(router.gat.members)
        told = rung.predict_proba(SHORT, UNSEEN, fitting)
        logs = np.mean([np.log(member.predict_proba(SHORT, UNSEEN, fitting)) for member in rung.members], axis=0)
        np.testing.assert_allclose(told, np.exp(logs) / np.exp(logs).sum(1, keepdims=True))
        again = Bag.from_bytes(rung.to_bytes(), type(rung.members[0]), HashEncoder())
        np.testing.assert_allclose(again.predict_proba(SHORT, UNSEEN, fitting), told, atol=1e-12)
    with pytest.raises(CorruptArtifact):
        Bag.from_bytes(router.lower[0].to_bytes(), type(router.lower[1].members[0]), HashEncoder())


def test_of_many_pairs_one_fold_has_lower_rungs_and_of_choices_among_several_every_fold(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shorten_descents(monkeypatch)
    monkeypatch.setattr("core.routers.ladder.CROSS_FITTED", 10)
    fitting, validation, _ = two_camps(users=6, ratings=30).split("query", (0.6, 0.2, 0.2))
    config = TrainConfig(epochs=1)
    several = replace(fitting, choice=np.arange(len(fitting)) // 6)
    for said, folds in ((fitting, 1), (several, networks_for(several.items))):
        assert said.of_choices == (folds > 1) and said.items > 10
        router = short_ladder(said, validation, HashEncoder(), config)
        assert {len(rung.members) for rung in router.lower} == {folds}


def test_folds_hold_out_different_queries_and_learn_from_all_the_others() -> None:
    fitting, validation, _ = two_camps(n_queries=40).split("query", (0.6, 0.2, 0.2))
    folds = folds_of(fitting, validation, 3, seed=0)
    assert folds[0] == (fitting, validation)
    asked = [set(fold.held_out.query.tolist()) for fold in folds]
    assert not asked[0] & asked[1] and not asked[1] & asked[2] and not asked[0] & asked[2]
    for fold in folds:
        assert not set(fold.train.query.tolist()) & set(fold.held_out.query.tolist())
        assert sorted(fold.train.query) != sorted(fitting.query) or fold is folds[0]
        joined = np.sort(np.concatenate([fold.train.ids, fold.held_out.ids]))
        np.testing.assert_array_equal(joined, np.sort(np.concatenate([fitting.ids, validation.ids])))


def test_where_half_of_all_ratings_are_held_out_every_fold_learns_from_both_halves() -> None:
    fitting, validation, _ = two_camps(n_queries=40).split("query", (0.4, 0.4, 0.2))
    every = np.sort(np.concatenate([fitting.ids, validation.ids]))
    folds = folds_of(fitting, validation, 3, seed=0)
    asked = [set(fold.held_out.query.tolist()) for fold in folds]
    assert len(set.union(*asked)) == sum(map(len, asked)) and [len(some) for some in asked] == [5, 5, 5]  # of 32
    for fold in folds:
        assert not set(fold.train.query.tolist()) & set(fold.held_out.query.tolist())
        np.testing.assert_array_equal(np.sort(np.concatenate([fold.train.ids, fold.held_out.ids])), every)


def test_a_ladder_published_before_it_had_its_lowest_rung_stays_readable() -> None:
    router, fitting, _ = trained()
    alone = tuple(rung.members[0] for rung in router.lower[1:])  # nor were its lower rungs several
    older = replace(router, lower=alone, weights=router.weights[:, 1:], losses=router.losses[:, 1:])
    header, arrays = unpack(older.to_bytes(), "ladder")
    del arrays["spread"]  # which came later too
    again = LadderRouter.from_bytes(pack(header, **arrays), HashEncoder())
    assert again.names == NAMES[1:] and len(again.why(SHORT, fitting).weights) == len(NAMES) - 1
    np.testing.assert_allclose(
        again.predict_proba(SHORT, UNSEEN, fitting), older.predict_proba(SHORT, UNSEEN, fitting), atol=1e-9
    )


def test_an_llm_that_joins_gets_a_column_on_every_rung_and_is_chosen_by_those_who_prefer_it() -> None:
    router, fitting, _ = trained()
    assert isinstance(router, Onboards)
    newcomer = LLM(LLMId("llm-new"), "new", "planted", "writes replies")
    said = [
        comparison(f"short-{u:02}", fitting.queries[i], newcomer, LLMS[j], Outcome.A, f"{u}-{i}-{j}")
        for u in range(0, 12, 2)
        for i in range(6)
        for j in (0, 2)
    ]
    queries, llms = fitting.queries, (*LLMS, newcomer)
    joined = PreferenceDataset.from_comparisons(said, queries, llms, fitting.users)
    history = replace(fitting, llms=llms).joined(joined)
    five = router.with_llm(newcomer, history)
    assert five.llms == (*router.llms, newcomer.llm_id)
    for user in (SHORT, STRANGER):
        told = five.predict_proba(user, UNSEEN, history)
        assert told.shape == (len(UNSEEN), 5) and np.allclose(told.sum(1), 1)
        np.testing.assert_allclose(five.rungs(user, UNSEEN, history).sum(1), 1)
    assert (five.predict_proba(SHORT, UNSEEN, history).argmax(1) == 4).all()
    assert five.predict_draws(SHORT, UNSEEN, history, n=3).shape == (3, len(UNSEEN), 5)
    own = five.own_ratings(SHORT, history)
    np.testing.assert_allclose(
        five.leave_one_out(SHORT, UNSEEN[0], history)[0],
        five.predict_proba(SHORT, UNSEEN[:1], own.where(np.arange(1, len(own))))[0],
        atol=1e-5,
    )
    again = LadderRouter.from_bytes(five.to_bytes(), HashEncoder())
    np.testing.assert_allclose(
        again.predict_proba(SHORT, UNSEEN, history), five.predict_proba(SHORT, UNSEEN, history), atol=1e-9
    )
