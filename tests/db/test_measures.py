from dataclasses import replace
from random import Random

import pytest

from core.domain import LLMId, Outcome, QueryId, UserId
from core.errors import InvalidInput, NotAllowed, NotFound
from core.tally import Why, choose
from db.audit import actions
from db.gold import Gold
from db.measures import Measures
from db.models import Measure
from db.people import People
from db.preferences import PreferenceStore
from db.raters import disagreement, disputed, raters, timeline
from db.snapshots import counts
from db.tallies import styled_tally, tally
from tests.db.worlds import asked, statements, world

WHY = "Clicked left sixty times"


@pytest.fixture
def measures(database, clock):
    return Measures(database, clock)


@pytest.fixture
def two(store, ada, database, clock):
    """Ada and Bob rated all three queries each; Bob always for side B."""
    bob = People(database, clock).sign_in("Bob").name
    for user, outcome in ((ada, Outcome.A), (bob, Outcome.B)):
        for _ in range(3):
            clock.wait(9)
            store.record(user, asked(store, user).token, outcome, minimum_dwell=0)
    return bob


def counted(store, database):
    """What depends on whose ratings count."""
    included = choose(tally(database))[1]
    exported = sorted(said.key for said in store.comparisons())
    return store.snapshot().fingerprint(), included, exported


def test_excluding_changes_counts_says_why_and_undoing_restores_everything(store, two, measures, database):
    before = counted(store, database)
    assert before[1] == (6, 6, ())
    measures.take(two, Measure.EXCLUDE, "Ann", WHY)
    _, included, exported = counted(store, database)
    assert (included.included, included.total) == (3, 6)
    assert [(row.ratings, "excluded" in row.reason) for row in included.left_out] == [(3, True)]
    assert len(store.snapshot()) == len(exported) == 3
    assert two not in store.snapshot().users
    assert choose(styled_tally(database))[0].ratings == 3
    assert len(store.history(two)) == 3  # what they get is still theirs
    measures.lift(two, Measure.EXCLUDE, "Ann", "It was the mouse")
    assert counted(store, database) == before


def test_every_measure_changes_the_revision_that_caches_turn_over_by(store, two, measures):
    revisions = [store.revision()]
    measures.take(two, Measure.EXCLUDE, "Ann", WHY)
    revisions.append(store.revision())
    measures.lift(two, Measure.EXCLUDE, "Ann", WHY)
    revisions.append(store.revision())
    assert len(set(revisions)) == 3


def test_a_half_weight_halves_what_counts_and_undoing_restores_it(store, two, measures, database):
    before = tally(database).weight.sum(), store.snapshot().fingerprint()
    measures.take(two, Measure.DOWN_WEIGHT, "Ann", WHY, 0.5)
    assert tally(database).weight.sum() == pytest.approx(before[0] - 1.5)
    assert len(store.snapshot()) < 6
    measures.lift(two, Measure.DOWN_WEIGHT, "Ann", WHY)
    assert (tally(database).weight.sum(), store.snapshot().fingerprint()) == before


def test_a_share_of_ratings_is_spread_evenly_and_grows_with_the_weight():
    half = {i for i in range(1000) if counts(i, 0.5)}
    assert abs(len(half) - 500) <= 2
    assert half <= {i for i in range(1000) if counts(i, 0.7)}
    assert all(counts(i, 1.0) and not counts(i, 0.0) for i in range(100))


def test_a_preview_is_what_the_measure_does(store, two, measures, database):
    preview = choose(tally(database, {two: 0.0}))[1]
    measures.take(two, Measure.EXCLUDE, "Ann", WHY)
    assert choose(tally(database))[1] == preview
    assert choose(tally(database, {two: 1.0}))[1].included == 6


def test_excluding_everyone_is_refused_and_so_is_doing_it_twice(store, two, ada, measures):
    measures.take(two, Measure.EXCLUDE, "Ann", WHY)
    with pytest.raises(InvalidInput, match="Nobody else"):
        measures.take(ada, Measure.EXCLUDE, "Ann", WHY)
    with pytest.raises(InvalidInput, match="already"):
        measures.take(two, Measure.EXCLUDE, "Ann", WHY)
    assert len(store.snapshot()) == 3


@pytest.mark.parametrize("reason", ["", "  \n", "x" * 501])
def test_a_reason_is_needed_to_take_and_to_lift(two, measures, reason):
    with pytest.raises(InvalidInput, match="reason"):
        measures.take(two, Measure.PAUSE, "Ann", reason)
    measures.take(two, Measure.PAUSE, "Ann", WHY)
    with pytest.raises(InvalidInput, match="reason"):
        measures.lift(two, Measure.PAUSE, "Ann", reason)


def test_bad_weights_strangers_and_what_is_not_there_are_refused(two, measures):
    with pytest.raises(InvalidInput, match="weight"):
        measures.take(two, Measure.DOWN_WEIGHT, "Ann", WHY, 0.0)
    with pytest.raises(NotFound):
        measures.take(UserId("nobody"), Measure.EXCLUDE, "Ann", WHY)
    with pytest.raises(NotFound):
        measures.lift(two, Measure.EXCLUDE, "Ann", WHY)


def test_who_is_paused_is_told_why_keeps_the_pair_and_goes_on_with_it_later(store, ada, measures):
    shown = asked(store, ada)
    measures.take(ada, Measure.PAUSE, "Ann", WHY)
    with pytest.raises(NotAllowed, match=WHY):
        store.assign(ada)
    with pytest.raises(NotAllowed, match="Ask Ann"):
        store.record(ada, shown.token, Outcome.A, minimum_dwell=0)
    assert store.progress(ada).rated == 0
    measures.lift(ada, Measure.PAUSE, "Ann", "Talked to her")
    assert asked(store, ada).token == shown.token


def test_who_did_what_and_why_is_in_the_audit_log(two, measures, database):
    measures.take(two, Measure.EXCLUDE, "Ann", WHY)
    measures.lift(two, Measure.EXCLUDE, "Bea", "Mistake")
    (taken,) = measures.all(two)
    assert (taken.by, taken.reason, taken.lifted_by, taken.lifted_because) == ("Ann", WHY, "Bea", "Mistake")
    assert {"measure_exclude", "lift_exclude"} <= set(actions(database))


def test_a_vote_that_is_too_quick_leaves_no_row_and_one_event_that_quality_counts(store, two, ada, database):
    store.add_bundle(world(queries=4, source="more"))
    store.record(ada, asked(store, ada).token, Outcome.A, minimum_dwell=99)
    assert len(store.history(ada)) == 3
    by_name = {rater.user: rater for rater in raters(database).raters}
    assert by_name[ada].too_quick == 1
    assert by_name[two].too_quick == 0


def test_the_table_knows_pace_sides_and_agreement_of_everyone(two, ada, database):
    found = raters(database)
    by_name = {rater.user: rater for rater in found.raters}
    assert by_name[ada].left == (3, 3)
    assert by_name[two].left == (0, 3)
    assert by_name[ada].seconds == 0  # asked and rated at one moment of the clock
    assert by_name[ada].surprise.n == 3
    assert [moment.outcome for moment in timeline(database, two)] == [Outcome.B] * 3


def test_gold_answers_are_judged_on_the_side_they_were_shown_and_teach_nobody(database, clock, ada):
    store = PreferenceStore(database, clock, Random(0))
    store.add_bundle(world(queries=60))
    gold = Gold(database, clock)
    for i in range(60):
        gold.add(QueryId(f"query-{i}"), LLMId("llm-0"), LLMId("llm-1"), Outcome.A, "Ann", "obvious")
    answered = 0
    for _ in range(59):
        shown = asked(store, ada)
        right = Outcome.A if shown.response_a.llm_id == "llm-0" else Outcome.B
        answered += shown.reason == "gold"
        store.record(ada, shown.token, right, minimum_dwell=0)
    (rater,) = raters(database).raters
    assert answered > 0
    assert rater.gold == (answered, answered)
    assert len(store.snapshot()) == 59 - answered - rater.repeats.n
    left_out = {row.reason: row.ratings for row in choose(tally(database))[1].left_out}
    assert left_out[Why.GOLD] == answered


def test_disagreements_wait_until_someone_decides_and_may_become_gold(store, ada, database, clock):
    bundle = world(ratings=1)
    other = replace(world(ratings=1, user="other", source="second"), responses=())
    said = tuple(replace(c, outcome=Outcome.B) for c in other.comparisons)
    store.add_bundle(bundle)
    store.add_bundle(replace(other, comparisons=said))
    (waiting,) = disputed(database, 50)
    found = disagreement(database, waiting)
    assert {user for user, _ in found.said} == {"robot", "other"}
    gold = Gold(database, clock)
    gold.decide(found.ids, Outcome.A, "Ann", "It is right")
    assert disputed(database, 50) == []
    (item,) = gold.items()
    assert (item.expected, item.reason, item.set_by) == (Outcome.A, "It is right", "Ann")
    with pytest.raises(InvalidInput, match="meanwhile"):
        gold.decide(found.ids, Outcome.B, "Bea")
    gold.retire(item.id, "Ann")
    assert gold.items()[0].retired_at == clock()


@pytest.mark.parametrize(
    ("query", "llm_a", "llm_b", "reason"),
    [("nowhere", "llm-0", "llm-1", "x"), ("query-0", "llm-0", "llm-9", "x"), ("query-0", "llm-0", "llm-0", "x"),
     ("query-0", "llm-0", "llm-1", " ")],
)  # fmt: skip
def test_what_cannot_be_gold_is_refused(store, database, query, llm_a, llm_b, reason):
    with pytest.raises((InvalidInput, NotFound)):
        Gold(database).add(query, llm_a, llm_b, Outcome.A, "Ann", reason)
    assert Gold(database).items() == []


def test_the_statements_do_not_grow_with_the_ratings(database):
    store = PreferenceStore(database)
    sent = []
    for size in (2, 80):
        store.add_bundle(world(queries=size, ratings=size, source=f"s{size}"))
        with statements(database) as found:
            raters(database)
        sent.append(len(found))
    assert sent[0] == sent[1] == 7
