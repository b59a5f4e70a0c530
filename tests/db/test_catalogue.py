"""LLMs that can be routed to, registered and changed here."""

import pytest

from core.domain import LLM, LLMId
from core.errors import InvalidInput, NotFound
from db.audit import events
from db.catalogue import Catalogue, find
from db.removal import Removed
from tests.db.worlds import at_once, world

NEW = LLM(LLMId("new"), "New", "family", "It is new.", 0.1, 0.4, "openai/new")


@pytest.fixture
def catalogue(database, clock):
    return Catalogue(database, clock)


def test_an_llm_that_is_registered_is_part_of_every_snapshot_and_a_new_revision(catalogue, store):
    before = store.revision()
    catalogue.add(NEW, by="Ada")
    assert catalogue.list() == store.snapshot().llms and NEW in store.llms()
    assert store.revision() != before


def test_an_id_that_is_taken_is_refused_and_nothing_changes(catalogue):
    def adds(number):
        try:
            catalogue.add(LLM(LLMId("new"), f"name {number}"), by="Ada")
        except InvalidInput:
            return 0
        return 1

    assert sum(at_once(4, adds)) == 1
    assert len(catalogue.list()) == 1


def test_a_change_is_kept_with_who_made_it_and_one_that_changes_nothing_is_not(catalogue, database):
    catalogue.add(NEW, by="Ada")
    changed = LLM(NEW.llm_id, "New", "family", "It is new.", 0.2, None, "")
    for _ in range(2):
        catalogue.edit(changed, by="Bob")
    assert catalogue.list() == (changed,)
    edits = events(database, ["llm_edit"], 10)
    assert [(event["actor"], event["detail"]) for event in edits] == [
        ("Bob", '{"input_price": 0.2, "output_price": null, "endpoint": ""}')
    ]


def test_an_llm_that_is_not_there_is_not_found(catalogue):
    with pytest.raises(NotFound, match="no LLM 'new'"):
        catalogue.edit(NEW, by="Ada")
    with pytest.raises(NotFound, match="'nothing'"):
        find((NEW,), "nothing")


def test_what_was_registered_here_stays_when_a_source_is_removed(catalogue, store):
    catalogue.add(NEW, by="Ada")
    store.add_bundle(world(source="pack"))
    assert isinstance(store.remove_source("pack"), Removed)
    assert catalogue.list() == (NEW,)


def test_missing_prices_come_from_the_shipped_list_and_no_price_that_was_given_changes(catalogue, database):
    catalogue.add(LLM(LLMId("openai/GPT-4o-2024-05-13")), by="Ada")
    catalogue.add(LLM(LLMId("claude-2.1"), input_price=1.0), by="Ada")
    catalogue.add(LLM(LLMId("on-no-list")), by="Ada")
    filled = catalogue.fill_prices(by="Ada")
    assert [(llm.llm_id, llm.input_price, llm.output_price) for llm in filled] == [
        ("openai/GPT-4o-2024-05-13", 5.0, 15.0)
    ]
    known = catalogue.list()
    assert find(known, "openai/GPT-4o-2024-05-13").output_price == 15.0
    assert find(known, "claude-2.1").input_price == 1.0 and find(known, "claude-2.1").output_price is None
    assert find(known, "on-no-list").input_price is None and catalogue.fill_prices(by="Ada") == ()
    (changed,) = events(database, [], 1)
    assert (changed["actor"], changed["action"], changed["subject"]) == ("Ada", "llm_edit", "openai/GPT-4o-2024-05-13")
