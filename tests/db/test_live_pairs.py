"""Live comparisons on both databases: a pair someone had written for them is rated like any other, and stays theirs."""

from random import Random

import pytest

from core.domain import LLMId, Outcome, Query, Response, UserId
from core.errors import InvalidInput, NotAllowed, NotFound
from db.engine import Database
from db.live_pairs import LiveComparisons
from db.people import People
from db.preferences import PreferenceStore
from db.takeout import document
from tests.db.worlds import Clock

MINE = Query.typed("a prompt of my own that nobody else may see")


@pytest.fixture
def live(database: Database, clock: Clock, store: PreferenceStore) -> LiveComparisons:
    return LiveComparisons(database, clock, Random(1))


def pair(store: PreferenceStore, left: str = "left words", right: str = "right words") -> tuple[Response, Response]:
    a, b = (llm.llm_id for llm in store.llms()[:2])
    return Response(MINE.query_id, a, (left,)), Response(MINE.query_id, b, (right,))


def test_a_live_pair_is_rated_once_and_counts_at_once(
    live: LiveComparisons, store: PreferenceStore, ada: UserId, clock: Clock
) -> None:
    live.pose(ada, "t1", MINE, *pair(store), "live")
    live.pose(ada, "t1", MINE, *pair(store), "live")  # as by a rerun
    assert store.record(ada, "t1", Outcome.A, minimum_dwell=0).status == "saved"
    assert store.record(ada, "t1", Outcome.B, minimum_dwell=0).status == "already_saved"
    history = store.history(ada)
    assert [query.text for query in history.queries] == [MINE.text]
    assert history.outcome_of(0) == Outcome.A
    assert {r.text for r in store.responses(ada)} == {"left words", "right words"}  # as an export has it
    assert (store.history(ada).response_a >= 0).all()  # what can be counted in them counts at once


def test_the_pair_that_was_on_the_rating_page_stays_there(
    live: LiveComparisons, store: PreferenceStore, ada: UserId
) -> None:
    shown = store.assign(ada)
    live.pose(ada, "t1", MINE, *pair(store), "live")
    again = store.assign(ada)
    assert shown is not None and again is not None and again.token == shown.token
    store.record(ada, shown.token, Outcome.TIE, minimum_dwell=0)
    waiting = store.assign(ada)  # what was left unanswered is not lost
    assert waiting is not None and waiting.token == "t1" and waiting.reason == "live"


def test_nobody_else_is_asked_about_it(
    live: LiveComparisons, store: PreferenceStore, ada: UserId, database: Database
) -> None:
    live.pose(ada, "t1", MINE, *pair(store), "live")
    store.record(ada, "t1", Outcome.A, minimum_dwell=0)
    bob = People(database).sign_in("Bob").name
    asked = []
    while (assignment := store.assign(bob)) is not None:
        asked.append(assignment.query.query_id)
        store.record(bob, assignment.token, Outcome.A, minimum_dwell=0)
    assert asked and MINE.query_id not in asked


def test_what_cannot_be_compared_is_refused_and_nothing_is_stored(
    live: LiveComparisons, store: PreferenceStore, ada: UserId
) -> None:
    a, b = pair(store, "same", " same ")
    with pytest.raises(InvalidInput, match="same words"):
        live.pose(ada, "t1", MINE, a, b, "live")
    with pytest.raises(InvalidInput, match="same LLM"):
        live.pose(ada, "t1", MINE, a, Response(MINE.query_id, a.llm_id, ("other",)), "live")
    with pytest.raises(NotFound, match="no LLM"):
        live.pose(ada, "t1", MINE, a, Response(MINE.query_id, LLMId("gone"), ("other",)), "live")
    with pytest.raises(NotFound, match="Sign in"):
        live.pose(UserId("nobody"), "t1", MINE, *pair(store), "live")
    with pytest.raises(NotFound):
        store.record(ada, "t1", Outcome.A, minimum_dwell=0)


def test_a_token_is_one_persons(live: LiveComparisons, store: PreferenceStore, ada: UserId, database: Database) -> None:
    live.pose(ada, "t1", MINE, *pair(store), "live")
    bob = People(database).sign_in("Bob").name
    with pytest.raises(NotAllowed):
        live.pose(bob, "t1", MINE, *pair(store), "live")


def test_sides_balance_over_a_pair(live: LiveComparisons, store: PreferenceStore, ada: UserId) -> None:
    one, other = (llm.llm_id for llm in store.llms()[:2])
    left = []
    for i in range(6):
        a, b = live.sides(one, other)
        query = Query.typed(f"prompt {i}")
        live.pose(ada, f"t{i}", query, Response(query.query_id, a, ("x",)), Response(query.query_id, b, ("y",)), "live")
        left.append(a)
    assert left.count(one) == left.count(other) == 3


def test_who_leaves_takes_their_prompts_with_them(
    live: LiveComparisons, store: PreferenceStore, ada: UserId, database: Database
) -> None:
    live.pose(ada, "t1", MINE, *pair(store), "live")
    store.record(ada, "t1", Outcome.A, minimum_dwell=0)
    assert MINE.text in "".join(document(database, ada))
    People(database).erase(ada)
    from sqlalchemy import text

    with database.read() as session:
        kept = session.execute(text("SELECT turns FROM queries UNION ALL SELECT turns FROM responses")).all()
    assert not any("nobody else may see" in str(row) or "left words" in str(row) for row in kept)
