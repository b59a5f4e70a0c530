"""Exports with their cards, pseudonyms that last, and datasets that stay what they were when they were frozen."""

import json
from dataclasses import replace

import pytest

from core import importers
from core.domain import Outcome, User, UserId
from core.errors import InvalidInput, NotFound
from core.exporters.selection import Selection
from db.datasets import Datasets
from db.engine import Database
from db.people import People
from db.preferences import PreferenceStore
from tests.db.worlds import world


@pytest.fixture
def datasets(database, clock) -> Datasets:
    return Datasets(database, clock)


@pytest.fixture
def rated(store, ada, clock):
    """A simulated user's five ratings, and one of a person."""
    store.add_bundle(world(ratings=5))
    store.record(ada, store.assign(ada).token, Outcome.A, minimum_dwell=0)
    clock.wait(60)
    return store


def judges(path) -> set[str]:
    return {json.loads(line)["judge"] for line in path.read_text().splitlines()}


def test_people_go_out_under_lasting_pseudonyms_and_simulated_users_under_their_names(datasets, rated, tmp_path):
    first = datasets.export(tmp_path / "a.jsonl")
    datasets.export(tmp_path / "b.jsonl")
    (pseudonym,) = judges(tmp_path / "a.jsonl") - {"robot"}
    assert pseudonym.startswith("rater-") and "Ada" not in (tmp_path / "a.jsonl").read_text()
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    assert first.card["pseudonymous"] is True and first.card["people"] == 1
    datasets.export(tmp_path / "c.jsonl", keep_names=True)
    assert judges(tmp_path / "c.jsonl") == {"Ada", "robot"}


def test_a_card_lies_beside_the_file_and_proves_it(datasets, rated, tmp_path):
    exported = datasets.export(tmp_path / "a.jsonl", selection=Selection(simulated=False))
    card = json.loads((tmp_path / "a.jsonl.card.json").read_text())
    assert card == exported.card
    assert (card["rows"], card["sha256"]) == (1, exported.report.sha256)
    assert card["schema_version"] == "prefroute-export-1" and card["filter"]["simulated"] is False
    assert "Ada" not in json.dumps(card)


def test_a_frozen_dataset_stays_what_it_was(datasets, rated, clock, tmp_path):
    frozen = datasets.freeze("before", Selection(), by="Ada")
    assert frozen.fingerprint == rated.snapshot().fingerprint() and frozen.ratings == 6
    clock.wait(60)
    mine = next(rated.comparisons(UserId("Ada")))
    rated.edit(UserId("Ada"), mine.key, Outcome.B)
    rated.record(UserId("Ada"), rated.assign(UserId("Ada")).token, Outcome.TIE, minimum_dwell=0)
    assert rated.snapshot().fingerprint() != frozen.fingerprint
    exported = datasets.export(tmp_path / "a.jsonl", version=frozen.id)
    assert exported.card["dataset_fingerprint"] == frozen.fingerprint and "changed_since_frozen" not in exported.card
    assert exported.card["dataset_version"] == "before" and exported.report.rows == 6


def test_who_leaves_leaves_a_frozen_dataset_too_and_its_export_says_so(datasets, rated, database, tmp_path):
    frozen = datasets.freeze("before", Selection(), by="admin")
    People(database).erase(UserId("Ada"))
    card = datasets.export(tmp_path / "a.jsonl", version=frozen.id).card
    assert "6 ratings were frozen and 5 are left" in card["changed_since_frozen"]


def test_a_dataset_needs_a_name_of_its_own_and_a_rating(datasets, rated, tmp_path):
    datasets.freeze("one", Selection(), by="Ada")
    for name, selection, words in (
        ("one", Selection(), "already"), (" ", Selection(), "needs a name"), ("x" * 121, Selection(), "needs a name"),
        ("two", Selection(task="none such"), "No rating"),
    ):  # fmt: skip
        with pytest.raises(InvalidInput, match=words):
            datasets.freeze(name, selection, by="Ada")
    with pytest.raises(NotFound):
        datasets.export(tmp_path / "a.jsonl", version=99)
    assert [version.name for version in datasets.versions()] == ["one"]


def test_training_refers_to_the_dataset_it_saw_by_its_fingerprint(datasets, rated, clock):
    frozen = datasets.freeze("before", Selection(), by="Ada")
    seen = rated.snapshot()
    assert datasets.of_training(seen.fingerprint(), len(seen), 7, "Ada", clock.now).id == frozen.id
    clock.wait(60)
    rated.record(UserId("Ada"), rated.assign(UserId("Ada")).token, Outcome.TIE, minimum_dwell=0)
    clock.wait(60)
    seen = rated.snapshot()
    version = datasets.of_training(seen.fingerprint(), len(seen), 8, "Ada", clock.now)
    assert version.name == "Training run 8" and version.ratings == 7


def test_the_real_votes_exported_and_imported_again_give_the_same_fingerprint(database, shared_data, tmp_path):
    store = PreferenceStore(database)
    store.add_bundle(importers.read(shared_data / "mt_bench_human" / "human_judgments.parquet"))
    path = tmp_path / "all.jsonl.gz"
    exported = Datasets(database).export(path, keep_names=True)
    other = Database.open(f"sqlite:///{tmp_path / 'other.db'}")
    again = PreferenceStore(other)
    assert again.add_bundle(importers.read(path)).added == 3355
    assert again.snapshot().fingerprint() == store.snapshot().fingerprint() == exported.card["dataset_fingerprint"]
    other.dispose()


def test_pseudonyms_of_two_databases_are_not_the_same(database, rated, tmp_path):
    other = Database.open(f"sqlite:///{tmp_path / 'other.db'}")
    PreferenceStore(other).add_bundle(replace(world(ratings=1, user="Ada"), users=(User(UserId("Ada")),)))
    for name, base in (("a", database), ("b", other)):
        Datasets(base).export(tmp_path / f"{name}.jsonl")
    assert not (judges(tmp_path / "a.jsonl") - {"robot"}) & judges(tmp_path / "b.jsonl")
    other.dispose()
