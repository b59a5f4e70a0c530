"""What was counted in the responses goes with the ratings, into training and into every decision."""

from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy import update

from core.domain import Outcome, UserId
from core.traits import TRAITS, traits
from db.models import ResponseRow
from db.preferences import PreferenceStore
from db.response_traits import count_missing
from tests.db.worlds import statements, world


def expected(said):
    """Traits [2, N, T] of the responses that `world` writes, of both sides of every rating."""
    sides = ((said.query, said.llm_a), (said.query, said.llm_b))
    words = [
        [f"{said.queries[q].query_id} by {said.llms[m].llm_id}" for q, m in zip(*side, strict=True)] for side in sides
    ]
    return np.array([[traits(text) for text in side] for side in words])


def known(said):
    return np.array([said.traits[said.response_a], said.traits[said.response_b]])


@pytest.mark.parametrize("read", ["snapshot", "history", "histories"])
def test_ratings_know_what_can_be_counted_in_their_two_responses(store, ada, read):
    store.add_bundle(world(ratings=2))
    store.record(ada, store.assign(ada).token, Outcome.B, minimum_dwell=0)
    person = {"snapshot": (), "history": (ada,), "histories": ([1, 2],)}[read]
    said = getattr(store, read)(*person)
    assert len(said) == (1 if read == "history" else 3)
    assert said.traits.shape[1] == len(TRAITS) and len(said.traits) <= 2 * len(said)
    assert np.allclose(known(said), expected(said), atol=1e-6)


def test_a_history_over_many_ratings_takes_no_more_statements_than_over_one(database):
    store = PreferenceStore(database)
    sent = []
    for size in (1, 600):
        store.add_bundle(world(queries=size, ratings=size))
        with statements(database) as these:
            assert (store.history(UserId("robot")).response_a >= 0).all()
        sent.append(len(these))
    assert sent[0] == sent[1]


def test_responses_without_words_are_unknown(database):
    store = PreferenceStore(database)
    pack = world(ratings=1)
    silent = tuple(replace(r, turns=("",)) for r in pack.responses)
    key = {r.response_id: s.response_id for r, s in zip(pack.responses, silent, strict=True)}
    said = tuple(replace(c, response_a=key[c.response_a], response_b=key[c.response_b]) for c in pack.comparisons)
    store.add_bundle(replace(pack, responses=silent, comparisons=said))
    assert store.snapshot().traits.size == 0
    assert (store.snapshot().response_a == -1).all()
    assert count_missing(database) == 0


@pytest.mark.parametrize("left", [None, b"of another length"])
def test_what_an_earlier_release_did_not_count_is_counted_before_a_training(database, store, left):
    store.add_bundle(world(ratings=3))
    with database.write() as session:
        session.execute(update(ResponseRow).where(ResponseRow.id > 2).values(traits=left))
    some = store.snapshot()
    assert (some.response_a >= 0).any() and (some.response_b == -1).any()
    assert count_missing(database) == 7
    assert count_missing(database) == 0
    whole = store.snapshot()
    assert np.allclose(known(whole), expected(whole), atol=1e-6)
    assert whole.fingerprint() == some.fingerprint()
