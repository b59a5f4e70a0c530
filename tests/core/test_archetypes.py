"""Kinds of people: found where people gather, believed where they help, and never one person's own."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from core.archetypes import with_kinds
from core.graph import build_graph
from core.luce import Said
from core.network import ATTENDED, NetworkShape, PosteriorGAT, ratings_of
from core.optimisation import Fit, TrainConfig
from core.routers.gat import GatRouter
from tests.planted import LLMS, HashEncoder, two_camps


def network(hidden: int = 8) -> PosteriorGAT:
    torch.manual_seed(0)
    return PosteriorGAT(NetworkShape(64, 2, 4, hidden)).eval()


def gathered(people: list[int], seed: int = 0) -> torch.Tensor:
    """Weights of so many people about each of some places far apart."""
    random = np.random.default_rng(seed)
    places = np.eye(8)[: len(people)] * 5
    return torch.from_numpy(np.concatenate([p + 0.1 * random.standard_normal((n, 8))
                                            for p, n in zip(places, people, strict=True)])).float()  # fmt: skip


def test_kinds_are_where_people_gather_and_as_frequent_as_they_are() -> None:
    found = with_kinds(network(), gathered([12, 6]))
    assert found is not None
    order = found.kind_share.argsort()
    np.testing.assert_allclose(found.kind_share[order], [1 / 3, 2 / 3], rtol=1e-5)
    np.testing.assert_allclose(found.kind[order].numpy(), np.eye(8)[[1, 0]] * 5, atol=0.15)


def test_one_persons_weights_are_no_kind_and_few_people_have_none() -> None:
    found = with_kinds(network(), gathered([14, 9, 1]))
    assert found is not None and found.shape.kinds == 2
    assert with_kinds(network(), gathered([14, 1])) is None  # fifteen people are not enough for two kinds


def test_a_person_is_expected_near_the_kind_that_explains_what_they_said() -> None:
    plain = network()
    world = two_camps(users=2, ratings=30)
    graph = build_graph(world, HashEncoder())
    ratings = ratings_of(graph)
    with torch.no_grad():
        nodes = plain.nodes(graph)
        w = plain.posterior(nodes, ratings, 3).w  # the third said nothing
        known = with_kinds(plain, torch.cat([w[:1].repeat(12, 1), w[1:2].repeat(6, 1)]))
        assert known is not None
        delta, offset = known.contrast(nodes, ratings)
        dense = torch.zeros(3, 30, delta.shape[1] + 1)
        dense[:2] = torch.cat([delta, offset[:, None]], -1).view(2, 30, -1)
        rated = torch.tensor([True, True, False])[:, None].expand(3, 30)
        mean = known.kinds_mean(dense, Said.of(ratings.label, ratings.stage, ratings.user, rated))
        np.testing.assert_allclose(mean[:2], w[:2], atol=0.05)
        np.testing.assert_allclose(mean[2], (2 * w[0] + w[1]) / 3, atol=1e-4)
        stranger = known.posterior(nodes, ratings, 3).w[2]
    np.testing.assert_allclose(stranger, ATTENDED * plain.mu.detach() + (1 - ATTENDED) * mean[2], atol=1e-4)


@pytest.fixture(scope="module")
def fitted() -> Fit:
    """A short fit to people of two camps, most of whom hold ratings out."""
    known, held_out = two_camps(users=64, ratings=16).split("query", (0.7, 0.3), 0)
    fit = Fit(known, held_out, HashEncoder(), TrainConfig(epochs=6, device="cpu"))
    fit.run(None)
    return fit


def test_a_fit_learns_the_kinds_there_are_where_they_help_people_who_had_no_part_in_them(
    fitted: Fit, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = fitted.network
    fitted.learn_kinds()
    assert fitted.network is before  # so few people are of no kinds
    monkeypatch.setattr("core.optimisation.MANY_PEOPLE", 40)
    fitted.learn_kinds()
    assert 2 <= fitted.network.shape.kinds <= 8
    router = GatRouter(fitted.network, LLMS, fitted.graph.tasks, HashEncoder())
    plain = replace(router, network=before)
    world = two_camps(users=40, ratings=3, seed=5)  # others, who said little
    best = np.array([0 if name.startswith("short") else 1 for name in world.users])
    asked = world.queries[:8]
    right = [np.mean(np.argmax(r.predict_everyone(asked, world), -1) == best[:, None]) for r in (router, plain)]
    assert right[0] >= right[1]
    again = GatRouter.from_bytes(router.to_bytes(), HashEncoder())
    np.testing.assert_allclose(again.predict_everyone(asked, world), router.predict_everyone(asked, world), atol=1e-6)
    single = router.predict_proba(world.users[3], asked, world)
    np.testing.assert_allclose(single, router.predict_everyone(asked, world)[3], atol=1e-5)


def test_kinds_that_help_nobody_are_left_out(fitted: Fit, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = fitted.network

    def misled(found: PosteriorGAT, weights: torch.Tensor) -> PosteriorGAT | None:
        known = with_kinds(found, weights)
        if known is not None:
            known.kind.mul_(-3)
        return known

    monkeypatch.setattr("core.optimisation.MANY_PEOPLE", 40)
    monkeypatch.setattr("core.optimisation.with_kinds", misled)
    fitted.learn_kinds()
    assert fitted.network is kept
