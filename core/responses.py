"""What is known of the very answers that were rated: their measurable style, and the style each LLM can be expected to
answer an unseen query with.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from core.dataset import PreferenceDataset
from core.domain import LLMId, QueryId
from core.encoders import Vectors
from core.errors import InvalidInput
from core.traits import TRAITS, traits

Floats = NDArray[np.float64]
FOLDS = 5
RIDGES = (3.0, 10.0, 30.0, 100.0, 1e9)  # the last one: only the LLM's mean


@dataclass(frozen=True, eq=False)
class ResponseTraits:
    """Traits of the answers to some queries: `table` [R, T], and the row of each query's answer by each LLM."""

    table: NDArray[np.float32]
    row: Mapping[tuple[QueryId, LLMId], int]

    @classmethod
    def of(cls, texts: Mapping[tuple[QueryId, LLMId], str]) -> Self:
        """Count once what can be counted in each text."""
        table = np.array([traits(text) for text in texts.values()], np.float32).reshape(-1, len(TRAITS))
        return cls(table, {key: i for i, key in enumerate(texts)})

    def of_comparisons(self, dataset: PreferenceDataset) -> PreferenceDataset:
        """The same comparisons, each with what is known of the two answers shown."""
        if not len(self.table):
            return dataset
        row = np.array([[self.row.get((q.query_id, m.llm_id), -1) for m in dataset.llms] for q in dataset.queries])
        row = row.reshape(len(dataset.queries), len(dataset.llms)).astype(np.int32)
        return replace(
            dataset, traits=self.table,
            response_a=row[dataset.query, dataset.llm_a], response_b=row[dataset.query, dataset.llm_b],
        )  # fmt: skip


class ExpectedTraits(NamedTuple):
    """The traits to expect of each LLM: `scale` [T] divides raw traits; in these units LLM l answers a query of vector
    x with `mean`[l] + (x - `centre`) @ `slope`[:, l]. Shapes [L, T], [dim], [dim, L, T]. Only differences between LLMs
    mean anything: what all of them do for a query is left out.
    """

    scale: Floats
    mean: Floats
    centre: Floats
    slope: Floats

    def of(self, vectors: Vectors) -> Floats:
        """[Q, L, T] for the queries of these vectors [Q, dim]."""
        return self.mean + np.tensordot(vectors - self.centre, self.slope, 1)


def expected_traits(known: PreferenceDataset, vectors: Vectors) -> tuple[ExpectedTraits, Floats]:
    """Fit on the answers shown in `known` and on no other, and [Q, L, T] what it expects of every query, of those with
    known answers as if they had none (`FOLDS` folds by query), so that learning from it meets unseen queries' errors.

    One ridge a LLM on the query's vector around the LLM's mean, its strength chosen per trait by those folds.
    """
    answers, scale = _answers(known)
    mean, rest = _apart(answers, len(known.queries), len(known.llms))
    centre = vectors[answers.query].mean(axis=0)
    x = (vectors - centre).astype(np.float64)
    fold = np.full(len(x), -1)
    present = np.unique(answers.query)
    fold[np.random.default_rng(0).permutation(present)] = np.arange(len(present)) % FOLDS
    folded = np.zeros((len(RIDGES), len(x), *mean.shape))  # [ridges, Q, L, T]
    for k in range(FOLDS):
        kept = fold[answers.query] != k
        slopes = _slopes(x, answers.where(kept), rest[kept], len(mean))
        folded[:, fold == k] = np.einsum("qd,rdlt->rqlt", x[fold == k], slopes, optimize=True)
    error = ((folded[:, answers.query, answers.llm] - rest) ** 2).sum(axis=1)  # [ridges, T]
    best, trait = error.argmin(axis=0), np.arange(len(scale))
    slope = np.moveaxis(_slopes(x, answers, rest, len(mean))[best, ..., trait], 0, -1)
    found = ExpectedTraits(scale, mean, centre, slope)
    every = found.of(vectors)
    every[present] = mean + np.moveaxis(folded[best, ..., trait], 0, -1)[present]
    return found, every


class _Answers(NamedTuple):
    """Query, LLM [R] and traits [R, T], in units of their spread, of each answer shown."""

    query: NDArray[np.int32]
    llm: NDArray[np.int32]
    traits: Floats

    def where(self, mask: NDArray[np.bool_]) -> "_Answers":
        return _Answers(self.query[mask], self.llm[mask], self.traits[mask])


def _answers(known: PreferenceDataset) -> tuple[_Answers, Floats]:
    """Each answer once, and the spread [T] of the traits."""
    response, first = np.unique(np.concatenate([known.response_a, known.response_b]), return_index=True)
    response, first = response[response >= 0], first[response >= 0]
    traits = known.traits[response].astype(np.float64)
    if not np.isfinite(traits).all():
        raise InvalidInput("Some traits of answers are not finite. Nothing was trained; count them again.")
    scale = np.where(traits.std(axis=0) > 1e-9, traits.std(axis=0), 1.0)
    query, llm = np.tile(known.query, 2), np.concatenate([known.llm_a, known.llm_b])
    return _Answers(query[first], llm[first], traits / scale), scale


def _apart(answers: _Answers, queries: int, llms: int) -> tuple[Floats, Floats]:
    """Mean [L, T] of each LLM, and what is left of each answer beside it and the query's own level (both shrunk by one
    answer).
    """
    centred = answers.traits - answers.traits.mean(axis=0)
    of_llm, of_query = np.zeros((llms, centred.shape[1])), np.zeros((queries, centred.shape[1]))
    for _ in range(10):  # backfitting of two additive effects
        of_llm = _shrunk_mean(centred - of_query[answers.query], answers.llm, llms)
        of_query = _shrunk_mean(centred - of_llm[answers.llm], answers.query, queries)
    return of_llm, centred - of_llm[answers.llm] - of_query[answers.query]


def _shrunk_mean(values: Floats, group: NDArray[np.int32], groups: int) -> Floats:
    total = np.zeros((groups, values.shape[1]))
    np.add.at(total, group, values)
    return np.asarray(total / (np.bincount(group, minlength=groups)[:, None] + 1))


def _slopes(x: Floats, answers: _Answers, rest: Floats, llms: int) -> Floats:
    """[ridges, dim, L, T]: one ridge regression a LLM and strength."""
    slope = np.zeros((len(RIDGES), x.shape[1], llms, rest.shape[1]))
    for m in np.unique(answers.llm):
        own, left = x[answers.query[answers.llm == m]], rest[answers.llm == m]
        gram, moment = own.T @ own, own.T @ left
        for i, ridge in enumerate(RIDGES):
            slope[i, :, m] = np.linalg.solve(gram + ridge * np.eye(len(gram)), moment)
    return slope
