"""What is stored beside an outcome, flags and what they pause, drafts, and that all of it leaves with its person."""

import json

import pytest
from sqlalchemy.exc import DBAPIError

from core.answers import Detail, Reason
from core.campaigns import Mode, Scale
from core.domain import Outcome
from core.errors import InvalidInput, NotAllowed
from db import takeout
from db.campaigns import Campaigns
from db.models import DraftRow, FlagReason, FlagResolution, FlagRow, RatingDetailRow
from db.people import People
from db.preferences import PreferenceStore
from tests.db.worlds import asked, world

FULL = Detail(2, (Reason.CLEAR, Reason.SAFE), {"Tone": {"a": 5, "b": 1}}, " Says why. ")


@pytest.fixture
def campaigns(database, clock):
    campaigns = Campaigns(database, clock)
    campaigns.edit("Everything", "test", scale=Scale.FIVE, mode=Mode.DETAILED, criteria=("Tone",))
    return campaigns


def rows(database, kind):
    with database.read() as session:
        return session.query(kind).all()


def test_what_was_said_beside_an_answer_is_kept_with_it_and_nothing_is_stored_of_nothing(
    store, campaigns, ada, database
):
    store.record(ada, asked(store, ada).token, Outcome.A, minimum_dwell=0, detail=FULL)
    store.record(ada, asked(store, ada).token, Outcome.B, minimum_dwell=0)
    (row,) = rows(database, RatingDetailRow)
    assert (row.strength, row.reasons, row.comment) == (2, ["clear", "safe"], "Says why.")
    assert row.criteria == {"Tone": {"a": 5, "b": 1}}
    said = json.loads("".join(takeout.document(database, ada)))["ratings"][0]["history"][0]
    assert (said["strength"], said["stars"], said["comment"]) == (2, {"Tone": {"a": 5, "b": 1}}, "Says why.")


def test_what_was_said_beside_an_answer_cannot_be_changed(store, campaigns, ada, database):
    store.record(ada, asked(store, ada).token, Outcome.A, minimum_dwell=0, detail=FULL)
    with pytest.raises(DBAPIError, match="append-only"), database.write() as session:
        session.query(RatingDetailRow).one().comment = "other"


@pytest.mark.parametrize(
    ("outcome", "detail"),
    [
        (Outcome.TIE, Detail(2)),
        (Outcome.BOTH_BAD, Detail(1)),
        (Outcome.A, Detail(0)),
        (Outcome.A, Detail(1, criteria={"Wit": {"a": 1}})),
    ],
)
def test_what_the_campaign_does_not_ask_is_refused_and_nothing_is_stored(store, campaigns, ada, outcome, detail):
    with pytest.raises(InvalidInput, match="nothing was saved"):
        store.record(ada, asked(store, ada).token, outcome, minimum_dwell=0, detail=detail)
    assert len(store.history(ada)) == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"strength": 3}, {"comment": "x" * 2_001}, {"comment": "\x00"}, {"reasons": ("because",)},
        {"criteria": {"Tone": {"a": 6}}}, {"criteria": {"Tone": {"c": 1}}}, {"criteria": {"Tone": {}}},
    ],
)  # fmt: skip
def test_a_detail_out_of_its_bounds_is_refused(wrong):
    with pytest.raises(InvalidInput, match="nothing was saved"):
        Detail(**wrong)


def test_two_peoples_flags_pause_a_query_until_they_are_looked_at(database, clock):
    store = PreferenceStore(database, clock)
    store.add_bundle(world(queries=1))
    people = [People(database, clock).sign_in(name).name for name in ("Ada", "Bob", "Eve")]
    for user in people[:2]:
        assert asked(store, people[2]).query.query_id == "query-0"
        store.flag(user, asked(store, user).token, FlagReason.BROKEN, " ends midway ")
        assert store.assign(user) is None  # never again for who flagged it
    store.skip(people[2], asked(store, people[2]).token)
    assert store.assign(people[2]) is None
    with database.write() as session:
        for row in session.query(FlagRow):
            row.resolution, row.resolved_at, row.resolved_by = FlagResolution.DISMISSED, clock(), "admin"
    assert store.assign(people[2]) is not None
    with database.write() as session:
        session.query(FlagRow).first().resolution = FlagResolution.RETIRED
    store.skip(people[2], asked(store, people[2]).token)
    assert store.assign(people[2]) is None
    assert [row.note for row in rows(database, FlagRow)] == ["ends midway"] * 2


def test_an_undo_takes_a_flag_back_and_keeps_it_in_the_record(store, ada, database, clock):
    first = asked(store, ada)
    store.flag(ada, first.token, FlagReason.HARMFUL)
    store.flag(ada, first.token, FlagReason.HARMFUL)  # a double click
    clock.wait(1)
    assert store.undo(ada).token == first.token
    (row,) = rows(database, FlagRow)
    assert (row.resolution, row.resolved_by) == ("dismissed", ada)
    assert store.record(ada, first.token, Outcome.A, minimum_dwell=0).status == "saved"
    with pytest.raises(InvalidInput, match="2,000"):
        store.flag(ada, asked(store, ada).token, FlagReason.BROKEN, "x" * 2_001)


def test_a_draft_is_its_owners_and_never_outlives_the_answer(store, ada, database):
    eve = People(database).sign_in("Eve").name
    token = asked(store, ada).token
    store.save_draft(ada, token, {"chosen": "a"})
    store.save_draft(ada, token, {"chosen": "b"})
    assert store.draft(ada, token) == {"chosen": "b"}
    assert store.draft(eve, token) == {}
    with pytest.raises(NotAllowed):
        store.save_draft(eve, token, {"chosen": "a"})
    store.record(ada, token, Outcome.A, minimum_dwell=0)
    store.save_draft(ada, token, {"chosen": "late"})  # from a slow tab
    assert store.draft(ada, token) == {} and rows(database, DraftRow) == []


def test_what_a_person_said_beside_their_ratings_leaves_with_them(store, campaigns, ada, database):
    store.record(ada, asked(store, ada).token, Outcome.A, minimum_dwell=0, detail=FULL)
    store.flag(ada, asked(store, ada).token, FlagReason.BROKEN)
    store.save_draft(ada, asked(store, ada).token, {"chosen": "a"})
    People(database).erase(ada)
    for kind in (RatingDetailRow, FlagRow, DraftRow):
        assert rows(database, kind) == []
    store.remove_source("pack")


def test_whoever_becomes_anonymous_leaves_no_word_of_their_own(store, campaigns, ada, database):
    store.record(ada, asked(store, ada).token, Outcome.A, minimum_dwell=0, detail=FULL)
    store.flag(ada, asked(store, ada).token, FlagReason.BROKEN, "I, Ada, saw it")
    store.save_draft(ada, asked(store, ada).token, {"comment": "Ada was here"})
    People(database).anonymise(ada)
    (detail,), (flag,) = rows(database, RatingDetailRow), rows(database, FlagRow)
    assert (detail.comment, detail.strength, detail.reasons, flag.note) == ("", 2, ["clear", "safe"], "")
    assert rows(database, DraftRow) == []


def test_ratings_of_a_closed_campaign_are_read_only_and_say_why(store, campaigns, ada):
    store.record(ada, asked(store, ada).token, Outcome.A, minimum_dwell=0)
    key = next(store.comparisons(ada)).key
    campaigns.set_open("Everything", "admin", open=False)
    for act in (lambda: store.edit(ada, key, Outcome.B), lambda: store.withdraw(ada, key), lambda: store.undo(ada)):
        with pytest.raises(NotAllowed, match="campaign is closed"):
            act()
    assert store.history(ada).outcome_of(0) is Outcome.A
    campaigns.set_open("Everything", "admin", open=True)
    store.edit(ada, key, Outcome.B)
