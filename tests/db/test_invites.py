"""Links that let people in: once, in time, and telling nothing to who tries."""

from datetime import timedelta

import pytest
from sqlalchemy import select, text

from core.domain import UserId
from core.errors import InvalidInput, NotFound
from db.invites import NO_LONGER, TRIES_A_MINUTE, Invites
from db.models import AuditEventRow, Role
from db.people import People
from tests.db.worlds import at_once


@pytest.fixture
def invites(database, clock):
    return Invites(database, clock)


@pytest.fixture
def people(database, clock):
    return People(database, clock)


def test_a_link_makes_a_person_with_its_role_as_often_as_it_says(invites, people):
    link = invites.create(Role.ANALYST, uses=2, days=1, by="Ada")
    assert invites.redeem(link, " Bob  B ", address="here").role == Role.ANALYST
    assert [one.uses_left for one in invites.list()] == [1]
    assert invites.redeem(link, "Cleo", address="here") == people.get(UserId("Cleo"))
    assert invites.list() == []
    with pytest.raises(InvalidInput, match="no longer works"):
        invites.redeem(link, "Dan", address="here")


def test_unknown_expired_used_and_revoked_links_all_say_the_same(invites, clock):
    used, late, ended = (invites.create(Role.RATER, uses=1, days=1, by="Ada") for _ in range(3))
    invites.redeem(used, "Bob", address="here")
    invites.revoke(invites.list()[0].id, by="Ada")
    clock.now += timedelta(days=2)
    for link in (used, late, ended, "made up"):
        with pytest.raises(InvalidInput) as refused:
            invites.redeem(link, "Cleo", address="here")
        assert str(refused.value) == NO_LONGER


def test_a_name_that_is_taken_or_none_leaves_the_link_as_it_was(invites, people):
    people.sign_in("Bob")
    link = invites.create(Role.RATER, uses=1, days=1, by="Ada")
    for name, word in (("Bob", "taken"), (" ", "empty")):
        with pytest.raises(InvalidInput, match=word):
            invites.redeem(link, name, address="here")
    assert invites.redeem(link, "Bobby", address="here").name == "Bobby"


def test_ten_at_once_with_a_link_for_one_let_one_in(invites, people):
    link = invites.create(Role.RATER, uses=1, days=1, by="Ada")

    def tries(number):
        try:
            return invites.redeem(link, f"person {number}", address=f"address {number}").name
        except InvalidInput:
            return None

    assert len([name for name in at_once(10, tries) if name]) == 1
    assert len(people.list()) == 1


def test_after_ten_wrong_links_in_a_minute_an_address_waits_and_others_do_not(invites, clock, database):
    link = invites.create(Role.RATER, uses=2, days=1, by="Ada")
    for _ in range(TRIES_A_MINUTE):
        with pytest.raises(InvalidInput, match="no longer"):
            invites.redeem("guess", "Eve", address="10.0.0.9")
    with pytest.raises(InvalidInput, match="Wait a minute"):
        invites.redeem(link, "Eve", address="10.0.0.9")
    assert invites.redeem(link, "Bob", address="10.0.0.8").name == "Bob"
    clock.now += timedelta(minutes=2)
    assert invites.redeem(link, "Cleo", address="10.0.0.9").name == "Cleo"
    with database.read() as session:
        assert "10.0.0.9" not in str(session.execute(text("SELECT * FROM audit_events")).all())


def test_a_link_for_a_person_signs_them_in_elsewhere_with_the_role_they_have(invites, people):
    people.sign_in("Bob")
    link = invites.create(Role.ADMIN, uses=1, days=1, by="Ada", person=UserId("Bob"))
    assert invites.names_person(link) and not invites.names_person("made up")
    assert invites.redeem(link, "", address="here") == people.get(UserId("Bob"))
    assert people.get(UserId("Bob")).role == Role.RATER
    with pytest.raises(NotFound, match="nobody"):
        invites.create(Role.RATER, uses=1, days=1, by="Ada", person=UserId("nobody"))


def test_the_setup_link_makes_the_first_administrator_and_then_there_is_none(invites):
    first, second = invites.setup(), invites.setup()
    with pytest.raises(InvalidInput, match="no longer"):
        invites.redeem(first, "Ada", address="here")
    assert invites.redeem(second, "Ada", address="here").role == Role.ADMIN
    assert invites.setup() is None


def test_only_the_hash_of_a_link_is_stored(invites, database):
    link = invites.create(Role.RATER, uses=1, days=1, by="Ada")
    with database.read() as session:
        assert link not in str(session.execute(text("SELECT * FROM invites")).all())
        assert link not in str(session.execute(text("SELECT * FROM audit_events")).all())


@pytest.mark.parametrize(("uses", "days"), [(0, 1), (1, 0), (1001, 1), (1, 366)])
def test_numbers_out_of_range_make_no_link(invites, uses, days):
    with pytest.raises(InvalidInput, match="uses"):
        invites.create(Role.RATER, uses=uses, days=days, by="Ada")


def test_the_last_administrator_stays_one_even_when_two_step_down_at_once(people):
    for name in ("Ada", "Bob"):
        people.sign_in(name)
        people.set_role(UserId(name), Role.ADMIN, by="test")

    def steps_down(number):
        try:
            people.set_role(UserId(("Ada", "Bob")[number]), Role.RATER, by="test")
        except InvalidInput:
            return "stays"
        return "went"

    assert sorted(at_once(2, steps_down)) == ["stays", "went"]


def test_consent_stands_until_taken_back_and_is_per_version(people, database):
    people.sign_in("Ada")
    assert not people.has_agreed(UserId("Ada"), 1)
    for _ in range(2):
        people.agree(UserId("Ada"), 1)
    assert people.has_agreed(UserId("Ada"), 1) and not people.has_agreed(UserId("Ada"), 2)
    people.withdraw_consent(UserId("Ada"))
    assert not people.has_agreed(UserId("Ada"), 1)
    people.agree(UserId("Ada"), 1)
    assert people.has_agreed(UserId("Ada"), 1)
    with database.read() as session:
        done = session.scalars(select(AuditEventRow.action).order_by(AuditEventRow.id)).all()
    assert done == ["sign_in", "consent", "withdraw_consent", "consent"]


def test_who_leaves_takes_consent_and_links_along(people, invites, database):
    people.sign_in("Ada")
    people.agree(UserId("Ada"), 1)
    invites.create(Role.RATER, uses=1, days=1, by="Ada", person=UserId("Ada"))
    people.erase(UserId("Ada"))
    with database.read() as session:
        assert session.execute(text("SELECT count(*) FROM consents")).scalar() == 0
        assert session.execute(text("SELECT count(*) FROM invites")).scalar() == 0
        assert "Ada" not in str(session.execute(text("SELECT * FROM audit_events")).all())
