"""Agreement with others about the same two responses and with oneself, whichever side they stood on."""

from core.campaigns import CampaignPlan
from core.domain import Outcome
from db.agreement import with_oneself, with_others
from db.campaigns import Campaigns
from db.models import AssignmentRow
from db.people import People
from db.preferences import PreferenceStore
from tests.db.worlds import asked, statements, world


def prefer(store, user, response_id):
    """Rate what is asked in favour of one response; both bad where it is None."""
    pair = asked(store, user)
    if response_id is None:
        outcome = Outcome.BOTH_BAD
    else:
        outcome = Outcome.A if pair.response_a.response_id == response_id else Outcome.B
    store.record(user, pair.token, outcome, minimum_dwell=0)
    return {pair.response_a.response_id, pair.response_b.response_id}


def test_a_rating_agrees_with_most_of_the_others_or_not_and_counts_once(database, clock):
    store = PreferenceStore(database, clock)
    store.add_bundle(world(queries=1))
    Campaigns(database, clock).create(CampaignPlan("shared", overlap=9), "test")
    people = [People(database, clock).sign_in(name).name for name in ("Ada", "Bob", "Cy", "Dan", "Eve")]
    first = asked(store, people[0])
    one, other = first.response_a.response_id, first.response_b.response_id
    for user, choice in zip(people, (one, one, other, None, None), strict=True):
        assert prefer(store, user, choice) == {one, other}
    shares = [with_others(database, user) for user in people]
    assert [share.n for share in shares] == [0, 0, 1, 0, 0]  # evenly split of two; two of two; preferred neither
    assert shares[2].times == 0
    store.edit(people[2], min(said.key for said in store.comparisons(people[2])), Outcome.TIE)
    assert [(share.times, share.n) for share in (with_others(database, user) for user in people[:2])] == [(1, 1)] * 2


def test_simulated_users_are_nobodys_peers(database, clock):
    store = PreferenceStore(database, clock)
    store.add_bundle(world(queries=1, llms=2, ratings=1))
    ada = People(database, clock).sign_in("Ada").name
    store.record(ada, asked(store, ada).token, Outcome.A, minimum_dwell=0)
    assert with_others(database, ada).n == 0


def test_being_asked_again_with_sides_swapped_is_compared_by_response(store, ada, database):
    pair = asked(store, ada)
    store.record(ada, pair.token, Outcome.A, minimum_dwell=0)
    with database.write() as session:
        row = session.query(AssignmentRow).one()
        copied = ("campaign_id", "user_id", "query_id", "probability", "shown_at", "leased_until")
        session.add(
            AssignmentRow(
                **{name: getattr(row, name) for name in copied}, token="again", reason="repeat", status="open",
                response_a_id=row.response_b_id, response_b_id=row.response_a_id, llm_a_id=row.llm_b_id,
                llm_b_id=row.llm_a_id,
            )
        )  # fmt: skip
    assert with_oneself(database, ada).n == 0
    store.record(ada, "again", Outcome.B, minimum_dwell=0)
    assert (with_oneself(database, ada).times, with_oneself(database, ada).n) == (1, 1)
    with statements(database) as sent:
        with_oneself(database, ada)
    assert len(sent) == 1
