"""What is stored beside an outcome, flags and what they pause, drafts, and that all of it leaves with its person."""

import json

import pytest
from sqlalchemy.exc import DBAPIError

from core import importers
from core.answers import Detail, Reason
from core.campaigns import Kind, Mode, Scale
from core.domain import Outcome
from core.errors import InvalidInput, NotAllowed
from db import takeout
from db.campaigns import Campaigns
from db.datasets import Datasets
from db.engine import Database
from db.histories import Filter, count, rating
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
    key = min(said.key for said in store.comparisons(ada))
    campaigns.set_open("Everything", "admin", open=False)
    for act in (lambda: store.edit(ada, key, Outcome.B), lambda: store.withdraw(ada, key), lambda: store.undo(ada)):
        with pytest.raises(NotAllowed, match="campaign is closed"):
            act()
    assert store.history(ada).outcome_of(0) is Outcome.A
    campaigns.set_open("Everything", "admin", open=True)
    store.edit(ada, key, Outcome.B)


@pytest.fixture
def several(store, database, clock):
    """Best and worst of three, of queries with three responses each."""
    Campaigns(database, clock).edit("Everything", "test", kind=Kind.BEST_WORST, options=3)
    return store


def beaten(store, user):
    """(winner, loser) of every rating in force."""
    pairs = [(said.llm_a, said.llm_b, said.outcome) for said in store.comparisons(user)]
    return {(a, b) if outcome is Outcome.A else (b, a) for a, b, outcome in pairs}


def test_best_and_worst_of_three_become_comparisons_that_say_they_are_one_choice(several, ada, database):
    shown = asked(several, ada)
    first, second, third = (response.llm_id for response in shown.responses)
    assert shown.probability == pytest.approx(1 / 3) and len({first, second, third}) == 3
    assert asked(several, ada) == shown
    saved = several.record_choice(ada, shown.token, 2, 0, minimum_dwell=0)
    assert (saved.status, saved.outcome) == ("saved", Outcome.B)  # the third stood right of the first
    assert several.record_choice(ada, shown.token, 1, minimum_dwell=0).status == "already_saved"
    assert beaten(several, ada) == {(third, first), (third, second), (second, first)}
    assert len({row.choice for row in rows(database, RatingDetailRow)}) == 1
    assert (several.progress(ada).done, len(several.history(ada))) == (1, 3)
    choices = several.snapshot().choice
    assert choices[0] >= 0 and len(set(choices)) == 1 and several.history(ada).choice.tolist() == choices.tolist()
    assert asked(several, ada).query != shown.query


def test_an_undone_choice_is_taken_back_as_one_and_may_be_made_otherwise(several, ada, clock):
    shown = asked(several, ada)
    first, second, third = (response.llm_id for response in shown.responses)
    several.record_choice(ada, shown.token, 0, minimum_dwell=0)
    clock.wait(1)
    assert several.undo(ada).token == shown.token and len(several.history(ada)) == 0
    several.record_choice(ada, shown.token, 1, 2, minimum_dwell=0)
    assert beaten(several, ada) == {(second, first), (second, third), (first, third)}


def test_a_choice_is_withdrawn_as_one_and_not_changed_in_part(several, ada, database):
    several.record_choice(ada, asked(several, ada).token, 0, minimum_dwell=0)
    key = min(said.key for said in several.comparisons(ada))
    with pytest.raises(InvalidInput, match="cannot be changed in part"):
        several.edit(ada, key, Outcome.TIE)
    assert rating(database, ada, key).several
    several.withdraw(ada, key)
    assert len(several.history(ada)) == 0
    assert count(database, ada, Filter()) == 2  # still listed, as withdrawn, each once


def test_places_that_are_not_shown_and_answers_that_are_not_asked_store_nothing(several, ada):
    token = asked(several, ada).token
    for best, worst in ((3, None), (-1, None), (0, 0), (0, 7)):
        with pytest.raises(InvalidInput, match="nothing was saved"):
            several.record_choice(ada, token, best, worst, minimum_dwell=0)
    with pytest.raises(InvalidInput, match="choose the best"):
        several.record(ada, token, Outcome.A, minimum_dwell=0)
    assert len(several.history(ada)) == 0


def test_those_who_share_a_query_choose_among_the_same_responses(database, clock):
    store = PreferenceStore(database, clock)
    store.add_bundle(world(queries=1, llms=6))
    Campaigns(database, clock).edit("Everything", "test", kind=Kind.BEST, options=3, overlap=2)
    people = [People(database, clock).sign_in(name).name for name in ("Ada", "Bob", "Eve")]
    shown = [asked(store, user) for user in people[:2]]
    assert shown[0].probability == pytest.approx(1 / 20)  # one query, 20 sets of three among six
    sets = [{response.response_id for response in assignment.responses} for assignment in shown]
    assert len(sets[0]) == 3 and sets[0] == sets[1]
    assert store.assign(people[2]) is None
    store.remove_source("pack")


@pytest.mark.parametrize(("format", "suffix"), [("arena", ".jsonl"), ("arena", ".parquet"), ("ratings", ".csv")])
def test_a_choice_comes_back_as_one_from_an_export_into_an_empty_database(
    several, ada, database, tmp_path, format, suffix
):
    for best, worst in ((2, 0), (0, None)):
        several.record_choice(ada, asked(several, ada).token, best, worst, minimum_dwell=0)
    said = {(c.llm_a, c.llm_b, c.outcome, c.choice) for c in several.comparisons()}
    assert len({choice for *_, choice in said}) == 2
    fingerprint = several.snapshot().fingerprint()
    Datasets(database).export(tmp_path / f"out{suffix}", format, keep_names=True)
    empty = Database.open(f"sqlite:///{tmp_path / 'empty.db'}")
    store = PreferenceStore(empty)
    store.add_file(importers.read(tmp_path / f"out{suffix}"))
    assert {(c.llm_a, c.llm_b, c.outcome, c.choice) for c in store.comparisons()} == said
    assert store.snapshot().fingerprint() == fingerprint
    assert store.add_file(importers.read(tmp_path / f"out{suffix}")).added == 0
    # Also there it is one choice: withdrawn as such, and not changed in part.
    first = next(iter(store.comparisons()))
    with pytest.raises(InvalidInput, match="part of a choice"):
        store.edit(ada, first.key, Outcome.B if first.outcome is Outcome.A else Outcome.A)
    store.withdraw(ada, first.key)
    assert first.choice not in {c.choice for c in store.comparisons()} and len(list(store.comparisons())) == 2
    store.remove_source(f"out{suffix}")
    empty.dispose()
