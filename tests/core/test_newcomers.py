"""An LLM that joins after training, in a world whose truth is known."""

import copy
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.special import expit
from scipy.stats import norm

from core import newcomers
from core.dataset import PreferenceDataset
from core.domain import LLM, LLMId, Outcome, UserId
from core.errors import InvalidInput
from core.information import Pairs, worth_asking
from core.network import PosteriorGAT
from core.newcomers import _clustering, _widened, with_open_places
from core.optimisation import TrainConfig
from core.routers.gat import GatRouter
from tests.core.test_gat import LONG, SHORT, STRANGER, UNSEEN
from tests.planted import LLMS, HashEncoder, comparison, two_camps

NEWCOMER = LLM(LLMId("llm-new"), "new", "planted", "writes short replies")


@cache
def three() -> tuple[GatRouter, PreferenceDataset, PreferenceDataset]:
    """Trained without the LLM of the long camp; all ratings, and those without it."""
    world = two_camps()
    fitting, validation, _ = world.among([LLMS[0], *LLMS[2:]]).split("query")
    router = GatRouter.fit_with_report(fitting, validation, HashEncoder(), TrainConfig(epochs=12))[0]
    return router, world, world.where((world.llm_a != 1) & (world.llm_b != 1))


@cache
def _welcomed(known: PreferenceDataset) -> GatRouter:
    return three()[0].with_llm(LLMS[1], known)


def test_an_llm_left_out_of_training_finds_its_place_from_what_people_said_of_it() -> None:
    router, world, _ = three()
    four = router.with_llm(LLMS[1], world)
    assert four.llms == (*router.llms, LLMS[1].llm_id) and len(router.llms) == 3
    picks = {user: four.predict_proba(user, UNSEEN, world).argmax(1) for user in (SHORT, LONG)}
    assert (picks[LONG] == 3).all() and (picks[SHORT] == 0).all()
    again = GatRouter.from_bytes(four.to_bytes(), HashEncoder())
    np.testing.assert_array_equal(again.predict_proba(LONG, UNSEEN, world), four.predict_proba(LONG, UNSEEN, world))
    with pytest.raises(InvalidInput, match="llm-long"):
        four.with_llm(LLMS[1], world)


def test_an_llm_nobody_compared_gets_a_column_and_moves_nobody_elses_share_against_another() -> None:
    router, world, _ = three()
    joined = router.with_llm(NEWCOMER, world)
    for user in (SHORT, LONG, STRANGER):
        before, after = router.predict_proba(user, UNSEEN, world), joined.predict_proba(user, UNSEEN, world)
        assert (after[:, 3] > 0).all()
        np.testing.assert_allclose(after[:, :3] / after[:, :3].sum(1, keepdims=True), before, atol=1e-5)


def test_a_newcomer_that_opposed_people_like_on_opposed_kinds_of_query_is_found_by_both() -> None:
    """On the mean over people and over queries it is like every other: only taste and query together tell."""
    router, _, without = three()
    random, known, said = np.random.default_rng(3), (LLMS[0], *LLMS[2:]), []
    for user in without.users:
        for i, row in enumerate(random.choice(len(without.queries), 8, replace=False)):
            liked = user.startswith("short") == (without.queries[row].task == "code")
            outcome = Outcome.A if liked else Outcome.B
            said.append(comparison(user, without.queries[row], NEWCOMER, known[i % 3], outcome, f"{user}-{i}"))
    llms = (*without.llms, NEWCOMER)
    met = PreferenceDataset.from_comparisons(said, without.queries, llms, without.users)
    joined = router.with_llm(NEWCOMER, replace(without, llms=llms).joined(met))
    code = np.array([query.task == "code" for query in UNSEEN])
    for user, wanted in ((SHORT, code), (LONG, ~code)):
        chosen = joined.predict_proba(user, UNSEEN, without).argmax(1) == 3  # without what they said of the newcomer
        np.testing.assert_array_equal(chosen, wanted)


def test_a_newcomer_that_all_like_on_some_queries_is_known_by_their_clusters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Queries of both tasks, so that what the network learned to tell apart does not tell these from the others."""
    router, _, without = three()
    liked = np.arange(len(without.queries)) % 4 < 2
    said = [
        comparison(user, query, NEWCOMER, LLMS[0], Outcome.A if liked[i] else Outcome.B, f"{user}-{i}")
        for user in without.users[:4] for i, query in enumerate(without.queries)
    ]  # fmt: skip
    llms = (*without.llms, NEWCOMER)
    met = PreferenceDataset.from_comparisons(said, without.queries, llms, without.users)
    history = replace(without, llms=llms).joined(met)

    def apart() -> float:
        """How far a stranger's log-odds of the newcomer against the first are from those where it is disliked."""
        p = router.with_llm(NEWCOMER, history).predict_proba(STRANGER, without.queries)
        odds = np.log(p[:, 3] / p[:, 0])
        return float(odds[liked].mean() - odds[~liked].mean())

    with_clusters = apart()
    monkeypatch.setattr(newcomers, "CLUSTERS", 0)
    assert with_clusters > 1 > 2 * abs(apart())


def test_the_clusters_of_queries_are_those_of_the_first_newcomer_and_an_older_version_goes_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    router, world, without = three()
    four = router.with_llm(LLMS[1], world)
    few = without.where(np.arange(3))
    assert four.network.shape.clusters == len(np.unique(world.query))
    assert four.with_llm(NEWCOMER, few).network.shape.clusters == four.network.shape.clusters
    assert router.with_llm(NEWCOMER, few.where(np.zeros(0, int))).network.shape.clusters == 0  # nothing was asked
    monkeypatch.setattr(newcomers, "CLUSTERS", 0)  # as it was published before there were any
    older = GatRouter.from_bytes(router.with_llm(LLMS[1], world).to_bytes(), HashEncoder())
    monkeypatch.undo()
    five = older.with_llm(NEWCOMER, world)
    assert five.network.shape.clusters == 0 and np.isfinite(five.predict_draws(LONG, UNSEEN, world, 5)).all()


def test_a_second_newcomer_leaves_the_first_where_it_is() -> None:
    router, world, _ = three()
    four = router.with_llm(LLMS[1], world)
    five = four.with_llm(NEWCOMER, world)
    assert five.llms == (*four.llms, NEWCOMER.llm_id)
    before, after = four.predict_proba(LONG, UNSEEN, world), five.predict_proba(LONG, UNSEEN, world)
    np.testing.assert_allclose(after[:, :4] / after[:, :4].sum(1, keepdims=True), before, atol=1e-5)
    again = GatRouter.from_bytes(five.to_bytes(), HashEncoder())
    first, second = (r.predict_draws(LONG, UNSEEN, world, 20, seed=1) for r in (five, again))
    np.testing.assert_array_equal(first, second)


def test_a_newcomers_score_is_linear_in_its_place() -> None:
    """What the regression solves for is what the network then says."""
    random = torch.Generator().manual_seed(0)
    network = _clustering(three()[0].network, torch.randn(20, HashEncoder.dim, generator=random))
    size = network.shape.hidden + (network.shape.hidden + 1) ** 2 + 20
    place = torch.randn(size, generator=random, dtype=torch.float64)
    z, w = (torch.randn(6, size, generator=random) for size in (network.shape.hidden, len(network.mu)))
    vector, asked = (torch.randn(*n, network.shape.dim, generator=random) for n in ((), (6,)))
    with torch.no_grad():
        wider: PosteriorGAT = _widened(network, vector, place, torch.eye(len(place)).double(), torch.zeros(0))
        nodes = wider.states(asked, torch.zeros(6).long(), torch.zeros(4, len(vector)))
        described = wider.llm(torch.stack([torch.zeros_like(vector)] * 3 + [vector])) + wider.llm_free
        phi, base = wider.features(nodes._replace(z=z, v=described))
        told = base[:, -1] + (phi[:, -1] * w).sum(-1)
        worth = network.worth(z, network.cluster(asked), w)
        torch.testing.assert_close(told, worth @ place.float(), atol=1e-4, rtol=1e-4)


def test_a_newcomers_chance_is_the_mean_over_where_its_place_may_be() -> None:
    """Against draws of the place, the person's weights held: what the choice is made by, and what draws show."""
    router, _, without = three()
    joined = router.with_llm(NEWCOMER, without)
    own = joined.own_ratings(LONG, without)
    network, random = joined.network, torch.Generator().manual_seed(0)
    posterior, phi, base, asked = joined._features(own, UNSEEN)
    modal = base + phi @ posterior.w[0]  # [Q, L]
    with torch.no_grad():
        worth = network.worth(asked.z, asked.cluster, posterior.w.expand(len(UNSEEN), -1))
        open_places = worth @ network.root[0] @ torch.randn(network.root.shape[1], 20_000, generator=random)
    scores = torch.cat([modal[:, :3, None].expand(-1, -1, 20_000), modal[:, 3:, None] + open_places[:, None]], 1)
    drawn = torch.softmax(scores.double(), 1).mean(-1)
    told = joined.predict_proba(LONG, UNSEEN, own)
    np.testing.assert_allclose(told, drawn, atol=0.01)
    assert np.abs(told - torch.softmax(modal.double(), 1).numpy()).max() > 0.01  # it is another choice than the mode's


def test_a_newcomers_chance_is_that_of_the_logistic_normal_integral() -> None:
    """Against `scipy`'s adaptive quadrature: one newcomer beside another LLM whose score is 0."""
    network = copy.deepcopy(three()[0].with_llm(NEWCOMER, three()[2]).network)
    z, w = torch.zeros(1, network.shape.hidden), torch.zeros(1, len(network.mu))
    cluster = network.cluster(torch.zeros(1, HashEncoder.dim))
    unit = float((network.worth(z, cluster, w) @ network.root[0]).detach().norm())
    for sd in (0.5, 1.0, 4.0):
        network.root.mul_(sd / unit)
        unit = sd
        for score in (-6.0, -1.0, 0.0, 3.0):
            scores = torch.tensor([[0.0, -1e9, -1e9, score]])
            told = torch.softmax(with_open_places(network, scores, w, z, cluster), 1)[0, 3]
            exact = quad(lambda e, sd=sd, score=score: expit(score + sd * e) * norm.pdf(e), -9, 9)[0]
            assert float(told) == pytest.approx(exact, abs=3e-4)


def test_a_newcomer_of_whom_nothing_is_left_open_is_chosen_by_its_score() -> None:
    joined = _welcomed(three()[1])
    certain = copy.deepcopy(joined.network)
    certain.root.zero_()
    scores, w = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(1)), torch.randn(5, len(certain.mu))
    z, cluster = torch.randn(5, certain.shape.hidden), certain.cluster(torch.randn(5, HashEncoder.dim))
    for extreme in (1.0, 1e4):
        found = with_open_places(certain, extreme * scores[0], w, z, cluster)
        torch.testing.assert_close(found, extreme * scores[0].double(), atol=1e-6, rtol=1e-6)
    assert with_open_places(joined.network, 1e4 * scores[1], 100 * w, z, cluster).isfinite().all()


def test_one_person_and_everyone_and_a_rating_less_are_told_the_same_of_newcomers() -> None:
    router, world, without = three()
    five = router.with_llm(LLMS[1], world).with_llm(NEWCOMER, replace(world, llms=(*world.llms, NEWCOMER)))
    few = without.where(np.isin(without.user, (0, 1)) & (without.place_within_user < 3))
    together = five.predict_everyone(UNSEEN, few)
    for row, user in enumerate(few.users[:2]):
        own = few.of_user(user)
        np.testing.assert_allclose(together[row], five.predict_proba(user, UNSEEN, own), atol=1e-5)
        left_out = five.leave_one_out(user, UNSEEN[0], own)
        for i in range(len(own)):
            less = own.where(np.arange(len(own)) != i)
            np.testing.assert_allclose(left_out[i], five.predict_proba(user, UNSEEN[:1], less)[0], atol=1e-5)


def test_what_is_not_known_of_a_newcomer_shows_in_draws_until_it_was_compared() -> None:
    router, world, without = three()

    def spread(known: PreferenceDataset) -> float:
        """Of the newcomer's score less that of the first LLM, over draws; the person's own ratings are the same."""
        logs = np.log(_welcomed(known).predict_draws(LONG, UNSEEN, without, 400))
        return float((logs[..., 3] - logs[..., 0]).std(0).mean())

    assert spread(without) > 1.5 * spread(world)
    before, after = (np.log(r.predict_draws(LONG, UNSEEN, without, 20)) for r in (router, _welcomed(without)))
    np.testing.assert_allclose(after[..., 0] - after[..., 2], before[..., 0] - before[..., 2], atol=1e-4)


def test_pairs_with_a_newcomer_are_the_ones_worth_asking_until_it_is_known() -> None:
    _, world, without = three()
    every = [(q, a, b) for q in range(len(UNSEEN)) for a in range(4) for b in range(a + 1, 4)]
    pairs = Pairs(*np.array(every, np.int64).T)

    def gain(known: PreferenceDataset, user: UserId) -> float:
        """Of all pairs with the newcomer among those worth asking."""
        found = worth_asking(_welcomed(known), user, UNSEEN, pairs, without.of_user(user))
        new = (pairs.llm_a[found.positions] == 1) | (pairs.llm_b[found.positions] == 1)
        return float(found.weights[new].sum())

    for user in (SHORT, LONG):
        assert gain(without, user) > 2 * gain(world, user)
