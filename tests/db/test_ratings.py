import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from core.domain import Outcome
from core.errors import InvalidInput, NotAllowed, NotFound
from core.settings import ROOT
from db.models import AuditEventRow, ComparisonRow
from db.people import People
from db.preferences import PreferenceStore
from tests.db.worlds import at_once, world


def events(database):
    with database.read() as session:
        return session.query(ComparisonRow).order_by(ComparisonRow.id).all()


def rate(store, user, outcome=Outcome.A):
    return store.record(user, store.assign(user).token, outcome, minimum_dwell=0)


def key(store, user):
    return next(iter(store.comparisons(user))).key


def test_a_rating_is_stored_with_what_was_shown(store, ada, database, clock):
    shown = store.assign(ada)
    clock.wait(2.5)
    assert store.record(ada, shown.token, Outcome.BOTH_BAD, minimum_dwell=0.8).status == "saved"
    (said,) = store.comparisons()
    assert (said.user_id, said.query_id, said.outcome) == (ada, shown.query.query_id, Outcome.BOTH_BAD)
    assert (said.llm_a, said.llm_b) == (shown.response_a.llm_id, shown.response_b.llm_id)
    assert (said.response_a, said.response_b) == (shown.response_a.response_id, shown.response_b.response_id)
    assert said.rated_at == clock.now
    assert events(database)[0].dwell_ms == 2500


def test_a_repeat_is_told_what_is_stored_and_stores_nothing(store, ada, database):
    token = store.assign(ada).token
    assert store.record(ada, token, Outcome.A, minimum_dwell=0).status == "saved"
    again = store.record(ada, token, Outcome.B, minimum_dwell=0)
    assert (again.status, again.outcome) == ("already_saved", Outcome.A)
    assert len(events(database)) == 1


def test_twenty_threads_with_one_token_store_one_rating(store, ada, database):
    token = store.assign(ada).token
    choices = [Outcome.A, Outcome.B] * 10
    results = at_once(20, lambda i: store.record(ada, token, choices[i], minimum_dwell=0))
    assert Counter(result.status for result in results) == {"saved": 1, "already_saved": 19}
    assert len({result.outcome for result in results}) == 1
    assert len(events(database)) == 1


def test_two_processes_with_one_token_store_one_rating(store, ada, database):
    token = store.assign(ada).token
    program = (
        "import sys; from core.domain import Outcome; from db.engine import Database\n"
        "from db.preferences import PreferenceStore; url, user, token = sys.argv[1:]\n"
        "print(PreferenceStore(Database.open(url)).record(user, token, Outcome.A, minimum_dwell=0).status)"
    )
    url = database._engine.url.render_as_string(hide_password=False)
    command = [sys.executable, "-c", program, url, ada, token]
    started = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert sorted(process.communicate(timeout=300)[0].strip() for process in started) == ["already_saved", "saved"]
    assert len(events(database)) == 1


def test_twenty_users_at_once_lose_nothing(store, database):
    store.add_bundle(world(queries=5))
    users = [People(database).sign_in(f"user {i}").name for i in range(20)]

    def work(i):
        return [rate(store, users[i]).status for _ in range(5)]

    assert at_once(20, work) == [["saved"] * 5] * 20
    assert len(events(database)) == 100


def test_a_rating_before_the_minimum_dwell_is_counted_and_not_stored(store, ada, database, clock):
    token = store.assign(ada).token
    clock.wait(0.7)
    assert store.record(ada, token, Outcome.A, minimum_dwell=0.8).status == "too_quick"
    assert events(database) == []
    with database.read() as session:
        (quick,) = session.query(AuditEventRow).filter_by(action="too_quick")
    assert (quick.actor, quick.subject, quick.detail["outcome"]) == (ada, token, "a")
    clock.wait(0.2)
    assert store.record(ada, token, Outcome.A, minimum_dwell=0.8).status == "saved"


def test_a_repeat_is_already_saved_however_quick_it_is(store, ada):
    token = store.assign(ada).token
    store.record(ada, token, Outcome.A, minimum_dwell=0)
    assert store.record(ada, token, Outcome.A, minimum_dwell=99).status == "already_saved"


def test_rating_what_was_skipped_in_another_tab_stores_nothing(store, ada, database):
    token = store.assign(ada).token
    store.skip(ada, token)
    result = store.record(ada, token, Outcome.A, minimum_dwell=0)
    assert (result.status, result.outcome) == ("already_saved", None)
    assert events(database) == []


def test_an_answer_after_an_undo_continues_the_chain(store, ada, database):
    for outcome in (Outcome.A, Outcome.B, Outcome.TIE):
        rate(store, ada, outcome)
        if outcome != Outcome.TIE:
            store.undo(ada)
    chain = events(database)
    assert [event.kind for event in chain] == ["rating", "withdrawal", "rating", "withdrawal", "rating"]
    assert [event.supersedes_id for event in chain] == [None, *(event.id for event in chain[:-1])]
    assert [c.outcome for c in store.comparisons()] == [Outcome.TIE]


def test_an_edit_keeps_both_versions_and_counts_the_newer(store, ada, database):
    rate(store, ada, Outcome.A)
    store.edit(ada, key(store, ada), Outcome.B)
    assert [c.outcome for c in store.comparisons(ada)] == [Outcome.B]
    assert [event.outcome for event in events(database)] == [Outcome.A, Outcome.B]


def test_a_double_click_on_edit_or_withdraw_is_one_event(store, ada, database):
    rate(store, ada)
    first = key(store, ada)
    for _ in range(2):
        store.edit(ada, first, Outcome.B)
    second = key(store, ada)
    at_once(5, lambda _: store.withdraw(ada, second))
    assert [event.kind for event in events(database)] == ["rating", "edit", "withdrawal"]
    assert store.progress(ada).rated == 0


def test_an_edit_to_the_same_answer_is_nothing(store, ada, database):
    rate(store, ada, Outcome.A)
    store.edit(ada, key(store, ada), Outcome.A)
    assert len(events(database)) == 1


def test_an_edit_of_what_was_changed_in_another_tab_is_refused(store, ada, database):
    rate(store, ada, Outcome.A)
    first = key(store, ada)
    store.edit(ada, first, Outcome.B)
    with pytest.raises(InvalidInput, match="Changed elsewhere"):
        store.edit(ada, first, Outcome.TIE)
    store.withdraw(ada, key(store, ada))
    with pytest.raises(InvalidInput, match="Changed elsewhere"):
        store.edit(ada, first, Outcome.TIE)
    assert len(events(database)) == 3


def test_only_the_author_may_change_a_rating(store, ada, database):
    rate(store, ada)
    eve = People(database).sign_in("Eve").name
    with pytest.raises(NotAllowed, match="someone else"):
        store.edit(eve, key(store, ada), Outcome.B)
    with pytest.raises(NotAllowed):
        store.withdraw(eve, key(store, ada))
    with pytest.raises(NotFound):
        store.withdraw(ada, "unknown")
    assert len(events(database)) == 1


def test_a_withdrawn_rating_is_not_asked_again_and_an_undo_reopens_it(store, ada):
    first = store.assign(ada)
    store.record(ada, first.token, Outcome.A, minimum_dwell=0)
    store.withdraw(ada, key(store, ada))
    assert store.assign(ada).query != first.query
    assert store.undo(ada).token == first.token
    rate(store, ada, Outcome.B)
    assert [c.outcome for c in store.comparisons(ada)] == [Outcome.B]


def test_an_imported_rating_may_be_edited_by_its_author(store):
    store.add_bundle(world(ratings=1, user="robot"))
    store.edit("robot", "pack-0", Outcome.TIE)
    assert [c.outcome for c in store.comparisons()] == [Outcome.TIE]


def test_the_log_refuses_every_update(store, ada, database):
    rate(store, ada)
    with pytest.raises(DBAPIError, match="append-only"), database.write() as session:
        session.execute(text("UPDATE comparisons SET outcome = 'b'"))
    assert events(database)[0].outcome == Outcome.A


@pytest.mark.parametrize(
    "change",
    [
        "supersedes_id = NULL, key = 'x'",  # a second rating of one assignment
        "supersedes_id = 1, key = 'x', outcome = NULL",  # a rating without an outcome
        "supersedes_id = 1, key = 'x', kind = 'withdrawal'",  # a withdrawal with one
        "supersedes_id = NULL, key = 'x', assignment_id = NULL, kind = 'edit'",  # an edit of nothing
        "supersedes_id = 1, key = 'x', llm_b_id = llm_a_id",
        "supersedes_id = 1, key = 'x', outcome = 'maybe'",
    ],
)
def test_what_must_never_be_is_a_constraint(store, ada, database, change):
    rate(store, ada)
    names = [column.name for column in ComparisonRow.__table__.columns if column.name != "id"]
    new = dict(part.split(" = ") for part in change.split(", "))
    values = ", ".join("'" + new[n].strip("'") + "'" if "'" in new.get(n, "") else new.get(n, n) for n in names)
    with pytest.raises(DBAPIError, match=r"(?i)constraint"), database.write() as session:
        session.execute(text(f"INSERT INTO comparisons ({', '.join(names)}) SELECT {values} FROM comparisons"))  # noqa: S608


def test_progress_tells_pace_and_what_is_left(store, ada, clock):
    assert store.progress(ada) == type(store.progress(ada))(0, 0, 0, 3, None)
    for seconds in (5, 9, 600):
        token = store.assign(ada).token
        clock.wait(seconds)
        store.record(ada, token, Outcome.A, minimum_dwell=0)
    now = store.progress(ada)
    assert (now.rated, now.today, now.available, now.seconds_each) == (3, 3, 0, 9)
    clock.wait(86_400)
    assert store.progress(ada).today == 0
    assert store.progress("nobody").rated == 0


def test_a_skipped_query_still_counts_as_available(store, ada):
    store.skip(ada, store.assign(ada).token)
    assert store.progress(ada).available == 3


ACTS = st.one_of(
    st.tuples(st.just("rate"), st.sampled_from(Outcome)),
    st.tuples(st.just("edit"), st.integers(0, 9), st.sampled_from(Outcome)),
    st.tuples(st.just("withdraw"), st.integers(0, 9)),
    st.sampled_from([("undo",), ("undo",), ("skip",)]),
)


class Model:
    """What should be true of one user after any sequence of acts, in the simplest words."""

    def __init__(self, store, user):
        self.store, self.user = store, user
        self.open, self.waiting, self.closed = None, [], []
        self.said = {}  # token -> (key, outcome)

    def act(self, name, *details):
        self.store._clock.wait(1)
        getattr(self, name)(*details)

    def keys(self):
        return {c.key for c in self.store.comparisons(self.user)}

    def shown(self):
        assignment = self.store.assign(self.user)
        expected = self.open or (self.waiting.pop() if self.waiting else None)
        if expected:
            assert assignment.token == expected
        elif assignment:
            assert assignment.token not in self.closed
        self.open = assignment.token if assignment else None
        return self.open

    def rate(self, outcome):
        if token := self.shown():
            before = self.keys()
            self.store.record(self.user, token, outcome, minimum_dwell=0)
            self.said[token] = ((self.keys() - before).pop(), outcome)
            self.closed.append(token)
            self.open = None

    def skip(self):
        if token := self.shown():
            self.store.skip(self.user, token)
            self.closed.append(token)
            self.open = None

    def undo(self):
        assignment = self.store.undo(self.user)
        assert (assignment.token if assignment else None) == (self.closed[-1] if self.closed else None)
        if assignment:
            if self.open:
                self.waiting.append(self.open)
            self.open = self.closed.pop()
            self.said.pop(self.open, None)

    def edit(self, i, outcome):
        if self.said:
            token = list(self.said)[i % len(self.said)]
            before = self.keys()
            self.store.edit(self.user, self.said[token][0], outcome)
            new = self.keys() - before
            assert bool(new) == (self.said[token][1] != outcome)
            self.said[token] = (new.pop() if new else self.said[token][0], outcome)

    def withdraw(self, i):
        if self.said:
            token = list(self.said)[i % len(self.said)]
            self.store.withdraw(self.user, self.said.pop(token)[0])


def naive(database):
    """The ratings in force by going through the whole log, event by event."""
    log = events(database)
    superseded = {event.supersedes_id for event in log}
    return {event.id: event.outcome for event in log if event.id not in superseded and event.outcome is not None}


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(acts=st.lists(ACTS, max_size=14))
def test_any_sequence_of_acts_leaves_what_the_user_said_last(database, clock, acts):
    store = PreferenceStore(database, clock)
    store.add_bundle(world(queries=4, llms=2))
    with database.read() as session:
        number = session.query(AuditEventRow).count()
    model = Model(store, People(database, clock).sign_in(f"user {number}").name)
    for act in acts:
        model.act(*act)
    said = {c.key: c.outcome for c in store.comparisons(model.user)}
    assert said == dict(model.said.values())
    snapshot = store.snapshot()
    assert {int(i): snapshot.outcome_of(row) for row, i in enumerate(snapshot.ids)} == naive(database)
    history = store.history(model.user)
    assert sorted(history.outcome_of(row) for row in range(len(history))) == sorted(said.values())
