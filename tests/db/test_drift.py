"""Changes of taste over real rows: found, acted on, undone, audited; what is left out of routing is kept and trains."""

from datetime import timedelta

import numpy as np
import pytest

from core.domain import LLM, Bundle, Comparison, LLMId, Outcome, Query, QueryId, ResponseId, Task, User, UserId
from core.errors import NotFound
from core.routers.bradley_terry import BradleyTerryRouter
from db.audit import events
from db.drift import DriftChoices, change_of, moment
from db.known import Histories
from db.models import DriftChoice
from db.preferences import PreferenceStore
from db.routers import RouterRegistry
from db.surveys import Surveys
from db.takeout import document
from tests.db.worlds import NOON, response
from tests.planted import HashEncoder

TURNED, STEADY = UserId("turned"), UserId("steady")
MIDDLE = 45
SINCE = NOON + timedelta(days=MIDDLE)


def turning(n: int = 90) -> Bundle:
    """A simulated user who prefers the LLM of the lower number until rating 45, and the other one from then on; one a
    day. A second one does not turn.
    """
    llms = tuple(LLM(LLMId(f"llm-{i}")) for i in range(3))
    queries = tuple(Query(QueryId(f"query-{i}"), (f"Question {i}?",), "task") for i in range(n))
    rated = []
    for user in (TURNED, STEADY):
        for i, query in enumerate(queries):
            a, b = sorted(np.random.default_rng(i).permutation(3)[:2])
            outcome = Outcome.B if user == TURNED and i >= MIDDLE else Outcome.A
            if i % 8 == 0:  # nobody is that sure of themselves
                outcome = Outcome.B if outcome is Outcome.A else Outcome.A
            ra, rb = (ResponseId(response(query, llms[m]).response_id) for m in (a, b))
            key, at = f"{user}-{i}", NOON + timedelta(days=i)
            rated.append(Comparison(user, query.query_id, llms[a].llm_id, llms[b].llm_id, outcome, ra, rb, key, at))
    said = tuple(response(query, llm) for query in queries for llm in llms)
    users = tuple(User(user, simulated=True) for user in (TURNED, STEADY))
    return Bundle("pack", users, (Task("task"),), llms, queries, said, tuple(rated))


@pytest.fixture
def store(database, clock) -> PreferenceStore:
    store = PreferenceStore(database, clock)
    store.add_bundle(turning())
    return store


def test_a_turn_is_found_acted_on_and_undone_and_nothing_is_lost(store, database, clock):
    own, everything = store.history(TURNED), store.snapshot().fingerprint()
    router = BradleyTerryRouter.fit(store.snapshot(), store.snapshot(), HashEncoder())
    change = change_of(router, own, None)
    assert change is not None and abs((moment(change) - NOON).days - MIDDLE) <= 3
    assert change_of(router, store.history(STEADY), None) is None

    choices, since = DriftChoices(database, clock), moment(change)
    choices.choose(TURNED, DriftChoice.NEWER_ONLY, since, by="Ada")
    choices.choose(TURNED, DriftChoice.NEWER_ONLY, since, by="Ada")  # a double click
    assert [(c.choice, c.since, c.by) for c in choices.in_force(TURNED)] == [(DriftChoice.NEWER_ONLY, since, "Ada")]
    newer = store.history(TURNED)
    assert len(newer) == change.since and (newer.time >= change.at).all()
    assert len(store.history(TURNED, whole=True)) == 90 and len(store.history(STEADY)) == 90
    assert store.snapshot().fingerprint() == everything  # training reads all
    assert change_of(router, store.history(TURNED, whole=True), since) is None  # since then it was one taste

    choices.take_back(TURNED, since, by="Ada")
    assert choices.in_force(TURNED) == [] and store.history(TURNED).fingerprint() == own.fingerprint()
    with pytest.raises(NotFound):
        choices.take_back(TURNED, since, by="Ada")
    done = [(e["action"], e["actor"], e["subject"]) for e in events(database, [], 10) if "drift" in e["action"]]
    assert done == [("drift_taken_back", "Ada", "turned"), ("drift_newer_only", "Ada", "turned")]


def test_a_change_that_is_ignored_routes_as_before(store, database, clock):
    choices = DriftChoices(database, clock)
    choices.choose(TURNED, DriftChoice.IGNORE, SINCE, by="turned")
    assert len(store.history(TURNED)) == 90
    with pytest.raises(NotFound):
        choices.choose(UserId("nobody"), DriftChoice.IGNORE, NOON, by="turned")


def test_what_is_kept_in_memory_turns_over_with_the_choice(store, database, clock):
    histories, choices = Histories(database), DriftChoices(database, clock)
    before = histories.of(TURNED)
    assert histories.of(TURNED) is before
    choices.choose(TURNED, DriftChoice.NEWER_ONLY, SINCE, by="turned")
    assert len(histories.of(TURNED)) == 45
    choices.take_back(TURNED, SINCE, by="turned")
    assert len(histories.of(TURNED)) == 90
    choices.choose(TURNED, DriftChoice.NEWER_ONLY, SINCE, by="turned")
    assert len(histories.of(TURNED)) == 45


def test_a_survey_asks_anew_whoever_chose_and_nobody_else(store, database, clock):
    fitted = BradleyTerryRouter.fit(store.snapshot(), store.snapshot(), HashEncoder())
    version = RouterRegistry(database, clock).publish(fitted.kind, fitted.to_bytes(), {})
    surveys = Surveys(database, HashEncoder())
    told = surveys.of(version.id).survey
    assert dict(zip(told.users, told.ratings.tolist(), strict=True)) == {STEADY: 90, TURNED: 90}
    DriftChoices(database, clock).choose(TURNED, DriftChoice.NEWER_ONLY, SINCE, by="turned")
    told = surveys.of(version.id).survey
    assert dict(zip(told.users, told.ratings.tolist(), strict=True)) == {STEADY: 90, TURNED: 45}


def test_choices_are_in_the_persons_data_and_go_with_the_person(store, database, clock):
    choices = DriftChoices(database, clock)
    choices.choose(TURNED, DriftChoice.NEWER_ONLY, SINCE, by="turned")
    data = "".join(document(database, TURNED))
    assert '"taste_changes": [' in data and "newer_only" in data
    store.remove_source("pack")
    assert choices.in_force(TURNED) == []
