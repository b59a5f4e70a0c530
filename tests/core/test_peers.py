"""The baselines that stand for peers compute what their papers say, written out by hand."""

from itertools import product

import numpy as np
import pytest
import torch

from core.domain import UserId
from core.routers import router_dc
from core.routers.descent import seeded
from core.routers.matrix_factorization import SCALE, MatrixFactorizationRouter
from core.routers.router_dc import query_llm_loss, query_query_loss
from core.routers.uniroute_kmeans import UniRouteKMeansRouter, nearest, newcomers_rate
from core.routers.vectors import query_vectors, task_rows
from tests.planted import LLMS, HashEncoder, two_camps
from tests.short_descents import shorten_descents

ANYONE = UserId("anyone")


def test_router_dc_draws_a_query_to_each_of_its_top_llms_and_away_from_the_bottom_ones() -> None:
    random = np.random.default_rng(0)
    logits, rate = random.normal(size=(6, 8)), random.random((6, 8))
    losses = []
    for score, won in zip(logits, rate, strict=True):
        order = np.argsort(-won)
        bottom = np.exp(score[order[-3:]]).sum()
        losses.append(sum(-np.log(np.exp(score[top]) / (np.exp(score[top]) + bottom)) for top in order[:3]))
    found = query_llm_loss(torch.from_numpy(logits), torch.from_numpy(rate))
    assert float(found) == pytest.approx(np.mean(losses))


def test_router_dc_draws_queries_of_one_cluster_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(router_dc, "OTHERS", 1)
    hidden = torch.nn.functional.normalize(torch.randn(4, 5, generator=torch.Generator().manual_seed(0)), dim=-1)
    cosine = (hidden @ hidden.T).double().numpy()
    # Alone in their clusters, queries are their own friends; two by two each has the other.
    alone = float(query_query_loss(hidden[:2], torch.tensor([0, 1])))
    assert alone == pytest.approx(np.log1p(np.exp(cosine[0, 1] - 1)), rel=1e-5)
    with seeded(0):
        seen = {round(float(query_query_loss(hidden, torch.tensor([0, 0, 1, 1]))), 4) for _ in range(200)}
    one, other = ([np.log1p(np.exp(cosine[i, j] - cosine[i, 1 - i])) for j in (2, 3)] for i in (0, 1))
    two, last = ([np.log1p(np.exp(cosine[i, j] - cosine[2, 3])) for j in (0, 1)] for i in (2, 3))
    possible = {round(float(np.mean(drawn)), 4) for drawn in product(one, other, two, last)}
    assert len(seen) > 3 and all(min(abs(x - y) for y in possible) < 2e-4 for x in seen)
    assert float(query_query_loss(hidden, torch.zeros(4))) == 0


def test_uniroute_scores_an_llm_by_its_losses_in_the_querys_cluster() -> None:
    train, validation, test = two_camps(users=12).split("query", (0.6, 0.2, 0.2))
    router = UniRouteKMeansRouter.fit(train, validation, HashEncoder())
    place = nearest(query_vectors(train.queries, HashEncoder()), router.centre)[train.query]
    games, wins = np.zeros(router.score.shape), np.zeros(router.score.shape)
    for k, a, b, label in zip(place, train.llm_a, train.llm_b, train.label, strict=True):
        games[k, [a, b]] += 1
        wins[k, a] += label
        wins[k, b] += 1 - label
    overall = (wins.sum(0) + 2) / (games.sum(0) + 4)
    rate = (wins + router.strength * overall) / (games + router.strength)
    np.testing.assert_allclose(router.score, router.scale * np.log(rate / (1 - rate)))
    query = test.queries[test.query[0]]
    cluster = nearest(query_vectors([query], HashEncoder()), router.centre)[0]
    log_p = np.log(router.predict_proba(ANYONE, [query])[0])
    np.testing.assert_allclose(log_p - log_p.mean(), router.score[cluster] - router.score[cluster].mean())
    # One that joins later gets the column that it would have had in the fit, for the clusters are of queries alone.
    for column, llm in enumerate(LLMS):
        others = [m.llm_id for m in LLMS if m is not llm]
        found = newcomers_rate(llm, train, others, router.centre, router.strength, HashEncoder())
        np.testing.assert_allclose(found, rate[:, column])


def test_matrix_factorisation_is_routellms_bilinear_form_for_whoever_has_said_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shorten_descents(monkeypatch)
    train, validation, _ = two_camps(users=6).split("query", (0.6, 0.2, 0.2))
    router = MatrixFactorizationRouter.fit(train, validation, HashEncoder())
    f, asked = router.factors, train.queries[:5]
    log_p = np.log(router.predict_proba(ANYONE, asked))
    vectors, tasks = SCALE * query_vectors(asked, HashEncoder()), task_rows(asked, router.tasks)
    for q in range(5):
        z = f["query.weight"] @ vectors[q] + f["query.bias"] + f["task.weight"][tasks[q]]
        score = np.array([f["weight"] @ (f["llm"][m] * z) + f["bias"][m] for m in range(4)])
        np.testing.assert_allclose(log_p[q] - log_p[q].mean(), score - score.mean(), atol=1e-5)
