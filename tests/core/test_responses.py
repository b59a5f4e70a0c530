"""Answers in a world where taste is for their length, and who writes long varies from query to query."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from core.dataset import PreferenceDataset
from core.domain import LLMId, Outcome, QueryId, UserId
from core.errors import InvalidInput
from core.optimisation import TrainConfig
from core.responses import ResponseTraits, expected_traits
from core.routers.gat import GatRouter
from core.traits import TRAITS
from tests.planted import LLMS, TASKS, HashEncoder, comparison, queries

ASKED = queries(60)
LENGTH = TRAITS.index("length")
Texts = dict[tuple[QueryId, LLMId], str]


@cache
def world() -> tuple[PreferenceDataset, Texts]:
    """Users `brief-*` tend to like the shorter answer and `wordy-*` the longer one, whoever wrote it.

    The first LLM writes long on code and short on letters, the second the reverse; the length of every answer varies
    widely besides.
    """
    random = np.random.default_rng(0)
    words = {}
    for query in ASKED:
        usual = (200, 20, 63, 63) if query.task == TASKS[0] else (20, 200, 63, 63)
        for llm, n in zip(LLMS, usual, strict=True):
            words[query.query_id, llm.llm_id] = max(int(n * np.exp(0.9 * random.standard_normal())), 1)
    said = []
    for u in range(40):
        name, sign = (f"brief-{u:02}", -1) if u % 2 == 0 else (f"wordy-{u:02}", 1)
        for i in range(24):
            query = ASKED[random.integers(len(ASKED))]
            a, b = (LLMS[k] for k in random.permutation(4)[:2])
            longer = np.log(words[query.query_id, a.llm_id] / words[query.query_id, b.llm_id]) + random.logistic() / 1.5
            said.append(comparison(name, query, a, b, Outcome.A if sign * longer > 0 else Outcome.B, f"{u}-{i}"))
    texts = {key: "word " * n for key, n in words.items()}
    return PreferenceDataset.from_comparisons(said, ASKED, LLMS), texts


@cache
def answered() -> PreferenceDataset:
    dataset, texts = world()
    return ResponseTraits.of(texts).of_comparisons(dataset)


@cache
def trained(*, aware: bool = True) -> tuple[GatRouter, float]:
    """The router and its best validation loss."""
    fitting, validation, _ = answered().split("query")
    config = TrainConfig(epochs=10, response_aware=aware)
    router, report = GatRouter.fit_with_report(fitting, validation, HashEncoder(), config)
    return router, min(epoch.validation_loss for epoch in report.curve)


def test_parts_of_a_dataset_keep_what_is_known_of_their_answers() -> None:
    dataset, texts = world()
    first, *_ = answered().split("query")
    for i in (0, len(first) - 1):
        key = (first.queries[first.query[i]].query_id, first.llms[first.llm_a[i]].llm_id)
        assert first.traits[first.response_a[i], LENGTH] == pytest.approx(np.log1p(len(texts[key].split())))
    assert (dataset.response_a == -1).all() and dataset.traits.shape[1] == 0
    assert answered().fingerprint() == dataset.fingerprint()


def test_rows_outside_the_table_are_refused() -> None:
    for wrong in (np.full(len(answered()), 10**6, np.int32), np.zeros(3, np.int32), np.full(len(answered()), -2)):
        with pytest.raises(InvalidInput, match="response_a"):
            replace(answered(), response_a=wrong.astype(np.int32))


def test_the_length_to_expect_of_an_llm_depends_on_the_query() -> None:
    vectors = HashEncoder().encode([q.text for q in ASKED])
    found, folded = expected_traits(answered(), vectors)
    code = np.array([q.task == TASKS[0] for q in ASKED])
    for expected in (found.of(vectors), folded):
        more = expected[:, 0, LENGTH] - expected[:, 1, LENGTH]
        assert more[code].mean() > 0.5 and more[~code].mean() < -0.5


def test_what_a_fold_expects_of_a_query_does_not_depend_on_its_answers() -> None:
    """The mean of an LLM does, by one answer in many; its slope on the query does not."""
    vectors = HashEncoder().encode([q.text for q in ASKED])
    table = answered().traits.copy()
    own = answered().query == 0
    table[np.concatenate([answered().response_a[own], answered().response_b[own]])] += 3
    before, after = expected_traits(answered(), vectors), expected_traits(replace(answered(), traits=table), vectors)
    scale = after[0].scale / before[0].scale
    assert np.abs(before[1][0] - after[1][0] * scale).max() < 1


def test_knowing_the_answers_predicts_unseen_queries_better_than_not_knowing_them() -> None:
    assert trained()[1] < trained(aware=False)[1] - 0.005
    assert trained(aware=False)[0].network.shape.traits == 0


def test_opposed_users_are_sent_to_who_writes_short_and_who_writes_long_there() -> None:
    router, _ = trained()
    asked = queries(120)[60:]
    code = np.array([q.task == TASKS[0] for q in asked])
    share = [(router.predict_proba(UserId(u), asked, answered())[:, :2]) for u in ("brief-00", "wordy-01")]
    brief, wordy = (p.argmax(axis=1) for p in share)
    assert (brief == np.where(code, 1, 0)).mean() > 0.9
    assert (wordy == np.where(code, 0, 1)).mean() > 0.9


def test_a_stranger_who_prefers_the_longer_answers_by_other_llms_is_sent_to_the_one_that_writes_long() -> None:
    """Style is told apart from the LLM: the first two LLMs never occur in what this person rated."""
    router, _ = trained()
    _, texts = world()
    said = []
    for query in ASKED[:20]:
        a, b = LLMS[2], LLMS[3]
        longer = len(texts[query.query_id, a.llm_id]) > len(texts[query.query_id, b.llm_id])
        said.append(comparison("x", query, a, b, Outcome.A if longer else Outcome.B, query.query_id))
    words_only = PreferenceDataset.from_comparisons(said, ASKED, LLMS)
    history = ResponseTraits.of(texts).of_comparisons(words_only)
    code = [q for q in queries(120)[60:] if q.task == TASKS[0]]
    p, blind = (router.predict_proba(UserId("x"), code, known) for known in (history, words_only))
    assert (p[:, 0] > p[:, 1] + 0.2).all()
    assert (p[:, 0] - p[:, 1]).mean() > (blind[:, 0] - blind[:, 1]).mean()


def test_ratings_without_answers_and_bytes_work_as_ever() -> None:
    router, _ = trained()
    dataset, _ = world()
    p = router.predict_proba(UserId("brief-00"), ASKED[:5], dataset)
    assert np.isfinite(p).all() and np.allclose(p.sum(axis=1), 1)
    again = GatRouter.from_bytes(router.to_bytes(), HashEncoder())
    known = router.predict_proba(UserId("brief-00"), ASKED[:5], answered())
    assert np.array_equal(again.predict_proba(UserId("brief-00"), ASKED[:5], answered()), known)
    blind, _ = trained(aware=False)
    q = ASKED[:5]
    assert np.array_equal(
        blind.predict_proba(UserId("brief-00"), q, answered()), blind.predict_proba(UserId("brief-00"), q, dataset)
    )


def test_answers_known_for_some_ratings_only() -> None:
    dataset, texts = world()
    some = {key: text for i, (key, text) in enumerate(texts.items()) if i % 3}
    fitting, validation, _ = ResponseTraits.of(some).of_comparisons(dataset).split("query")
    router, _ = GatRouter.fit_with_report(fitting, validation, HashEncoder(), TrainConfig(epochs=2))
    assert router.network.shape.traits == len(TRAITS)
    assert np.isfinite(router.predict_proba(UserId("brief-00"), ASKED, fitting)).all()


def test_traits_that_are_not_numbers_are_refused() -> None:
    broken = replace(answered(), traits=np.full_like(answered().traits, np.nan))
    with pytest.raises(InvalidInput, match="not finite"):
        expected_traits(broken, HashEncoder().encode([q.text for q in ASKED]))
