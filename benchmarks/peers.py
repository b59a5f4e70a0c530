"""Routers of the registry on real scores without users: fitted to who beats whom on each train query, as one grader
would say it.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.report import progress
from benchmarks.scores import Scores
from benchmarks.world import GivenVectors
from core.dataset import PreferenceDataset
from core.domain import OUTCOMES, Outcome, Query, QueryId, UserId
from core.encoders import TextEncoder
from core.routers import router_class

Floats = NDArray[np.float64]
GRADER = UserId("grader")
HELD_OUT = 0.2  # of the train queries, for each router's own choices


def peer_predictions(kinds: Sequence[str], scores: Scores, vectors: Floats, encoder: TextEncoder) -> dict[str, Floats]:
    """Log-probabilities [N, L] of each kind of router for the N test queries: strengths, up to a constant a query.

    `vectors` [all queries, dim] are those of `scores.texts`.
    """
    if not kinds:
        return {}
    known = dict(zip(scores.texts, vectors.astype(np.float32), strict=True))
    named = [m.text for m in scores.llms if m.text not in known]
    known |= dict(zip(named, encoder.encode(named), strict=True))
    given = GivenVectors(known, encoder.id)
    train, validation, test = compared(scores)
    found = {}
    for kind in kinds:
        router = router_class(kind).fit(train, validation, given, seed=0)
        # A router that knows persons knows this one by all that was said for training.
        found[kind] = np.log(np.maximum(router.predict_proba(GRADER, test, train), 1e-12))
        progress(f"{kind}: fitted")
    return found


def compared(scores: Scores) -> tuple[PreferenceDataset, PreferenceDataset, tuple[Query, ...]]:
    """Train and validation part, no query in both, and the test queries. Every pair of LLMs on every query is one
    rating: the better scored wins, equal scores are a tie; sides are drawn.
    """
    queries = [
        Query(QueryId(f"q{i}"), (text,), task)
        for i, (text, task) in enumerate(zip(scores.texts, scores.tasks, strict=True))
    ]
    rows = np.flatnonzero(scores.train)
    first, second = np.triu_indices(len(scores.llms), 1)
    query = np.repeat(np.arange(len(rows)), len(first))
    random = np.random.default_rng(0)
    turned = random.random(len(query)) < 0.5
    a, b = (np.tile(side, len(rows)) for side in (first, second))
    a, b = np.where(turned, b, a), np.where(turned, a, b)
    gap = scores.quality[rows[query], a] - scores.quality[rows[query], b]
    won, lost, tie = (OUTCOMES.index(outcome) for outcome in (Outcome.A, Outcome.B, Outcome.TIE))
    outcome = np.select([gap > 0, gap < 0], [won, lost], tie)
    user, asked, llm_a, llm_b = (column.astype(np.int32) for column in (np.zeros_like(query), query, a, b))
    said = PreferenceDataset(
        (GRADER,), tuple(queries[i] for i in rows), scores.llms, user, asked, llm_a, llm_b, outcome.astype(np.int8),
        np.zeros(len(query)), np.arange(len(query)),
    )  # fmt: skip
    train, validation = said.split("query", (1 - HELD_OUT, HELD_OUT))
    return train, validation, tuple(queries[i] for i in np.flatnonzero(~scores.train))
