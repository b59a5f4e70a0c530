"""A rating on its way: beside a run that writes its progress, and on to leaderboard, export and graph."""

from pathlib import Path
from threading import Event, Thread

from core.campaigns import Kind
from core.domain import Outcome
from core.graph import RATED_BY, SIDE_A, build_graph
from core.importers import read
from db.campaigns import Campaigns
from db.datasets import Datasets
from db.people import People
from db.preferences import PreferenceStore
from db.runs import TrainingRuns
from db.tallies import tally
from tests.db.worlds import asked, at_once, world
from tests.planted import HashEncoder

STEPS = 200


def test_twenty_people_rating_while_a_run_writes_its_progress_lose_nothing(store, database):
    store.add_bundle(world(queries=5))
    users = [People(database).sign_in(f"user {i}").name for i in range(20)]
    runs = TrainingRuns(database, 30)
    run = runs.request({}, "Ada")
    claimed = runs.claim("worker")
    assert claimed is not None and claimed.id == run.id
    rated = Event()
    failures: list[Exception] = []

    def train():
        step = 0
        while not rated.is_set() or step < STEPS:
            try:
                runs.progress(run.id, "worker", "training", step, STEPS, 0.5, 0.6)
            except Exception as error:  # noqa: BLE001  the test looks at it
                failures.append(error)
                return
            step += 1

    def rate_all(i):
        return [
            store.record(users[i], asked(store, users[i]).token, Outcome.A, minimum_dwell=0).status for _ in range(5)
        ]

    training = Thread(target=train)
    training.start()
    results = at_once(20, rate_all)
    rated.set()
    training.join()
    assert failures == []
    assert results == [["saved"] * 5] * 20
    assert len(store.snapshot()) == 100 and len(runs.curve(run.id)) >= STEPS


def test_a_rating_counts_on_the_leaderboard_in_the_export_and_as_an_edge_of_the_graph(store, ada, database, tmp_path):
    before = int(tally(database).count.sum())
    pair = asked(store, ada)
    store.record(ada, pair.token, Outcome.B, minimum_dwell=0)
    assert int(tally(database).count.sum()) == before + 1
    path = tmp_path / "all.jsonl"
    Datasets(database).export(path, keep_names=True)
    (exported,) = read(Path(path)).comparisons
    assert (exported.llm_a, exported.llm_b) == (pair.response_a.llm_id, pair.response_b.llm_id)
    assert exported.outcome is Outcome.B
    snapshot = store.snapshot()
    data = build_graph(snapshot, HashEncoder()).data
    assert data[RATED_BY].edge_index.shape[1] == 1 and data[RATED_BY].label.tolist() == [0.0]
    assert snapshot.llms[int(data[SIDE_A].edge_index[0, 0])].llm_id == pair.response_a.llm_id


def test_a_choice_among_four_is_three_edges_and_three_rows_of_the_export(database, clock, tmp_path):
    store = PreferenceStore(database, clock)
    store.add_bundle(world(queries=1, llms=4))
    Campaigns(database, clock).edit("Everything", "test", kind=Kind.BEST, options=4)
    ada = People(database, clock).sign_in("Ada").name
    store.record_choice(ada, asked(store, ada).token, 1, minimum_dwell=0)
    path = tmp_path / "all.jsonl"
    assert Datasets(database).export(path).report.rows == 3
    assert build_graph(store.snapshot(), HashEncoder()).data[RATED_BY].edge_index.shape[1] == 3
