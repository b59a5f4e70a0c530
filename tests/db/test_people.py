import pytest
from sqlalchemy import text

from core.domain import Bundle, Outcome, User, UserId
from core.errors import InvalidInput, NotFound
from core.profile import Profile
from db.people import People
from db.preferences import PreferenceStore
from db.reports import counts, ratings_per_user
from tests.db.worlds import asked, at_once, statements, world


@pytest.fixture
def people(database, clock):
    return People(database, clock)


def test_signing_in_makes_a_rater_and_finds_them_again(people):
    ada = people.sign_in("  Ada   Lovelace ")
    assert (ada.name, ada.role, ada.simulated) == ("Ada Lovelace", "rater", False)
    assert people.sign_in("Ada Lovelace") == ada == people.get(UserId("Ada Lovelace"))


def test_twenty_first_sign_ins_at_once_make_one_person(people):
    assert len(set(at_once(20, lambda _: people.sign_in("Ada")))) == 1


@pytest.mark.parametrize("name", ["", "   ", "\n\t", "x" * 121, "a\x00b", "\ud800"])
def test_a_name_that_is_none_is_refused(people, name):
    with pytest.raises(InvalidInput, match="name"):
        people.sign_in(name)
    assert people.list() == []


def test_nobody_signs_in_as_a_simulated_user(people, database):
    PreferenceStore(database).add_bundle(Bundle("pack", users=(User(UserId("robot"), simulated=True),)))
    with pytest.raises(InvalidInput, match=r"'robot' is a simulated user.*choose another name"):
        people.sign_in("robot")


def test_an_unknown_name_is_not_found(people):
    with pytest.raises(NotFound, match="no user 'nobody'"):
        people.get(UserId("nobody"))


def test_a_browser_is_remembered_until_it_is_forgotten(people, database):
    ada, bob = people.sign_in("Ada"), people.sign_in("Bob")
    people.remember("cookie", ada)
    assert people.recall("cookie") == ada
    people.remember("cookie", bob)
    assert people.recall("cookie") == bob
    with database.read() as session:
        assert "cookie" not in str(session.execute(text("SELECT * FROM browser_sessions")).all())
    people.forget("cookie")
    assert people.recall("cookie") is None
    people.forget("cookie")


def test_what_a_person_says_of_themselves_is_kept_replaced_and_may_be_nothing(people):
    ada = people.sign_in("Ada").name
    assert people.profile(ada) is None
    for said in (Profile("Code", "Daily", "Short"), Profile("Writing", None, None), Profile()):
        people.describe(ada, said)
        assert people.profile(ada) == said
    with pytest.raises(InvalidInput, match="none of the answers: Code"):
        Profile("World domination")
    with pytest.raises(NotFound):
        people.describe(UserId("nobody"), Profile())


def test_lists_and_counts_take_ratings_in_force_in_one_statement_each(people, database):
    store = PreferenceStore(database)
    store.add_bundle(world(ratings=3))
    ada = people.sign_in("Ada").name
    for _ in range(2):
        store.record(ada, asked(store, ada).token, Outcome.A, minimum_dwell=0)
    store.undo(ada)
    with statements(database) as sent:
        listed, simulated = people.list(), people.list(simulated=True)
        counted, frame = counts(database), ratings_per_user(database)
    assert len(sent) == 4
    assert [(row.person.name, row.ratings) for row in listed] == [("Ada", 1), ("robot", 3)]
    assert [row.person.name for row in simulated] == ["robot"]
    assert counted == type(counted)(users=2, people=1, simulated=1, ratings=4, queries=3, llms=3)
    assert frame.to_dict("records") == [
        {"user": "robot", "ratings": 3, "simulated": True},
        {"user": "Ada", "ratings": 1, "simulated": False},
    ]
