"""Every honest test of a kind of router, on worlds whose answer is known and on the real data beside the repository."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.world import load_world
from core.dataset import PreferenceDataset
from core.errors import InvalidInput, NotEnoughData
from core.evaluation import Predictions
from core.examination import STEPS, calibration_table, check_kind, examine
from core.importers import read
from tests.planted import HashEncoder, two_camps


def joined(one: PreferenceDataset, other: PreferenceDataset) -> PreferenceDataset:
    """The ratings of both over the same users, queries and LLMs; what is known of the answers is left out."""
    columns = ("user", "query", "llm_a", "llm_b", "outcome", "time")
    both = {name: np.concatenate([getattr(one, name), getattr(other, name)]) for name in columns}
    return PreferenceDataset(one.users, one.queries, one.llms, **both, ids=np.arange(len(both["user"])))


@pytest.fixture(scope="module")
def camps() -> PreferenceDataset:
    return two_camps(users=30, ratings=40)


def test_where_users_differ_personal_routing_is_separable_and_every_control_holds(camps: PreferenceDataset) -> None:
    told: list[tuple[str, int, int]] = []
    found = examine(camps, HashEncoder(), "user_task_best", lambda *step: told.append(step))
    assert told == [(name, i, len(STEPS)) for i, name in enumerate(STEPS)]
    by = {split["by"]: split for split in found["splits"]}
    assert by["query"]["separable"] and by["time"]["separable"] and by["user"]["separable"]
    assert "reason" in by["task"]  # two topics cannot be split in three
    assert all(control["holds"] for control in found["controls"]), found["controls"]
    assert [point["known"] for point in found["newcomers"]["points"]] == [0, 5, 10, 20]
    gains = [point["gain"]["value"] for point in found["newcomers"]["points"]]
    assert abs(gains[0]) < 0.1 < gains[-1]
    assert found["new_llm"]["points"][0]["recall"]["value"] <= found["new_llm"]["full"]["recall"]["value"]
    assert all(
        0.5 < point["accuracy"]["value"] <= 1 for point in [*found["new_llm"]["points"], found["new_llm"]["full"]]
    )
    assert found["picks"]["entropy"] <= found["picks"]["most"] == 2
    assert found["picks"]["value_over_best"] > 1
    assert found["cost"]["aiq"] > found["cost"]["aiq_zero"]
    assert 0 < found["cost"]["qnc"] < 1 and found["cost"]["area"] <= found["cost"]["aiq"]
    assert found["personal"]["separable"] and found["personal"]["lift"]["value"] > 0.1
    assert all(pair["ratings"] >= 20 and 0 <= pair["quality"][0] <= 1 for pair in found["pairs"])


def test_one_ranking_for_all_is_not_separable_from_itself_and_fails_the_swap(camps: PreferenceDataset) -> None:
    found = examine(camps, HashEncoder(), "bradley_terry")
    assert not found["personal"]["separable"] and found["personal"]["lift"]["value"] == 0
    assert found["splits"][0]["gain"]["value"] == 0
    same, swap, shuffled = found["controls"]
    assert same["holds"] and not swap["holds"] and shuffled["holds"]


def test_queries_that_are_as_good_as_the_same_are_counted(camps: PreferenceDataset) -> None:
    class Same(HashEncoder):
        def encode(self, texts):
            return np.ones((len(texts), self.dim), np.float32)

    found = examine(camps, Same(), "user_task_best")["contamination"]
    assert found["close"] == found["queries"] > 0 and found["highest"] == pytest.approx(1)


def test_what_cannot_be_examined_is_refused_by_name(camps: PreferenceDataset) -> None:
    with pytest.raises(InvalidInput, match="no kind of router called 'oracle'"):
        check_kind("oracle")
    with pytest.raises(NotEnoughData, match="of 60 ratings"):
        examine(camps.where(np.arange(20)), HashEncoder(), "user_task_best")


def test_calibration_counts_how_often_the_favoured_side_won() -> None:
    p, label = np.array([0.9, 0.1, 0.9, 0.6]), np.array([1.0, 0.0, 0.0, 0.5])
    found = calibration_table(Predictions(p, label, np.arange(4, dtype=np.int32)))
    assert [(round(b["predicted"], 3), b["figure"], b["ratings"]) for b in found["bins"]] == [
        (0.6, 0.5, 1), (0.9, pytest.approx(2 / 3), 3),
    ]  # fmt: skip
    assert found["ece"] == pytest.approx(0.25 * 0.1 + 0.75 * (0.9 - 2 / 3))


@pytest.mark.parametrize(("name", "separable"), [("mt_bench_human", False), ("personas", True)])
def test_real_votes_are_not_separable_and_simulated_personas_are(shared_data: Path, name: str, separable: bool) -> None:
    if name == "personas":
        world = load_world(shared_data / name, 50, 50)
        ratings, encoder = joined(world.train, world.validation), world.encoder
        found = examine(ratings, encoder, "user_task_best")
    else:
        bundle = read(shared_data / name / "human_judgments.parquet")
        ratings = PreferenceDataset.from_comparisons(bundle.comparisons, bundle.queries, bundle.llms)
        found = examine(ratings, HashEncoder(), "user_task_best")
    assert found["personal"]["separable"] is separable, found["personal"]
