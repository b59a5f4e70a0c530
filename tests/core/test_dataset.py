from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.dataset import PreferenceDataset, SplitBy
from core.domain import Outcome, Query, QueryId, UserId
from core.errors import InvalidInput
from tests.planted import LLMS, comparison, queries, two_camps


@pytest.mark.parametrize("by", ["query", "user", "task", "time"])
def test_a_split_loses_no_rating_and_doubles_none(by: SplitBy) -> None:
    world = two_camps()
    parts = world.split(by, (0.6, 0.1, 0.3), seed=3)
    assert sorted(np.concatenate([part.ids for part in parts])) == list(world.ids)


@pytest.mark.parametrize(("by", "column"), [("query", "query"), ("user", "user")])
def test_no_group_lies_on_two_sides_of_a_split(by: SplitBy, column: str) -> None:
    parts = two_camps().split(by, seed=1)
    groups = [set(getattr(part, column)) for part in parts]
    assert not (groups[0] & groups[1] or groups[0] & groups[2] or groups[1] & groups[2])
    assert all(groups)


def test_the_turns_of_one_conversation_stay_on_one_side() -> None:
    asked = [Query(QueryId(f"{i}-{n}"), tuple(f"turn {i}-{t}" for t in range(n))) for i in range(10) for n in (1, 2, 3)]
    said = [comparison("u", query, LLMS[0], LLMS[1], Outcome.A, query.query_id) for query in asked]
    parts = PreferenceDataset.from_comparisons(said, asked, LLMS).split("query", seed=2)
    openings = [{part.queries[row].turns[0] for row in part.query} for part in parts]
    assert not (openings[0] & openings[1] or openings[0] & openings[2] or openings[1] & openings[2])


def test_a_split_by_time_puts_everyones_last_ratings_last() -> None:
    world = two_camps()
    early, _, late = world.split("time")
    for user in np.unique(world.user):
        assert early.ids[early.user == user].max() < late.ids[late.user == user].min()


@given(st.integers(0, 5), st.integers(2, 40))
def test_shares_are_kept_as_well_as_whole_queries_allow(seed: int, n_queries: int) -> None:
    world = two_camps(users=6, n_queries=n_queries)
    parts = world.split("query", (0.5, 0.5), seed)
    rated = len(np.unique(world.query))
    assert abs(len(np.unique(parts[0].query)) - rated / 2) <= 1


def test_the_fingerprint_ignores_order_and_row_numbers_and_sees_every_change() -> None:
    world = two_camps()
    shuffled = world.where(np.random.default_rng(0).permutation(len(world)))
    assert shuffled.fingerprint() == world.fingerprint()
    assert world.where(np.arange(1, len(world))).fingerprint() != world.fingerprint()


def test_upto_keeps_what_was_known_then() -> None:
    asked, moment = queries(2), datetime(2026, 1, 2, tzinfo=UTC)
    said = [
        comparison("u", asked[0], LLMS[0], LLMS[1], Outcome.A, "1"),
        comparison("u", asked[1], LLMS[0], LLMS[1], Outcome.B, "2"),
    ]
    world = PreferenceDataset.from_comparisons(said, asked, LLMS)
    object.__setattr__(world, "time", np.array([moment.timestamp() - 1, moment.timestamp()]))
    assert list(world.upto(moment).ids) == [0]


def test_a_stranger_has_said_nothing() -> None:
    assert len(two_camps().of_user("nobody")) == 0  # type: ignore[arg-type]


def test_ties_and_both_bad_count_half() -> None:
    asked = queries(1)
    said = [comparison("u", asked[0], LLMS[0], LLMS[1], outcome, str(outcome)) for outcome in Outcome]
    assert list(PreferenceDataset.from_comparisons(said, asked, LLMS).label) == [1.0, 0.0, 0.5, 0.5]


def test_rows_that_do_not_fit_are_refused() -> None:
    world = two_camps(users=2, ratings=2)
    with pytest.raises(InvalidInput, match="user"):
        PreferenceDataset(
            (),
            world.queries,
            world.llms,
            world.user,
            world.query,
            world.llm_a,
            world.llm_b,
            world.outcome,
            world.time,
            world.ids,
        )
    with pytest.raises(InvalidInput, match="unknown query or LLM"):
        PreferenceDataset.from_comparisons([comparison("u", queries(1)[0], LLMS[0], LLMS[1], Outcome.A, "k")], [], LLMS)
    with pytest.raises(InvalidInput, match="sum to 1"):
        world.split("query", (0.5, 0.2))


def test_a_choice_among_several_counts_as_one_item_and_a_pair_as_one() -> None:
    said = [comparison("u", queries(1)[0], LLMS[0], LLMS[1], Outcome.A, str(i)) for i in range(5)]
    pairs = PreferenceDataset.from_comparisons(said, queries(1), LLMS, [UserId("v")])
    assert pairs.weight.tolist() == [1] * 5 and pairs.choice.tolist() == [-1] * 5
    chosen = replace(pairs, choice=np.array([-1, 7, 9, 9, 9]))
    assert chosen.weight.tolist() == pytest.approx([1, 1, 0.5, 0.5, 0.5])
    # in a part of it, and of several people, everyone's own comparisons of one choice count
    assert chosen.where(np.array([0, 2, 3])).weight.tolist() == pytest.approx([1, 2 / 3, 2 / 3])
    of_two = replace(chosen, user=np.array([0, 0, 0, 1, 1], np.int32))
    assert of_two.weight.tolist() == pytest.approx([1, 1, 1, 2 / 3, 2 / 3])
    assert chosen.joined(chosen.where(np.array([0]))).choice.tolist() == [-1, 7, 9, 9, 9, -1]
    with pytest.raises(InvalidInput, match="choice"):
        replace(pairs, choice=np.array([1]))
