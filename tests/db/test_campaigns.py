"""Campaigns: who is asked what by how many, whose place is whose, and for how long."""

from random import Random

import pytest

from core.campaigns import CampaignPlan, Kind, Mode
from core.domain import Outcome, Task, UserId
from core.errors import InvalidInput, NotFound
from db.campaigns import Campaigns
from db.leases import LEASE
from db.models import AssignmentRow, AuditEventRow
from db.people import People
from db.preferences import PreferenceStore
from tests.db.worlds import asked, at_once, world

OVER = LEASE.total_seconds() + 1


@pytest.fixture
def campaigns(database, clock):
    return Campaigns(database, clock)


@pytest.fixture
def people(database, clock):
    return [People(database, clock).sign_in(name).name for name in ("Ada", "Bob", "Eve")]


def rate(store, user, outcome=Outcome.A):
    assignment = asked(store, user)
    return store.record(user, assignment.token, outcome, minimum_dwell=0), assignment


def pair_of(assignment):
    return {assignment.response_a.response_id, assignment.response_b.response_id}


def test_without_a_campaign_of_ones_own_everything_is_asked_of_everybody(store, campaigns, ada):
    assert [row.campaign.plan.name for row in campaigns.list()] == ["Everything"]
    assert asked(store, ada).campaign.plan == CampaignPlan("Everything")
    rate(store, ada)
    row = campaigns.list()[0]
    assert (row.ratings, row.people, row.queries, row.campaign.open) == (1, 1, 3, True)


def test_the_newest_open_campaign_is_asked_first_then_the_older_ones(database, clock, campaigns, ada):
    store = PreferenceStore(database, clock, Random(1))
    store.add_bundle(world(queries=4))
    campaigns.create(CampaignPlan("two each", quota=2), "admin")
    names = [rate(store, ada)[1].campaign.plan.name for _ in range(4)]
    assert names == ["two each", "two each", "Everything", "Everything"]
    assert store.assign(ada) is None


def test_a_campaign_is_about_its_tasks_only(store, campaigns, ada):
    with pytest.raises(InvalidInput, match="There is no task 'verse'"):
        campaigns.create(CampaignPlan("verse", tasks=("verse",)), "admin")
    store.add_bundle(world(queries=3))
    campaigns.create(CampaignPlan("the task", tasks=("task",), quota=1), "admin")
    assert asked(store, ada).campaign.plan.tasks == ("task",)


def test_a_task_that_was_removed_leaves_its_campaign_without_queries(store, campaigns, ada):
    campaigns.create(CampaignPlan("the task", tasks=("task",)), "admin")
    store.remove_source("pack")
    assert campaigns.list()[0].queries == 0
    store.add_bundle(world())
    assert campaigns.list()[0].queries == 3
    assert Task("task").name == asked(store, ada).query.task


def test_those_who_share_a_query_rate_the_same_pair_and_no_more_than_the_overlap(store, campaigns, people):
    campaigns.create(CampaignPlan("shared", overlap=2), "admin")
    campaigns.set_open("Everything", "admin", open=False)
    shown: dict[str, list[set[str]]] = {}
    for user in people[:2]:
        for _ in range(3):
            assignment = rate(store, user)[1]
            shown.setdefault(assignment.query.query_id, []).append(pair_of(assignment))
    assert all(first == second for first, second in shown.values())
    assert store.assign(people[2]) is None
    assert store.next_free(people[2]) is None


def test_many_who_come_at_once_take_no_more_places_than_there_are(database, clock, campaigns):
    store = PreferenceStore(database, clock)
    store.add_bundle(world(queries=2))
    campaigns.create(CampaignPlan("shared", overlap=3), "admin")
    campaigns.set_open("Everything", "admin", open=False)
    users = [People(database, clock).sign_in(f"rater {i}").name for i in range(12)]
    shown = at_once(12, lambda i: store.assign(users[i]))
    assert sum(assignment is not None for assignment in shown) == 6
    with database.read() as session:
        rows = session.query(AssignmentRow).all()
    assert {sum(row.query_id == q for row in rows) for q in {row.query_id for row in rows}} == {3}


def test_a_quota_ends_a_campaign_for_that_person_and_an_undo_gives_one_back(store, campaigns, ada, clock):
    campaigns.edit("Everything", "admin", quota=1)
    rate(store, ada)
    assert store.assign(ada) is None
    clock.wait(1)
    assert store.undo(ada) is not None
    rate(store, ada)
    assert store.assign(ada) is None


def test_a_place_is_kept_for_a_quarter_of_an_hour_and_then_somebody_elses(store, campaigns, people, clock):
    ada, bob, eve = people
    campaigns.edit("Everything", "admin", overlap=1)
    for _ in range(2):
        rate(store, ada)
    last = asked(store, ada)
    assert store.assign(bob) is None
    assert store.next_free(bob) == clock.now + LEASE
    clock.wait(OVER)
    taken = asked(store, bob)
    assert (taken.query, pair_of(taken)) == (last.query, pair_of(taken))
    assert asked(store, ada) == last  # nothing changes under the eyes of a slow reader
    saved = store.record(bob, taken.token, Outcome.B, minimum_dwell=0)
    late = store.record(ada, last.token, Outcome.A, minimum_dwell=0)
    assert (saved.status, late.status, late.outcome) == ("saved", "extra", Outcome.A)
    assert store.record(ada, last.token, Outcome.B, minimum_dwell=0).status == "already_saved"
    assert len(store.history(ada)) == 3  # kept, and counted
    assert store.assign(eve) is None  # an extra rating opens no place


def test_a_lease_that_nobody_wanted_is_renewed_and_the_answer_is_no_extra(store, campaigns, people, clock):
    ada, bob, _ = people
    campaigns.edit("Everything", "admin", overlap=1)
    first = asked(store, ada)
    clock.wait(OVER)
    again = asked(store, ada)
    assert (again.token, again.shown_at) == (first.token, first.shown_at)
    assert again.leased_until == clock.now + LEASE
    assert asked(store, bob).query != first.query
    clock.wait(OVER)
    assert store.record(ada, first.token, Outcome.A, minimum_dwell=0).status == "saved"


def test_a_skip_gives_the_place_back(store, campaigns, people):
    ada, bob, _ = people
    campaigns.edit("Everything", "admin", overlap=1)
    for _ in range(2):
        rate(store, ada)
    store.skip(ada, asked(store, ada).token)
    assert asked(store, bob) is not None


def test_what_a_closed_campaign_left_on_the_screen_waits_and_an_answer_under_way_is_kept(store, campaigns, ada):
    before = asked(store, ada)
    campaigns.set_open("Everything", "admin", open=False)
    assert store.assign(ada) is None
    campaigns.set_open("Everything", "admin", open=True)
    assert asked(store, ada).token == before.token
    campaigns.set_open("Everything", "admin", open=False)
    assert store.record(ada, before.token, Outcome.TIE, minimum_dwell=0).status == "saved"


def test_two_who_edit_at_once_do_not_overwrite_each_other(campaigns):
    seen = campaigns.get("Everything")
    campaigns.edit("Everything", "one", version=seen.version, quota=5)
    with pytest.raises(InvalidInput, match="Someone else changed"):
        campaigns.edit("Everything", "other", version=seen.version, quota=7)
    assert campaigns.get("Everything").plan.quota == 5
    with pytest.raises(NotFound):
        campaigns.edit("nothing", "one", quota=1)
    with pytest.raises(InvalidInput, match="already"):
        campaigns.create(CampaignPlan("Everything"), "one")


def test_what_was_done_to_a_campaign_is_in_the_audit_trail(database, campaigns):
    campaigns.create(CampaignPlan("new", quota=3), "admin")
    campaigns.edit("new", "admin", quota=None)
    campaigns.set_open("new", "admin", open=False)
    campaigns.set_open("new", "admin", open=False)
    with database.read() as session:
        rows = session.query(AuditEventRow).order_by(AuditEventRow.id).all()
    assert [row.action for row in rows] == ["campaign_create", "campaign_edit", "campaign_close"]
    assert rows[0].detail["quota"] == 3 and rows[0].actor == "admin"


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"name": " "}, "needs a name"),
        ({"quota": 0}, "The quota is 0"),
        ({"overlap": -1}, "The overlap is -1"),
        ({"gold_share": 0.6, "repeat_share": 0.6}, "together at most 1"),
        ({"gold_share": float("nan")}, "together at most 1"),
        ({"criteria": ("a", "a"), "mode": Mode.DETAILED}, "each once"),
        ({"criteria": ("a",)}, "detailed mode only"),
        ({"options": 3}, "A pair has two"),
        ({"kind": Kind.BEST}, "needs 3 to 9"),
        ({"kind": Kind.BEST, "options": 10}, "needs 3 to 9"),
        ({"kind": Kind.BEST, "options": 3, "criteria": ("a",), "mode": Mode.DETAILED}, "pairs only"),
        ({"guidelines": "x" * 20_001}, "guidelines are longer"),
    ],
)
def test_a_plan_that_cannot_work_is_refused(wrong, why):
    with pytest.raises(InvalidInput, match=why):
        CampaignPlan(**{"name": "x"} | wrong)


def test_a_stranger_waits_for_nothing(store):
    assert store.next_free(UserId("nobody")) is None
