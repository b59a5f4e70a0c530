"""What benchmarks read: folders of simulated worlds with their truth, and real votes by folds of questions."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.controls import REAL_SETS, shuffled
from benchmarks.votes import fold_by_question, of_others, personal_differences
from benchmarks.world import load_truth, load_world
from core import importers
from core.dataset import PreferenceDataset
from core.errors import InvalidInput, UnreadableFile
from tests.planted import HashEncoder


def test_the_world_is_split_as_the_folder_says(world_folder: Path) -> None:
    world, truth = load_world(world_folder, 10, 7), load_truth(world_folder, 10)
    assert np.bincount(world.train.user).tolist() == [7] * 10
    assert np.bincount(world.validation.user).tolist() == [6] * 10
    seen = set(world.train.query.tolist()), set(world.validation.query.tolist())
    assert seen[0].isdisjoint(seen[1])
    assert not {q.query_id for q in world.test} & {q.query_id for q in world.train.queries}
    assert not set(world.train.ids) & set(world.validation.ids)
    assert truth.utility.shape == (10, 8, 5)
    assert world.encoder.encode([world.test[0].text]).shape == (1, 64)
    with pytest.raises(InvalidInput, match="no vector"):
        world.encoder.encode(["never seen"])


def test_the_truth_is_read_by_its_names_and_ratings_of_held_out_queries_are_refused(
    world_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "other"
    shutil.copytree(world_folder, folder)
    with np.load(folder / "truth.npz") as file:
        truth = dict(file)
    queries, llms = np.random.default_rng(0).permutation(8), np.array([3, 0, 4, 1, 2])
    moved = {
        **truth, "query_ids": truth["query_ids"][queries], "llm_ids": truth["llm_ids"][llms],
        "label": np.argsort(llms)[truth["label"][:, queries]].astype(np.int8),
        "utility": truth["utility"][:, queries][..., llms],
    }  # fmt: skip
    np.savez(folder / "truth.npz", **moved)
    one, other = load_truth(world_folder, 10), load_truth(folder, 10)
    assert np.array_equal(one.label, other.label) and np.array_equal(one.utility, other.utility)
    np.savez(folder / "truth.npz", **{**moved, "llm_ids": np.append(moved["llm_ids"], "llm-9")})
    with pytest.raises(UnreadableFile, match="names LLMs"):
        load_truth(folder, 10)
    pairs = pd.read_parquet(folder / "pairs.parquet")
    pd.concat([pairs, pd.read_parquet(folder / "val_pairs.parquet")]).to_parquet(folder / "pairs.parquet")
    with pytest.raises(UnreadableFile, match="not of the train split"):
        load_world(folder, 10, 7)


def test_dense_pairs_let_the_best_win_against_different_losers(world_folder: Path) -> None:
    world = load_world(world_folder, 5, "dense", 4)
    train = world.train
    assert len(train) == 5 * 20 * 4
    winner = np.where(train.label == 1, train.llm_a, train.llm_b)
    loser = np.where(train.label == 1, train.llm_b, train.llm_a)
    for key in {(u, q) for u, q in zip(train.user, train.query, strict=True)}:
        rows = (train.user == key[0]) & (train.query == key[1])
        assert len(set(winner[rows])) == 1
        assert len({*winner[rows], *loser[rows]}) == 5
    assert 0.4 < train.label.mean() < 0.6
    with pytest.raises(InvalidInput, match="From 1 to 4"):
        load_world(world_folder, 5, "dense", 5)


@pytest.mark.parametrize("name", ["mt_bench_human", "tulu_human", "prd_llm_judges"])
def test_what_is_known_of_people_does_not_hurt_on_real_votes_and_helps_where_judges_differ(
    shared_data: Path, name: str
) -> None:
    file, gains = REAL_SETS[name]
    found = personal_differences(shared_data / name / file, "user_bradley_terry", 5, HashEncoder(), 0)
    assert [each.rival for each in found] == ["global router", "same router with others' ratings"]
    assert all(each.figure.high < 0 if gains else each.figure.low <= 0 for each in found), found


def test_shuffling_keeps_how_much_each_rated_and_folds_keep_questions_whole(
    world_folder: Path, real_folder: Path
) -> None:
    train = load_world(world_folder, 10, 20).train
    mixed = shuffled(train, 0)
    assert np.array_equal(np.bincount(mixed.user), np.bincount(train.user))
    assert (mixed.user != train.user).mean() > 0.8
    others = of_others(train, 0)
    assert np.array_equal(np.bincount(others.user), np.bincount(train.user))
    owner = dict(zip(train.ids, train.user, strict=True))
    assert all(owner[i] != user for i, user in zip(others.ids, others.user, strict=True))
    bundle = importers.read(real_folder / "mt_bench_human" / "human_judgments.parquet")
    data = PreferenceDataset.from_comparisons(bundle.comparisons, bundle.queries, bundle.llms)
    fold = fold_by_question(data, 5, 0)
    assert all(len(set(fold[data.query == q])) == 1 for q in np.unique(data.query))
    assert np.bincount(fold).min() > 0
    with pytest.raises(InvalidInput, match="cannot be split"):
        fold_by_question(data, 21, 0)


def test_a_folder_of_another_format_is_said(tmp_path: Path) -> None:
    (tmp_path / "queries.parquet").write_bytes(b"no parquet")
    with pytest.raises(UnreadableFile, match="not in the format"):
        load_world(tmp_path, 1, 1)
