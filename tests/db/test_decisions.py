import pytest
from sqlalchemy import select

from core.domain import LLM, LLMId, Outcome, Query, Response, UserId
from core.errors import InvalidInput, NotAllowed, NotFound
from core.providers import Reply
from db.calls import CallLedger
from db.decisions import FALLBACK, Decided, Decisions
from db.models import AuditEventRow, RoutingDecisionRow
from db.people import People
from tests.db.worlds import at_once, statements, world

ASKED = Query.typed("Is it going to rain?")
TWO = (LLMId("llm-0"), LLMId("llm-1"))


def decided(user: str = "Ada", llm: LLMId = TWO[0], source: str = "api", **more) -> Decided:
    return Decided(UserId(user), ASKED.query_id, llm, dict.fromkeys(TWO, 0.5), None, 0.75, 0, source, **more)


def answers(query: Query = ASKED) -> tuple[Response, Response]:
    return Response(query.query_id, TWO[0], ("Yes.",)), Response(query.query_id, TWO[1], ("No.",))


@pytest.fixture
def decisions(database, store, clock, ada) -> Decisions:
    return Decisions(database, clock)


def reward(database, key: str) -> float | None:
    with database.read() as session:
        found: float | None = session.scalar(select(RoutingDecisionRow.reward).where(RoutingDecisionRow.key == key))
        return found


@pytest.mark.parametrize(
    ("outcome", "llm", "expected"),
    [
        (Outcome.A, TWO[0], 1.0), (Outcome.A, TWO[1], 0.0), (Outcome.B, TWO[0], 0.0), (Outcome.B, TWO[1], 1.0),
        (Outcome.TIE, TWO[0], 0.5), (Outcome.BOTH_BAD, TWO[0], 0.0),
    ],
)  # fmt: skip
def test_a_comparison_rewards_the_decision_and_is_a_rating_in_force(decisions, database, store, outcome, llm, expected):
    made = decided(llm=llm)
    decisions.keep([made])
    assert decisions.compare(UserId("Ada"), ASKED, answers(), outcome, made.key)
    assert reward(database, made.key) == expected
    history = store.history(UserId("Ada"))
    assert len(history) == 1 and history.outcome_of(0) == outcome and history.queries[0].text == ASKED.text
    assert not decisions.compare(UserId("Ada"), ASKED, answers(), outcome, made.key)
    assert len(store.history(UserId("Ada"))) == 1
    with database.read() as session:
        assert len(session.scalars(select(AuditEventRow).where(AuditEventRow.action == "rate")).all()) == 1


def test_someone_new_is_taken_in_and_a_simulated_user_is_not(decisions, store, database):
    assert decisions.compare(UserId("Newcomer"), ASKED, answers(), Outcome.A, None)
    assert not People(database).get(UserId("Newcomer")).simulated and len(store.history(UserId("Newcomer"))) == 1
    store.add_bundle(world(source="robots", ratings=1))
    with pytest.raises(InvalidInput, match="simulated"):
        decisions.compare(UserId("robot"), ASKED, answers(), Outcome.A, None)


@pytest.mark.parametrize(
    ("sides", "outcome", "expected"),
    [
        (TWO, Outcome.A, 1.0), (TWO[::-1], Outcome.A, 0.0), (TWO, Outcome.TIE, 0.5), (TWO, Outcome.BOTH_BAD, 0.0),
        ((TWO[1], LLMId("llm-2")), Outcome.A, None),
    ],
)  # fmt: skip
def test_a_pair_that_was_rated_here_rewards_its_decision_if_its_llm_is_a_side(
    decisions, database, sides, outcome, expected
):
    made = decided()
    decisions.keep([made])
    assert decisions.compared(made.key, UserId("Ada"), sides, outcome) is (expected is not None)
    assert reward(database, made.key) == expected and len(decisions.logged()) == (expected is not None)
    with pytest.raises(NotAllowed):
        decisions.compared(made.key, UserId("Bob"), sides, outcome)


def test_what_does_not_fit_the_decision_is_refused_and_stores_nothing(decisions, store, database):
    made = decided()
    decisions.keep([made])
    other = Query.typed("Another one")
    third = Response(ASKED.query_id, LLMId("llm-2"), ("Perhaps.",))
    for call, error in (
        (lambda: decisions.compare(UserId("Ada"), other, answers(other), Outcome.A, made.key), InvalidInput),
        (lambda: decisions.compare(UserId("Ada"), ASKED, (answers()[1], third), Outcome.A, made.key), InvalidInput),
        (lambda: decisions.compare(UserId("Bob"), ASKED, answers(), Outcome.A, made.key), NotAllowed),
        (lambda: decisions.compare(UserId("Ada"), ASKED, answers(), Outcome.A, "dec-none"), NotFound),
        (lambda: decisions.thumbs(made.key, UserId("Bob"), up=True), NotAllowed),
        (lambda: decisions.thumbs("dec-none", UserId("Ada"), up=True), NotFound),
    ):
        with pytest.raises(error, match="Nothing was stored"):
            call()
    assert reward(database, made.key) is None and not len(store.history(UserId("Ada")))


def test_the_log_gives_what_was_rewarded_and_answered_by_the_llm_decided_for(decisions):
    kept = [decided(), decided(llm=TWO[1]), decided(source=FALLBACK), decided()]
    decisions.keep(kept)
    for made, up in zip(kept[:3], (True, False, True), strict=True):
        decisions.thumbs(made.key, UserId("Ada"), up=up)
    logged = decisions.logged()
    assert logged.llms == TWO and logged.chosen.tolist() == [0, 1] and logged.reward.tolist() == [1, 0]
    assert logged.propensity.tolist() == [0.75, 0.75]


def test_decisions_of_many_threads_are_all_kept_and_one_of_an_llm_that_is_gone_takes_no_other_along(
    decisions, database
):
    made = [decided(llm=LLMId("gone") if i == 5 else TWO[0]) for i in range(12)]
    results = at_once(12, lambda i: decisions.keep([made[i]]))
    assert [type(result) for result in results] == [NotFound if i == 5 else type(None) for i in range(12)]
    with database.read() as session:
        rows = session.scalars(select(RoutingDecisionRow)).all()
        assert {row.key for row in rows} == {each.key for each in made if each.llm == TWO[0]}
        assert all(row.user_id is not None and row.query_id is None for row in rows)
    with pytest.raises(NotFound, match="no LLM 'gone'"):
        decisions.keep([decided(), decided(llm=LLMId("gone"))])


def test_writing_decisions_down_is_one_statement_however_many_there_are(decisions, database):
    with statements(database) as sent:
        decisions.keep([decided() for _ in range(600)])
        decisions.keep([])
    assert len(sent) == 1


def test_an_erased_person_takes_their_decisions_along(decisions, database):
    decisions.keep([decided()])
    People(database).erase(UserId("Ada"))
    with database.read() as session:
        assert session.scalars(select(RoutingDecisionRow)).all() == []


def test_a_days_calls_are_summed_by_llm_until_midnight(database, clock):
    ledger = CallLedger(database, clock)

    def reply(llm: str, cost: float | None) -> Reply:
        return Reply(LLM(LLMId(llm)), "words", "stop", 3, 4, False, 0.5, cost, "")

    for llm, cost in (("llm-0", 0.25), ("llm-0", 0.5), ("llm-0", None), ("llm-1", 1.0)):
        ledger.charge(reply(llm, cost))
    assert ledger.spent(TWO[0]) == 0.75 and ledger.spent(TWO[1]) == 1 and ledger.spent(LLMId("none")) == 0
    clock.wait(12 * 3600)  # noon to midnight
    assert ledger.spent(TWO[0]) == 0
