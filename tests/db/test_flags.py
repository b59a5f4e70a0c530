"""The queue of flagged queries: who said what is wrong, what becomes of it, and the way back; each in the audit log."""

import pytest
from sqlalchemy import select

from core.errors import InvalidInput, NotFound
from db.audit import events
from db.flags import MAX_WHY, Flags
from db.models import FlagReason, FlagResolution, FlagRow
from db.people import People
from db.preferences import PreferenceStore
from tests.db.worlds import asked, world


@pytest.fixture
def flags(database, clock) -> Flags:
    return Flags(database, clock)


@pytest.fixture
def store(database, clock) -> PreferenceStore:
    store = PreferenceStore(database, clock)
    store.add_bundle(world(queries=1))
    return store


@pytest.fixture
def people(database, clock):
    return [People(database, clock).sign_in(name).name for name in ("Ada", "Bob", "Eve")]


def flag(store, user, reason=FlagReason.BROKEN, note=""):
    store.flag(user, asked(store, user).token, reason, note)


def test_what_is_flagged_waits_with_its_reasons_and_what_was_shown(flags, store, people):
    assert flags.waiting() == []
    flag(store, people[0], FlagReason.IDENTITY, " says it is one ")
    (one,) = flags.waiting()
    assert one.query.query_id == "query-0" and not one.paused and len(one.responses) == 2
    assert [(f.user, f.reason, f.note) for f in one.flags] == [("Ada", FlagReason.IDENTITY, "says it is one")]
    flag(store, people[1])
    (one,) = flags.waiting()
    assert one.paused and [f.user for f in one.flags] == ["Ada", "Bob"]
    assert store.assign(people[2]) is None


@pytest.mark.parametrize("resolution", [FlagResolution.DISMISSED, FlagResolution.FIXED])
def test_what_is_fit_or_mended_is_shown_again_and_the_decision_is_kept(flags, store, people, database, resolution):
    for user in people[:2]:
        flag(store, user)
    flags.settle("query-0", resolution, "Ann", " looked  at it ")
    assert flags.waiting() == [] and store.assign(people[2]) is not None
    (event,) = events(database, ["flag_settle"], 5)
    assert (event["actor"], event["subject"]) == ("Ann", "query-0")
    assert "looked at it" in event["detail"] and resolution in event["detail"]


def test_what_is_retired_is_shown_to_nobody_until_it_is_brought_back(flags, store, people, database):
    flag(store, people[0])
    flags.settle("query-0", FlagResolution.RETIRED, "Ann", "Half of it is missing")
    assert store.assign(people[2]) is None and flags.waiting() == []
    (gone,) = flags.retired()
    assert (gone.query.query_id, gone.by) == ("query-0", "Ann")
    flags.bring_back("query-0", "Bea", "It came again whole")
    assert flags.retired() == [] and store.assign(people[2]) is not None
    assert [e["action"] for e in events(database, [], 3)[:2]] == ["flag_bring_back", "flag_settle"]


@pytest.mark.parametrize("why", ["", "  ", "x" * (MAX_WHY + 1), "a\x00b"])
def test_without_a_reason_nothing_changes(flags, store, people, database, why):
    flag(store, people[0])
    with pytest.raises(InvalidInput, match="Give a reason"):
        flags.settle("query-0", FlagResolution.RETIRED, "Ann", why)
    with database.read() as session:
        assert session.scalars(select(FlagRow)).one().resolution is None


def test_of_two_who_settle_it_the_second_hears_that_it_is_done(flags, store, people):
    flag(store, people[0])
    flags.settle("query-0", FlagResolution.DISMISSED, "Ann", "fine")
    with pytest.raises(NotFound, match="settled this meanwhile"):
        flags.settle("query-0", FlagResolution.RETIRED, "Bea", "not fine")
    with pytest.raises(NotFound):
        flags.bring_back("query-0", "Bea", "it is not retired")
    assert flags.retired() == []


def test_a_flag_that_was_taken_back_no_longer_waits(flags, store, people):
    flag(store, people[0])
    store.undo(people[0])
    assert flags.waiting() == []
