"""Trade-offs on both databases: each answer once, one's own alone, gone with the person."""

import pytest

from core.domain import UserId
from core.errors import InvalidInput, NotFound
from core.willingness import Tradeoff
from db.engine import Database
from db.people import People
from db.tradeoffs import Tradeoffs
from tests.db.worlds import Clock


@pytest.fixture
def tradeoffs(database: Database, clock: Clock) -> Tradeoffs:
    return Tradeoffs(database, clock)


def test_an_answer_is_kept_once_however_often_it_is_sent(tradeoffs: Tradeoffs, ada: UserId) -> None:
    yes, no = Tradeoff(1.5, 0.002, True), Tradeoff(0.5, 0.01, False)
    assert tradeoffs.record(ada, yes, "card", number=0)
    assert not tradeoffs.record(ada, yes, "card", number=0)
    assert tradeoffs.record(ada, no, "vote", number=1)
    assert tradeoffs.of(ada) == [yes, no]
    assert tradeoffs.of(UserId("nobody")) == []


def test_what_is_no_trade_off_is_refused(tradeoffs: Tradeoffs, ada: UserId) -> None:
    with pytest.raises(InvalidInput, match="dearer"):
        tradeoffs.record(ada, Tradeoff(1.0, 0.0, True), "card", number=0)
    with pytest.raises(NotFound):
        tradeoffs.record(UserId("nobody"), Tradeoff(1.0, 0.1, True), "card", number=0)
    assert tradeoffs.of(ada) == []


def test_who_is_erased_takes_them_along(tradeoffs: Tradeoffs, ada: UserId, database: Database) -> None:
    tradeoffs.record(ada, Tradeoff(1.0, 0.1, True), "card", number=0)
    People(database).erase(ada)
    assert tradeoffs.of(ada) == [] and tradeoffs.of(UserId("former user")) == []
