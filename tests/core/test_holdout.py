import numpy as np

from core.dataset import PreferenceDataset
from core.domain import Outcome
from core.holdout import Holdout, hold_out
from tests.planted import LLMS, comparison, queries, two_camps

SHARES = (0.7, 0.1, 0.2)


def parts_of(n: int, seed: int = 0) -> tuple[list[set[str]], Holdout]:
    asked = queries(n)
    said = [comparison("ada", query, LLMS[0], LLMS[1], Outcome.A, query.query_id) for query in asked]
    parts, holdout = hold_out(PreferenceDataset.from_comparisons(said, asked, LLMS), SHARES, seed)
    return [{asked[i].query_id for i in part.query} for part in parts], holdout


def test_the_parts_have_their_shares_of_the_queries_and_none_in_common() -> None:
    (train, validation, test), _ = parts_of(100)
    assert (len(train), len(validation), len(test)) == (70, 10, 20)
    assert not train & validation and not train & test and not validation & test


def test_when_queries_are_added_what_was_held_out_stays_held_out_but_for_the_edge() -> None:
    (_, _, before), _ = parts_of(100)
    (_, _, after), _ = parts_of(130)
    assert len(before & after) >= len(before) - 5
    assert parts_of(100, seed=1)[0][2] != before


def test_a_later_training_can_tell_which_ratings_an_earlier_one_never_saw() -> None:
    dataset = two_camps()
    (train, validation, test), holdout = hold_out(dataset, SHARES, 3)
    again = Holdout.from_card({"holdout": holdout._asdict()})
    assert again == holdout and Holdout.from_card({}) is None
    assert again.unseen(test).all()
    assert not again.unseen(train).any() and not again.unseen(validation).any()
    assert np.array_equal(np.sort(dataset.ids), np.sort(np.concatenate([train.ids, validation.ids, test.ids])))
