"""Ratings counted in the database say what the ratings themselves say, in as many statements however many there are."""

import time
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from sqlalchemy import insert, text

from core.dataset import PreferenceDataset
from core.domain import OUTCOMES, Bundle, Comparison, Outcome, Query, QueryId, Response, Task, User, UserId
from core.leaderboard import Leaderboard, leaderboard
from core.profile import Profile
from core.tally import WITHDRAWN, Tally, Why, choose
from db.base import utc_now
from db.demo.loading import load
from db.engine import Database
from db.models import ComparisonRow, EventKind, LLMRow, QueryRow, ResponseRow, TaskRow, UserRow
from db.people import People
from db.preferences import PreferenceStore
from db.tallies import styled_tally, tally
from tests.db.worlds import NOON, Clock, asked, rating, statements, world


def counts(found: Tally) -> dict[tuple[str, str, int, str], int]:
    """Ratings by A's LLM, B's LLM, outcome and task."""
    said: dict[tuple[str, str, int, str], int] = {}
    for a, b, outcome, task, n in zip(
        found.llm_a, found.llm_b, found.outcome, found.task, found.count, strict=True
    ):  # fmt: skip
        key = found.llms[a].llm_id, found.llms[b].llm_id, int(outcome), found.tasks[task] if task >= 0 else ""
        said[key] = said.get(key, 0) + int(n)
    return said


def of_snapshot(said: PreferenceDataset) -> dict[tuple[str, str, int, str], int]:
    keys = [
        (said.llms[a].llm_id, said.llms[b].llm_id, int(o), said.queries[q].task)
        for a, b, o, q in zip(said.llm_a, said.llm_b, said.outcome, said.query, strict=True)
    ]
    return {key: keys.count(key) for key in set(keys)}


def test_cells_count_what_a_snapshot_holds(database: Database) -> None:
    load(database)
    expected = of_snapshot(PreferenceStore(database).snapshot())
    assert counts(tally(database)) == counts(styled_tally(database)) == expected
    found = tally(database)
    assert found.simulated.all() and len(found.tasks) == 6
    assert found.weight == pytest.approx(found.count) and found.weight_squared == pytest.approx(found.count)


def test_a_withdrawn_rating_is_counted_as_such_and_an_edited_one_once(database: Database, ada: UserId) -> None:
    store = PreferenceStore(database)
    store.add_bundle(world(queries=4))
    for outcome in (Outcome.A, Outcome.B, Outcome.A):
        store.record(ada, asked(store, ada).token, outcome, minimum_dwell=0)
    keys = [said.key for said in store.comparisons(ada)]
    store.withdraw(ada, keys[0])
    store.edit(ada, keys[1], Outcome.TIE)
    found = tally(database)
    assert sorted(np.repeat(found.outcome, found.count)) == [WITHDRAWN, OUTCOMES.index(Outcome.A), 2]
    assert not found.simulated.any()
    chosen, inclusion = choose(found)
    assert chosen.ratings == 2 and inclusion.left_out[0].ratings == 1 and "taken back" in inclusion.left_out[0].reason


def test_ratings_are_told_apart_by_campaign_or_file_and_by_day(database: Database, ada: UserId, clock: Clock) -> None:
    store = PreferenceStore(database, clock)
    store.add_bundle(world(queries=6, ratings=2))  # the file dates its ratings at noon
    clock.wait(86_400)
    store.record(ada, asked(store, ada).token, Outcome.A, minimum_dwell=0)
    People(database, clock).describe(ada, Profile("Code", None, "Short"))
    day = NOON + timedelta(hours=12)
    for act in (tally, styled_tally):
        found = act(database, span=(day, None))
        assert set(found.groups) == {"pack", "Everything"}
        assert choose(found)[1].left_out == ((Why.DAYS, 2),)
        assert found.uses == ("Code",) and choose(found, use="Code")[0].ratings == 1
        assert choose(found, group="Everything")[0].ratings == 1 and choose(found, group="pack")[0].ratings == 0
        before = choose(act(database, span=(None, day)), group="pack")
        assert before[0].ratings == 2 and dict(before[1].left_out) == {Why.DAYS: 1}


def test_which_response_was_longer_counts_characters_of_the_judged_reply(database: Database) -> None:
    models = world().llms[:2]
    queries = tuple(Query(QueryId(f"q{i}"), ("Hm?",), "task") for i in range(4))
    words = [("ööööö", "abcdef"), ("longer one", "short"), ("", "something"), ("", "")]
    replies = [
        tuple(Response(q.query_id, m.llm_id, (w,)) for m, w in zip(models, pair, strict=True))
        for q, pair in zip(queries, words, strict=True)
    ]
    said = tuple(
        rating_of(f"r{i}", q, pair) for i, (q, pair) in enumerate(zip(queries, replies, strict=True))
    )  # fmt: skip
    everything = tuple(reply for pair in replies for reply in pair)
    users = (User(UserId("robot"), simulated=True),)
    PreferenceStore(database).add_bundle(Bundle("f", users, (Task("task"),), models, queries, everything, said))
    found = tally(database)
    assert sorted(np.repeat(found.longer, found.count)) == [-1, -1, 0, 1]
    style = styled_tally(database).style
    assert style is not None and sorted(style[:3, 0]) == [0, 1, 2]
    assert np.isnan(style[3]).all()  # nothing is known of two blank replies
    assert choose(styled_tally(database), known_style=True)[1].left_out[0].ratings == 1


def rating_of(key: str, query: Query, pair: tuple[Response, ...]) -> Comparison:
    a, b = pair
    blank = rating(key, query, world().llms[:2], "robot")
    return replace(blank, response_a=a.response_id, response_b=b.response_id)


def test_pairs_drawn_rarely_weigh_more_and_uniform_ones_alike(database: Database, ada: UserId) -> None:
    store = PreferenceStore(database)
    store.add_bundle(world(queries=6))
    for i in range(5):
        token = asked(store, ada).token
        if i < 3:
            with database.write() as session:
                session.execute(
                    text("UPDATE assignments SET probability = :p, uniform_probability = 0.25 WHERE token = :t"),
                    {"p": (0.5, 0.25, 0.25)[i], "t": token},
                )
        store.record(ada, token, Outcome.A, minimum_dwell=0)
    found = tally(database)
    assert found.weight.sum() == pytest.approx(2 + 0.5 + 1 + 1)
    assert found.weight_squared.sum() == pytest.approx(2 + 0.5**2 + 1 + 1)


@pytest.mark.parametrize(("act", "most"), [(tally, 4), (styled_tally, 6)])
def test_the_number_of_statements_does_not_grow(database: Database, act, most: int) -> None:
    store = PreferenceStore(database)
    counted = []
    for size in (2, 700):
        store.add_bundle(world(queries=size, ratings=size))
        with statements(database) as sent:
            act(database)
        counted.append(len(sent))
    assert counted[0] == counted[1] <= most


def test_of_very_many_ratings_the_words_of_an_even_sample_are_read_and_the_rest_is_counted_as_left_out(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.tallies.MOST_STYLED", 300)
    PreferenceStore(database).add_bundle(world(queries=20, ratings=700))
    found = styled_tally(database)
    assert found.style is not None and len(found.style) == found.ratings == pytest.approx(700 / 3, abs=1)
    chosen, inclusion = choose(found, known_style=True)
    assert inclusion.total == 700 and inclusion.included == chosen.ratings
    assert sum(row.ratings for row in inclusion.left_out) == 700 - inclusion.included
    assert "even sample" in inclusion.left_out[0].reason


def test_nothing_is_an_empty_tally(database: Database) -> None:
    assert tally(database).ratings == styled_tally(database).ratings == 0


def crowd(database: Database, ratings: int, llms: int = 20, queries: int = 1000, users: int = 500) -> None:
    """Many ratings, straight into the tables; every LLM answers every query, and a lower number is better."""
    now, rng = utc_now(), np.random.default_rng(0)
    common = {"source": "crowd", "created_at": now}
    task, user, query = (
        rng.integers(3, size=queries),
        rng.integers(users, size=ratings),
        rng.integers(queries, size=ratings),
    )
    pair = np.stack([rng.integers(llms, size=ratings), rng.integers(1, llms, size=ratings)], 1)
    pair[:, 1] = pair.sum(1) % llms
    won = rng.random(ratings) < 1 / (1 + np.exp((pair[:, 0] - pair[:, 1]) / llms))
    rows = {
        TaskRow: [{"id": i + 1, "name": f"task-{i}", "description": ""} for i in range(3)],
        UserRow: [{"id": i + 1, "name": f"user-{i}", "simulated": bool(i % 2)} | common for i in range(users)],
        LLMRow: [{"id": i + 1, "key": f"llm-{i:02}"} | common for i in range(llms)],
        QueryRow: [
            {"id": i + 1, "key": f"q-{i}", "task_id": int(task[i]) + 1, "turns": ["Hm?"]} | common
            for i in range(queries)
        ],
        ResponseRow: [
            {"id": i + 1, "key": f"r-{i}", "query_id": i // llms + 1, "llm_id": i % llms + 1, "text_hash": str(i),
             "turns": ["word " * int(n)]} | common
            for i, n in enumerate(rng.integers(20, 200, size=queries * llms))
        ],
        ComparisonRow: [
            {"id": i + 1, "key": f"c-{i}", "user_id": u + 1, "query_id": q + 1, "response_a_id": q * llms + a + 1,
             "response_b_id": q * llms + b + 1, "llm_a_id": a + 1, "llm_b_id": b + 1, "kind": EventKind.RATING,
             "outcome": Outcome.A if w else Outcome.B, "recorded_at": now, "source": "crowd"}
            for i, (u, q, (a, b), w) in enumerate(
                zip(user.tolist(), query.tolist(), pair.tolist(), won.tolist(), strict=True)
            )
        ],
    }  # fmt: skip
    with database.write() as session:
        for table, values in rows.items():
            session.execute(insert(table), values)


@pytest.mark.slow
def test_ranking_four_times_the_ratings_takes_no_more_than_about_four_times_as_long(tmp_path) -> None:
    seconds = []
    for ratings in (50_000, 200_000):
        database = Database.open(f"sqlite:///{tmp_path / f'{ratings}.db'}")
        crowd(database, ratings)
        started = time.process_time()  # of this process: a busy machine is not slow code
        found = leaderboard(choose(tally(database))[0])
        seconds.append(time.process_time() - started)
        database.dispose()
        assert isinstance(found, Leaderboard) and found.ratings == ratings
        assert found.standings[0].llm.llm_id < "llm-05" and found.standings[-1].llm.llm_id > "llm-14"
    assert seconds[1] < 8 * seconds[0], seconds
