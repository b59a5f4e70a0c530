import pytest
from sqlalchemy import text

from core.errors import InvalidInput, NotFound
from db.keys import ApiKeys, Scope
from tests.db.worlds import statements


@pytest.fixture
def keys(database, clock) -> ApiKeys:
    return ApiKeys(database, clock)


def test_a_key_opens_what_it_is_for_until_it_is_revoked(keys):
    key, made = keys.create(" my   program ", ["chat", "route"], 60, "Ada")
    assert made.name == "my program" and made.scopes == (Scope.ROUTE, Scope.CHAT) and key.startswith(made.hint)
    assert keys.find(key) == made and keys.find(key + "x") is None and keys.find("") is None
    keys.revoke("my program", "Ada")
    keys.revoke("my program", "Ada")
    assert keys.find(key) is None and keys.list()[0].revoked_at is not None


def test_the_database_holds_no_key(keys, database):
    key, _ = keys.create("p", list(Scope), 60, "Ada")
    with database.read() as session:
        tables = ("api_keys", "audit_events")
        everything = str([session.execute(text(f"SELECT * FROM {table}")).all() for table in tables])  # noqa: S608
    assert key not in everything and key[8:20] not in everything and "create_key" in everything


@pytest.mark.parametrize(
    ("name", "scopes", "per_minute"),
    [("", ["route"], 1), ("x" * 121, ["route"], 1), ("p", [], 1), ("p", ["all"], 1), ("p", ["route"], 0)],
)
def test_what_cannot_be_a_key_is_refused(keys, name, scopes, per_minute):
    with pytest.raises(InvalidInput, match="No key was made"):
        keys.create(name, scopes, per_minute, "Ada")
    assert keys.list() == []


def test_names_are_taken_once_and_unknown_ones_are_said(keys):
    keys.create("p", ["route"], 1, "Ada")
    with pytest.raises(InvalidInput, match="already"):
        keys.create("p", ["route"], 1, "Ada")
    with pytest.raises(NotFound, match="'q'"):
        keys.revoke("q", "Ada")


def test_several_keys_are_found_by_one_statement_each_in_its_place(keys, database):
    (one, first), (two, second) = (keys.create(name, ["route"], 60, "Ada") for name in ("one", "two"))
    gone, _ = keys.create("gone", ["route"], 60, "Ada")
    keys.revoke("gone", "Ada")
    with statements(database) as sent:
        assert keys.find_all([two, "none", one, two, gone]) == (second, None, first, second, None)
    assert len(sent) == 1
