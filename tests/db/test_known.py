import gc
from dataclasses import replace

import pytest
from sqlalchemy import update

from core.domain import Outcome, UserId
from core.routers.remembered import remembered
from db.known import Histories
from db.models import LLMRow
from tests.db.worlds import asked


@pytest.fixture
def histories(database, store, ada) -> Histories:
    return Histories(database)


def test_a_history_is_one_object_until_something_is_said_and_a_new_one_after_each_word(histories, store, ada):
    seen = [histories.of(ada)]

    def turned_over(length: int) -> None:
        now = histories.of(ada)
        assert now is histories.of(ada) and all(now is not before for before in seen)
        assert len(now) == length and now.ids.tolist() == store.history(ada).ids.tolist()
        seen.append(now)

    assert histories.of(ada) is seen[0]
    store.record(ada, asked(store, ada).token, Outcome.A, minimum_dwell=0)
    turned_over(1)
    store.record(ada, asked(store, ada).token, Outcome.B, minimum_dwell=0)
    turned_over(2)
    key = next(iter(store.comparisons(ada))).key
    store.edit(ada, key, Outcome.TIE)
    turned_over(2)
    assert Outcome.TIE in {seen[-1].outcome_of(i) for i in range(2)}
    store.undo(ada)
    turned_over(1)


def test_another_persons_words_change_nothing_and_a_changed_llm_does(histories, store, ada, database):
    before = histories.of(ada)
    from db.people import People

    bob = People(database).sign_in("Bob").name
    store.record(bob, asked(store, bob).token, Outcome.A, minimum_dwell=0)
    assert histories.of(ada) is before
    with database.write() as session:
        session.execute(update(LLMRow).where(LLMRow.key == "llm-0").values(input_price=3.0))
    assert histories.of(ada).llms[0].input_price == 3.0


def test_a_stranger_has_nothing_and_only_so_many_are_kept(database, store, ada):
    histories = Histories(database, most=2)
    first = histories.of(UserId("a"))
    assert not len(first) and histories.of(UserId("a")) is first
    for name in "bc":
        histories.of(UserId(name))
    assert histories.of(UserId("a")) is not first


def test_what_follows_from_a_history_is_worked_out_once_for_each_owner_and_user(histories, ada):
    history, owner, made = histories.of(ada), object(), []

    def make() -> int:
        made.append(1)
        return len(made)

    assert [remembered(history, owner, ada, make) for _ in range(3)] == [1, 1, 1]
    assert remembered(history, object(), ada, make) == 2
    assert remembered(history, owner, UserId("Bob"), make) == 3
    assert remembered(replace(history), owner, ada, make) == 4
    assert [remembered(None, owner, ada, make) for _ in range(2)] == [5, 6]
    gc.collect()
    assert remembered(history, owner, ada, make) == 1
