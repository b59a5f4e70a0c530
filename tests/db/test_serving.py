from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select, text

from core.dataset import PreferenceDataset
from core.domain import LLM, Comparison, LLMId, Outcome, Query, UserId
from core.errors import CorruptArtifact, InvalidInput, NotFound
from core.optimisation import TrainConfig
from core.routers.gat import GatRouter
from db.demo import SOURCE, demo_bundle
from db.engine import Database
from db.live import LiveRouting, Routed, Wanted
from db.matchmaker import Matchmaker
from db.models import LLMRow, ResponseRow, RoutingDecisionRow
from db.people import People
from db.preferences import PreferenceStore
from db.routers import RouterRegistry
from db.serving import Serving
from tests.db.worlds import statements
from tests.planted import HashEncoder

TYPED = Query.typed("Explain how rainbows form")
BRIEF, LEARNER, STRANGER = (UserId(name) for name in ("simulated-brief-01", "simulated-learner-01", "nobody"))


@pytest.fixture(scope="module")
def artifact() -> bytes:
    """A router trained once on the demo world."""
    world = demo_bundle()
    dataset = PreferenceDataset.from_comparisons(world.comparisons, world.queries, world.llms)
    fitting, validation, _ = dataset.split("query")
    return GatRouter.fit_with_report(fitting, validation, HashEncoder(), TrainConfig(epochs=6))[0].to_bytes()


@pytest.fixture(scope="module")
def of_four() -> bytes:
    """A router that was trained before the demo tutor joined."""
    world = demo_bundle()
    dataset = PreferenceDataset.from_comparisons(world.comparisons, world.queries, world.llms)
    fitting, validation, _ = dataset.among(world.llms[:4]).split("query")
    return GatRouter.fit_with_report(fitting, validation, HashEncoder(), TrainConfig(epochs=6))[0].to_bytes()


@pytest.fixture
def serving(database: Database, artifact: bytes) -> Serving:
    PreferenceStore(database).add_bundle(demo_bundle())
    registry = RouterRegistry(database)
    registry.activate(registry.publish("gat", artifact, {}).id, "test", "test")
    return Serving(database, HashEncoder())


def probabilities(serving: Serving, user: UserId) -> dict[str, float]:
    return {choice.llm: choice.probability for choice in serving.decide(user, TYPED).choices}


def test_before_any_training_everyone_gets_the_population_and_is_told_so(database: Database) -> None:
    PreferenceStore(database).add_bundle(demo_bundle())
    serving = Serving(database, HashEncoder())
    decision = serving.decide(BRIEF, TYPED)
    assert decision.version is None and "no router trained" in decision.service
    assert all(choice.low is None and choice.probability == choice.average for choice in decision.choices)
    assert decision.lead is None and decision.reasons == ()


def test_an_empty_database_gives_no_choices_and_no_error(database: Database) -> None:
    assert Serving(database, HashEncoder()).decide(STRANGER, TYPED).choices == ()


def test_opposed_tastes_get_different_first_choices_with_reasons_and_intervals(serving: Serving) -> None:
    brief, learner = serving.decide(BRIEF, TYPED), serving.decide(LEARNER, TYPED)
    assert brief.choices[0].llm == "demo-terse" and learner.choices[0].llm == "demo-tutor"
    for decision in (brief, learner):
        assert sum(choice.probability for choice in decision.choices) == pytest.approx(1)
        assert all((c.low or 0) <= (c.high or 0) for c in decision.choices)
        assert len(decision.reasons) == decision.ratings == 40


def test_a_stranger_gets_the_average_users_distribution(serving: Serving) -> None:
    decision = serving.decide(STRANGER, TYPED)
    assert decision.ratings == 0
    assert all(choice.probability == choice.average for choice in decision.choices)


def test_ten_more_ratings_count_at_once_and_for_nobody_else(serving: Serving, database: Database) -> None:
    People(database).sign_in("Ada")
    before = {user: probabilities(serving, user) for user in (UserId("Ada"), BRIEF, STRANGER)}
    world = demo_bundle()
    by_side = {(r.query_id, r.llm_id): r.response_id for r in world.responses}
    terse, tutor = world.llms[0].llm_id, world.llms[4].llm_id
    said = tuple(
        Comparison(
            UserId("Ada"),
            q.query_id,
            terse,
            tutor,
            Outcome.B,
            by_side[q.query_id, terse],
            by_side[q.query_id, tutor],
            f"ada-{i}",
        )
        for i, q in enumerate(world.queries[:10])
    )
    PreferenceStore(database).add_bundle(replace(world, source="test", users=(), comparisons=said))
    assert probabilities(serving, UserId("Ada"))["demo-tutor"] > before[UserId("Ada")]["demo-tutor"] + 0.1
    assert probabilities(serving, BRIEF) == before[BRIEF]
    assert probabilities(serving, STRANGER) == before[STRANGER]


def test_another_version_serves_with_the_next_decision_in_every_process(serving: Serving, database: Database) -> None:
    elsewhere = Serving(database, HashEncoder())
    assert serving.service().version == elsewhere.service().version == 1
    registry = RouterRegistry(database)
    second = registry.publish("gat", registry.load(1), {})
    registry.activate(second.id, "test", "test")
    assert serving.service().version == elsewhere.service().version == second.id
    registry.rollback("test", "test")
    assert serving.service().version == elsewhere.service().version == 1


def test_a_damaged_artifact_is_refused_with_what_to_do(serving: Serving, database: Database) -> None:
    with database.write() as session:
        session.execute(text("UPDATE router_versions SET artifact = :data"), {"data": b"damaged"})
    with pytest.raises(CorruptArtifact, match="untouched"):
        serving.decide(BRIEF, TYPED)


def test_removing_the_demo_world_keeps_the_app_answering(serving: Serving, database: Database) -> None:
    PreferenceStore(database).remove_source(SOURCE)
    assert serving.decide(BRIEF, TYPED).choices == ()


def test_the_numbers_are_the_routers_own(serving: Serving, database: Database) -> None:
    decision = serving.decide(BRIEF, TYPED)
    router = serving.service().router
    expected = router.predict_proba(BRIEF, [TYPED], PreferenceStore(database).history(BRIEF))[0]
    found = {choice.llm: choice.probability for choice in decision.choices}
    assert np.allclose([found[llm] for llm in router.llms], expected)


def test_a_pooled_router_says_which_rungs_made_the_choice(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    router = serving.service().router
    monkeypatch.setattr(type(router), "names", ("table", "network"), raising=False)
    monkeypatch.setattr(type(router), "rungs", lambda *_: np.array([[0.25, 0.75]]), raising=False)
    assert serving.decide(BRIEF, TYPED).rungs == (("network", 0.75), ("table", 0.25))


def test_an_llm_that_joined_after_training_is_served_to_those_who_like_it(database: Database, of_four: bytes) -> None:
    store, registry = PreferenceStore(database), RouterRegistry(database)
    store.add_bundle(demo_bundle())
    registry.activate(registry.publish("gat", of_four, {}).id, "test", "test")
    serving = Serving(database, HashEncoder())
    brief, learner = serving.decide(BRIEF, TYPED), serving.decide(LEARNER, TYPED)
    assert {choice.llm for choice in brief.choices} == {llm.llm_id for llm in demo_bundle().llms}
    assert learner.choices[0].llm == "demo-tutor" and brief.choices[0].llm != "demo-tutor"
    assert len(learner.reasons) == learner.ratings == 40  # those of the newcomer count too
    assert serving.service() is serving.service()  # its place is not looked for at every question


def test_an_llm_nobody_has_compared_yet_has_its_column_and_is_looked_at_anew_once_compared(
    serving: Serving, database: Database
) -> None:
    world = demo_bundle()
    newcomer = LLM(LLMId("new"), "New", "test", "A demo LLM with written answers: short and dry.")
    before = serving.service()
    shown = replace(world.responses[0], llm_id=newcomer.llm_id)
    arrival = replace(world, source="test", users=(), comparisons=(), llms=(newcomer,), responses=(shown,))
    PreferenceStore(database).add_bundle(arrival)
    unknown = serving.service()
    assert unknown is not before and unknown.router.llms[-1] == "new"
    found = serving.decide(BRIEF, TYPED)
    assert len(found.choices) == 6 and sum(choice.probability for choice in found.choices) == pytest.approx(1)
    other = next(r for r in world.responses if r.query_id == shown.query_id and r.llm_id == world.llms[0].llm_id)
    lost = tuple(
        Comparison(
            UserId("Ada"), shown.query_id, newcomer.llm_id, other.llm_id, Outcome.B, shown.response_id,
            other.response_id, f"ada-{i}",
        )
        for i in range(6)
    )  # fmt: skip
    People(database).sign_in("Ada")
    PreferenceStore(database).add_bundle(replace(arrival, comparisons=lost, responses=(shown, other)))
    (before_it_lost,) = (choice.average for choice in found.choices if choice.llm == newcomer.llm_id)
    assert probabilities(serving, STRANGER)["new"] < before_it_lost


def test_pairs_with_an_llm_that_just_joined_are_those_that_people_are_asked(
    serving: Serving, database: Database
) -> None:
    world = demo_bundle()
    newcomer = LLM(LLMId("new"), "New", "test", "A demo LLM with written answers: short and dry.")
    said = tuple(replace(r, llm_id=newcomer.llm_id, turns=("Indeed.",)) for r in world.responses[::5])
    arrival = replace(world, source="test", users=(), comparisons=(), llms=(newcomer,), responses=said)
    PreferenceStore(database).add_bundle(arrival)
    with database.read() as session:
        joined = select(ResponseRow.id).join(LLMRow, LLMRow.id == ResponseRow.llm_id).where(LLMRow.key == "new")
        its = set(session.scalars(joined))
    found = Matchmaker(database, serving, Random(0)).score(BRIEF)
    share = sum(s.weight for s in found if {s.first.id, s.second.id} & its) / sum(s.weight for s in found)
    assert len(its) == len(world.queries) and share > 0.5  # a third of the pairs


def test_many_queries_at_once_are_decided_as_each_alone_and_as_the_page_shows(serving: Serving) -> None:
    queries = [TYPED, Query.typed("Write a limerick"), Query.typed("Sort a list in Python")]
    together = serving.predict(BRIEF, queries)
    for i, query in enumerate(queries):
        shown = {choice.llm: choice.probability for choice in serving.decide(BRIEF, query, explained=False).choices}
        assert [shown[llm.llm_id] for llm in together.llms] == pytest.approx(together.probability[i].tolist(), abs=1e-6)
    assert together.ratings == 40 and together.service.version == 1


def test_what_is_kept_of_a_person_gives_what_reading_them_anew_gives(serving: Serving, database: Database) -> None:
    serving.predict(LEARNER, [TYPED])
    kept = serving.predict(LEARNER, [TYPED]).probability  # from memory
    anew = serving.service().router.predict_proba(LEARNER, [TYPED], PreferenceStore(database).snapshot())
    assert np.allclose(kept, anew, atol=1e-6)


def test_any_published_version_can_be_asked_for_and_an_unknown_one_is_said(serving: Serving) -> None:
    assert serving.predict(BRIEF, [TYPED], version=1).service is serving.service()
    with pytest.raises(NotFound, match="version 99"):
        serving.predict(BRIEF, [TYPED], version=99)


def test_a_decision_from_memory_reads_two_statements_and_writes_one(serving: Serving, database: Database) -> None:
    live = LiveRouting(database, serving)
    live.decide(Wanted(BRIEF), [TYPED], "test")
    with statements(database) as sent:
        live.decide(Wanted(BRIEF), [TYPED], "test")
        assert [statement.split()[0] for statement in sent] == ["SELECT", "SELECT", "INSERT"]
    with statements(database) as sent:
        live.decide(Wanted(BRIEF), [TYPED] * 500, "test")
        assert [statement.split()[0] for statement in sent] == ["SELECT", "SELECT", "INSERT"]


def test_a_crowd_is_decided_as_each_alone_and_costs_little_more_than_one(serving: Serving, database: Database) -> None:
    live = LiveRouting(database, serving)
    asked = [(Wanted(name), [TYPED, Query.typed("Write a limerick")]) for name in (BRIEF, LEARNER, STRANGER, BRIEF)]
    alone = [live.decide(want, queries, "test") for want, queries in asked]
    assert live.has_read(asked[0][1]) and not live.has_read([TYPED, Query.typed("Never read")])
    with statements(database) as sent:
        together = live.decide_together(asked, "test")
    assert [statement.split()[0] for statement in sent] == ["SELECT"] * 4 + ["INSERT"]  # the LLMs, and three people
    for found, before in zip(together, alone, strict=True):
        assert not isinstance(found, Exception)
        assert [(r.llm, r.decided.probabilities) for r in found] == [(r.llm, r.decided.probabilities) for r in before]
    assert len(kept(database, together)) == 8


def test_what_one_of_a_crowd_may_not_have_is_told_to_that_one_alone(serving: Serving, database: Database) -> None:
    live = LiveRouting(database, serving)
    wrong = [Wanted(BRIEF, version=99), Wanted(BRIEF, alpha=2), Wanted(BRIEF, allowed=(LLMId("unheard-of"),))]
    told = live.decide_together([(want, [TYPED]) for want in (*wrong, Wanted(LEARNER))], "test")
    assert [type(each) for each in told] == [NotFound, InvalidInput, NotFound, tuple]
    assert len(kept(database, told)) == 1


def test_an_llm_that_goes_before_its_decision_is_kept_takes_nobody_elses_along(
    serving: Serving, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    live, consider = LiveRouting(database, serving), LiveRouting.consider

    def gone(self: LiveRouting, wanted: Wanted, *rest: Any) -> tuple[Routed, ...]:
        (routed,) = consider(self, wanted, *rest)
        lost = replace(routed.decided, llm=LLMId("gone")) if wanted.user == BRIEF else routed.decided
        return (replace(routed, decided=lost),)

    monkeypatch.setattr(LiveRouting, "consider", gone)
    told = live.decide_together([(Wanted(name), [TYPED]) for name in (LEARNER, BRIEF)], "test")
    assert [type(each) for each in told] == [tuple, NotFound] and "gone" in str(told[1])
    assert len(kept(database, told)) == 1


def kept(database: Database, told: Sequence[tuple[Routed, ...] | Exception]) -> list[str]:
    """Which of these decisions are written down."""
    keys = [routed.decided.key for each in told if not isinstance(each, Exception) for routed in each]
    with database.read() as session:
        return list(session.scalars(select(RoutingDecisionRow.key).where(RoutingDecisionRow.key.in_(keys))))
