"""A choice among several: its likelihood against autograd, and its posterior against a chooser whose taste is known."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch_geometric.utils import to_dense_batch

from core.dataset import PreferenceDataset
from core.domain import Outcome, UserId
from core.luce import Said
from core.routers.factors import Factors
from core.routers.fold_in import Contrast, fold_in
from tests.planted import LLMS, comparison, queries

# Three people: a best of four beside a tie and a pair; a best and worst of four; two pairs.
USER = torch.tensor([0] * 5 + [1] * 5 + [2] * 2)
STAGE = torch.tensor([0, 0, 0, -1, -1, 1, 1, 1, 2, 2, -1, -1])
LABEL = torch.tensor([1, 0, 1, 0.5, 0, 0, 1, 1, 1, 0, 0, 1], dtype=torch.float64)


def contrast(size: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    random = np.random.default_rng(0)
    return torch.from_numpy(random.normal(size=(len(USER), size))), torch.from_numpy(random.normal(size=len(USER)))


def log_loss(margin: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """As it is written in books, for the ratings of some rows."""
    total = margin.new_zeros(())
    for row in rows.nonzero()[:, 0].tolist():
        stage = torch.isin(STAGE, STAGE[row]) if STAGE[row] >= 0 else torch.arange(len(STAGE)) == row
        if row != int(stage.nonzero()[0]):
            continue
        preferred = torch.where(LABEL[stage] == 0, -margin[stage], margin[stage])
        lost = torch.log1p(torch.exp(-preferred).sum())
        total = total + (lost + margin[row] / 2 if LABEL[row] == 0.5 else lost)
    return total


def test_value_slope_and_curvature_are_those_that_autograd_finds() -> None:
    delta, offset = contrast()
    dense, rated = to_dense_batch(torch.cat([delta, offset[:, None]], -1), USER)
    said, w = Said.of(LABEL, STAGE, USER, rated), torch.tensor([0.3, -1.0, 0.5, 2.0], dtype=torch.float64)
    margin = dense[..., -1] + dense[..., :-1] @ w
    slope, curvature = said.derivatives(margin, dense[..., :-1])
    for person in range(3):
        theirs = torch.isin(USER, person)

        def loss(weights: torch.Tensor, rows: torch.Tensor = theirs) -> torch.Tensor:
            return log_loss(offset + delta @ weights, rows)

        assert torch.allclose(said.loss(margin)[person], loss(w))
        found = (dense[person, :, :-1] * slope[person][:, None]).sum(0)
        assert torch.allclose(found, torch.autograd.functional.jacobian(loss, w))
        assert torch.allclose(curvature[person], torch.autograd.functional.hessian(loss, w))
    together = Said.together(LABEL, STAGE).loss((offset + delta @ w)[None])
    assert torch.allclose(together[0], said.loss(margin).sum())


def test_routers_without_a_network_have_the_same_likelihood() -> None:
    delta, offset = contrast()
    margin = offset + delta.sum(1)
    said, factors = Said.together(LABEL, STAGE), Factors.of(LABEL.numpy(), STAGE.numpy())
    slope, curvature = said.derivatives(margin[None], delta[None])
    assert factors.loss(margin.numpy()) == pytest.approx(float(said.loss(margin[None])[0]))
    np.testing.assert_allclose(factors.slope(margin.numpy()), slope[0].numpy())
    np.testing.assert_allclose(factors.curvature(margin.numpy(), delta.numpy()), curvature[0].numpy())
    # a best of four tells 3/2 pairs, one of three 4/3, each of the others one
    assert factors.total == pytest.approx(3 / 2 + 2 + 3 / 2 + 4 / 3 + 2)
    # one whose scores are far apart is told without overflow
    assert np.isfinite(factors.loss(1e4 * margin.numpy())) and np.isfinite(factors.slope(1e4 * margin.numpy())).all()


def test_a_choice_between_two_is_bradley_and_terrys() -> None:
    delta, offset = contrast()
    pairs = Contrast(delta.numpy(), offset.numpy(), LABEL.numpy())
    of_two = pairs._replace(stage=np.where(LABEL == 0.5, -1, np.arange(len(LABEL))))
    np.testing.assert_allclose(fold_in(of_two, 0.5), fold_in(pairs, 0.5), atol=1e-8)


def chooser(random: np.random.Generator, choices: int, options: int, w: np.ndarray) -> Contrast:
    """Choices of the best of several by Luce's rule, as comparisons of the best with each other."""
    x = random.normal(size=(choices, options, len(w)))
    best = (x @ w + random.gumbel(size=(choices, options))).argmax(1)
    others = (best[:, None] + 1 + np.arange(options - 1)) % options
    delta = x[np.arange(choices), best][:, None] - np.take_along_axis(x, others[..., None], 1)
    stage = np.repeat(np.arange(choices), options - 1)
    return Contrast(delta.reshape(-1, len(w)), np.zeros(len(stage)), np.ones(len(stage)), stage)


def test_the_posterior_of_a_chooser_is_as_wide_as_its_error_and_not_that_of_nine_independent_ratings() -> None:
    random, size = np.random.default_rng(3), 4

    def surprise(together: bool) -> float:
        """Mean squared distance of what is found from what is true, in the posterior's standard deviations."""
        found = []
        for _ in range(60):
            w = random.normal(size=size)
            said = chooser(random, 30, 10, w)
            said = said if together else said._replace(stage=None)
            mode = fold_in(said, 1.0)
            curvature = Factors.of(said.label, said.stage).curvature(said.delta @ mode, said.delta) + np.eye(size)
            found.append((mode - w) @ curvature @ (mode - w) / size)
        return float(np.mean(found))

    assert surprise(together=True) == pytest.approx(1, abs=0.3)
    assert surprise(together=False) > 1.8


def test_best_worst_and_rankings_are_told_apart_into_the_stages_they_were() -> None:
    def given(*order: tuple[int, int], users: tuple[str, ...] = ("u",)) -> PreferenceDataset:
        said = [
            comparison(user, queries(1)[0], LLMS[min(pair)], LLMS[max(pair)],
                       Outcome.A if pair[0] < pair[1] else Outcome.B, f"{user}{i}")
            for user in users for i, pair in enumerate(order)
        ]  # fmt: skip
        several = PreferenceDataset.from_comparisons(said, queries(1), LLMS)
        return replace(several, choice=np.full(len(several), 9))

    best_worst = given((2, 0), (2, 1), (2, 3), (0, 1), (3, 1))
    stage = best_worst.stage
    assert len({*stage[:3]}) == len({*stage[3:]}) == 1 and stage[0] != stage[3] and (stage >= 0).all()
    np.testing.assert_allclose(best_worst.weight, [1 / 2] * 3 + [2 / 3] * 2)
    ranking = given((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)).stage
    assert ranking[0] == ranking[1] == ranking[2] and ranking[3] == ranking[4] and ranking[5] == -1
    worst_only = given((0, 3), (1, 3), (2, 3)).stage
    assert len(set(worst_only)) == 1 and worst_only[0] >= 0
    of_two = given((2, 0), (2, 1), users=("u", "v"))
    assert len({*of_two.stage}) == 2 and (np.diff(of_two.stage[np.argsort(of_two.user, kind="stable")]) >= 0).all()
    assert (replace(of_two, outcome=np.full(4, 2, np.int8)).stage == -1).all()  # ties were never one choice
    assert (best_worst.where(np.array([0, 4])).stage == -1).all()


def test_items_of_a_person_are_pairs_and_whole_choices_in_the_order_they_were_begun() -> None:
    said = [comparison("u", queries(1)[0], LLMS[0], LLMS[1], Outcome.A, str(i)) for i in range(6)]
    pairs = PreferenceDataset.from_comparisons(said, queries(1), LLMS)
    assert pairs.item_within_user.tolist() == [0, 1, 2, 3, 4, 5]
    mixed = replace(pairs, choice=np.array([-1, 7, 7, -1, 5, 7]))
    assert mixed.item_within_user.tolist() == [0, 1, 1, 2, 3, 1]
    two = replace(mixed, users=(UserId("u"), UserId("v")), user=np.array([0, 0, 0, 1, 1, 0], np.int32))
    assert two.item_within_user.tolist() == [0, 1, 1, 0, 1, 1]
