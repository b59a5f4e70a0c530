"""Two published versions compared by a worker."""

import pytest

from core.dataset import PreferenceDataset
from core.errors import InvalidInput
from core.routers import router_class
from core.routers.vectors import EncodedOnce
from core.settings import Settings
from db.comparisons import COMPARISON, changes_of, latest_comparison, pair
from db.demo import demo_bundle
from db.engine import Database
from db.models import RunStatus
from db.preferences import PreferenceStore
from db.routers import RouterRegistry
from db.runs import Run, TrainingRuns
from db.worker import Worker
from tests.planted import HashEncoder


@pytest.fixture(scope="module")
def artifacts() -> dict[str, bytes]:
    world = demo_bundle()
    ratings = PreferenceDataset.from_comparisons(world.comparisons, world.queries, world.llms)
    kinds = ("bradley_terry", "user_best")
    return {kind: router_class(kind).fit(ratings, ratings, HashEncoder()).to_bytes() for kind in kinds}


def work(database: Database) -> Run:
    """The queued run, executed to its end."""
    ended = Worker(database, EncodedOnce(HashEncoder()), Settings(_env_file=None)).run_once()  # type: ignore[call-arg]
    assert ended is not None
    return ended


def test_a_comparison_names_the_users_whose_pick_changes(database, artifacts):
    PreferenceStore(database).add_bundle(demo_bundle())
    registry, runs = RouterRegistry(database), TrainingRuns(database, 30)
    one, two = (registry.publish(kind, data, {}).id for kind, data in artifacts.items())
    runs.request(pair(one, two), by="Ada", kind=COMPARISON)
    ended = work(database)
    assert ended.status == RunStatus.DONE, ended.error
    assert runs.latest() == [] and latest_comparison(runs.latest(5, COMPARISON), one, two) == ended
    assert latest_comparison(runs.latest(5, COMPARISON), two, one) is None
    found = changes_of(database, ended)
    assert (found.before, found.after, found.users) == (one, two, 60)
    assert 0 < len(found.table) <= 60 and (found.table["changed"] <= found.table["queries"]).all()
    assert all(name not in str(ended.report) for name in found.table["user"])  # who leaves is gone from it


def test_a_version_is_not_compared_with_itself_and_one_that_is_missing_is_said(database):
    with pytest.raises(InvalidInput, match="two different versions"):
        pair(1, 1)
    PreferenceStore(database).add_bundle(demo_bundle())
    TrainingRuns(database, 30).request(pair(1, 2), by="Ada", kind=COMPARISON)
    ended = work(database)
    assert ended.status == RunStatus.FAILED and "no router version 1" in str(ended.error)
