"""Whether personal routing is real: every page that could claim it says what the held-out ratings say.

On a planted world of two camps it is, on one where all users are of one mind it is not; and on real votes, where the
shared data are there, the pages say of personal and global routing that they cannot be told apart.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from core.domain import Bundle, User
from core.evaluation import predict_pairs, standings
from core.importers import read
from core.routers import router_class
from core.routers.bradley_terry import BradleyTerryRouter
from core.routers.vectors import EncodedOnce
from core.settings import Settings
from db.engine import Database
from db.evaluations import EVALUATION, of_kind
from db.models import RunStatus
from db.preferences import PreferenceStore
from db.routers import RouterRegistry
from db.runs import TrainingRuns
from db.worker import Worker
from tests.db.test_surveys import camps
from tests.pages.test_pages import words
from tests.planted import HashEncoder

Open = Callable[..., AppTest]
KIND = "user_task_best"  # cheap, and personal
SEPARABLE = "Personal and global routing are separable"
NOT_SEPARABLE = "Personal and global routing are not separable"


def of_one_mind(bundle: Bundle) -> Bundle:
    """The same ratings with their authors dealt out anew: nobody has a taste of their own any more."""
    authors = [one.user_id for one in bundle.comparisons]
    step = 7  # shares no factor with the number of ratings
    dealt = [authors[i * step % len(authors)] for i in range(len(authors))]
    said = tuple(replace(one, user_id=user) for one, user in zip(bundle.comparisons, dealt, strict=True))
    return replace(bundle, comparisons=said)


def measured(database: Database) -> None:
    """A training and an evaluation of a cheap router, as the worker leaves them: the version serves where it is
    better.
    """
    encoder, runs, registry = EncodedOnce(HashEncoder()), TrainingRuns(database, 30), RouterRegistry(database)
    ratings = PreferenceStore(database).snapshot()
    fitting, validation, test = ratings.split("query", (0.7, 0.1, 0.2))
    routers = [
        router_class(KIND).fit(fitting, validation, encoder),
        BradleyTerryRouter.fit(fitting, validation, encoder),
    ]
    found = standings({r.kind: predict_pairs(r, test, fitting) for r in routers}, "bradley_terry")
    report = {
        "standings": [standing.to_dict() for standing in found], "config": {"epochs": 1},
        "ratings": {"train": len(fitting), "validation": len(validation), "test": len(test)},
    }  # fmt: skip
    run = runs.request({}, by="test")
    runs.claim("worker")
    version = registry.publish(KIND, routers[0].to_bytes(), {**report, "kind": KIND}, run_id=run.id)
    serves = found[0].gain.low > 0
    if serves:
        registry.activate(version.id, "test", "better")
    runs.finish(run.id, "worker", {**report, "router_version": version.id, "in_service": serves}, "fingerprint")
    runs.request(of_kind(KIND), by="test", kind=EVALUATION)
    ended = Worker(database, encoder, Settings(_env_file=None)).run_once()  # type: ignore[call-arg]
    assert ended is not None and ended.status == RunStatus.DONE, ended and ended.error


def what_the_pages_say(open_page: Open) -> dict[str, str]:
    """The words of every page that speaks of personal routing, as Ada reads them."""
    said = {name: words(open_page(name, "Ada")) for name in ("overview", "evaluation", "training")}
    app = open_page("routing", "Ada")
    said["routing"] = words(app.text_area(key="routing.typed").input("Which tree grows fastest?").run())
    said["routing of everyone"] = words(app.segmented_control(key="routing.view").select("Everyone").run())
    assert not app.exception
    return said


@pytest.mark.parametrize(("mind", "verdict"), [("two", SEPARABLE), ("one", NOT_SEPARABLE)])
def test_on_a_planted_world_the_pages_say_whether_tastes_differ(
    open_page: Open, database: Database, mind: str, verdict: str
) -> None:
    world = camps(users=40, ratings=31)
    PreferenceStore(database).add_bundle(world if mind == "two" else of_one_mind(world))
    measured(database)
    other = NOT_SEPARABLE if verdict == SEPARABLE else SEPARABLE
    for page, said in what_the_pages_say(open_page).items():
        assert verdict in said, page
        assert other not in said, page


def test_on_real_votes_the_pages_say_that_personal_routing_cannot_be_told_from_one_ranking(
    open_page: Open, database: Database, shared_data: Path
) -> None:
    PreferenceStore(database).add_bundle(read(shared_data / "mt_bench_human" / "human_judgments.parquet"))
    measured(database)
    for page, said in what_the_pages_say(open_page).items():
        assert NOT_SEPARABLE in said, page
        assert SEPARABLE not in said, page


def test_on_simulated_personas_the_pages_say_that_it_can(
    open_page: Open, database: Database, shared_data: Path
) -> None:
    everyone = read(shared_data / "personas" / "pairs.parquet")
    users = {user.user_id for user in everyone.users[:60]}
    said = tuple(one for one in everyone.comparisons if one.user_id in users)
    people = tuple(User(user, simulated=True) for user in sorted(users))
    PreferenceStore(database).add_bundle(replace(everyone, users=people, comparisons=said))
    measured(database)
    for page, said_there in what_the_pages_say(open_page).items():
        assert SEPARABLE in said_there, page
        assert NOT_SEPARABLE not in said_there, page
