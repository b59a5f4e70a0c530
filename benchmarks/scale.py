"""The pages at size: a planted world of simulated users in a database, a router in service, every page in Chromium."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from benchmarks.report import progress, show_table, write_json
from benchmarks.visits import Visit, visits
from core.domain import LLM, Bundle, Comparison, LLMId, Query, QueryId, Response, ResponseId, Task
from core.encoders import SentenceEncoder
from core.evaluation import predict_pairs, standings
from core.routers import router_class
from core.routers.bradley_terry import BradleyTerryRouter
from core.routers.vectors import EncodedOnce
from core.simulation import Habits, planted_tastes
from db.demo import demo_bundle
from db.embeddings import CachedEncoder
from db.engine import Database
from db.health import back_up
from db.preferences import PreferenceStore
from db.reports import counts
from db.routers import RouterRegistry

LLMS, DAYS = 10, 90
FITTED = 500  # users whose ratings the router is fitted to: how fast it serves does not depend on how well it knows
GOALS = {"planted": 3.0, "given": 2.0}  # seconds until a page is painted


@dataclass(frozen=True)
class Plan:
    """How large the planted world is, which kind of router serves in it, and where it is kept (None: nowhere)."""

    users: int = 5_000
    ratings: int = 40
    queries: int = 1_000
    router: str = "ladder"
    keep: Path | None = None


def scale(plan: Plan, url: str, out: Path | None) -> bool:
    """Measure the planted world of `plan`, or the database at `url` where one is given; whether every page is within
    its goal. A given SQLite file is copied and stays as it is; on PostgreSQL a person named Benchmark signs in.
    """
    with tempfile.TemporaryDirectory() as folder:
        with _opened(plan, url, Path(folder)) as database:
            address = database.address.render_as_string(hide_password=False)
            size, active = counts(database), RouterRegistry(database).active()
        rounds = visits(address)
    goal = GOALS["given" if url else "planted"]
    late = sorted({visit.page for found in rounds for visit in found if visit.seconds >= goal})
    head = ("page", "painted s", "CPU s", "statements", "rows", "peak MB")
    for title, found in zip(("First visits, caches empty", "Once more"), rounds, strict=True):
        show_table(title, head, [_row(visit) for visit in found])
    print(f"\nover {goal:g} s: {', '.join(late) or 'none'}")
    world = {"users": size.users, "simulated": size.simulated, "ratings": size.ratings, "queries": size.queries,
             "llms": size.llms, "router": active.kind if active else None, "simulation": not url}  # fmt: skip
    write_json(out, {
        "world": world, "goal_s": goal, "late": late, "first": [visit.to_dict() for visit in rounds[0]],
        "again": [visit.to_dict() for visit in rounds[1]],
    })  # fmt: skip
    return not late


def _row(visit: Visit) -> tuple[str, ...]:
    return (
        visit.page, f"{visit.seconds:.2f}", f"{visit.cpu_s:.2f}", str(visit.statements), f"{visit.rows:,}",
        f"{visit.peak_mb:,.0f}",
    )  # fmt: skip


@contextmanager
def _opened(plan: Plan, url: str, folder: Path) -> Iterator[Database]:
    given = Database.open(url) if url else None
    if given is not None and given.dialect == "sqlite":
        copy = folder / "copy.db"
        back_up(given, copy, by="benchmark")
        given.dispose()
        given = Database.open(f"sqlite:///{copy}")
    database = given or Database.open(f"sqlite:///{plan.keep or folder / 'planted.db'}")
    try:
        if given is None:
            place(database, plan)
        yield database
    finally:
        database.dispose()


def place(database: Database, plan: Plan) -> None:
    """Fill an empty database: the planted world and a router fitted to it, in service with its figures on held-out
    ratings.
    """
    progress(f"planting {plan.users:,} simulated users with {plan.ratings} ratings each")
    PreferenceStore(database).add_bundle(planted(plan))
    serve(database, plan.router)


def serve(database: Database, kind: str) -> None:
    """Fit a router to the ratings there are and put it in service."""
    store = PreferenceStore(database)
    encoder = EncodedOnce(CachedEncoder(SentenceEncoder(), database))
    ratings = store.snapshot()
    ratings = ratings.where(ratings.user < FITTED)
    fitting, validation, test = ratings.split("query", (0.7, 0.1, 0.2))
    progress(f"fitting {kind} to {len(fitting):,} ratings")
    router = router_class(kind).fit(fitting, validation, encoder, seed=0)
    population = BradleyTerryRouter.fit(fitting, validation, encoder)
    measured = {each.kind: predict_pairs(each, test, fitting) for each in (router, population)}
    card = {
        "standings": [standing.to_dict() for standing in standings(measured, "bradley_terry")],
        "ratings": {"train": len(fitting), "validation": len(validation), "test": len(test)},
        "kind": router.kind, "encoder": encoder.id, "llms": list(router.llms),
    }  # fmt: skip
    registry = RouterRegistry(database)
    registry.activate(registry.publish(router.kind, router.to_bytes(), card).id, "benchmark", "scale")


def planted(plan: Plan) -> Bundle:
    """Simulated users with planted tastes; words are the demo world's, in another order for every query and LLM."""
    words = [word for query in demo_bundle().queries for word in query.text.split()]
    random = np.random.default_rng(0)
    tasks = tuple(Task(f"Planted task {i + 1}") for i in range(8))
    llms = tuple(
        LLM(LLMId(f"planted-{i}"), f"Planted LLM {i}", "planted", f"A planted LLM, number {i}.", 0.1, 0.2 * (i + 1))
        for i in range(1, LLMS + 1)
    )  # fmt: skip
    queries = tuple(
        Query(QueryId(f"planted-{i:05}"), (f"{_said(words, random, 20)} {i}",), tasks[i % len(tasks)].name)
        for i in range(plan.queries)
    )
    responses = {
        (query.query_id, llm.llm_id): Response(query.query_id, llm.llm_id, (f"{_said(words, random, 60)} {llm.name}",))
        for query in queries for llm in llms
    }  # fmt: skip
    world = planted_tastes(queries, llms, users=plan.users, habits=Habits(plan.ratings), seed=0)
    ids = {key: response.response_id for key, response in responses.items()}
    began = datetime(2026, 1, 1, tzinfo=UTC)
    said = tuple(
        _placed(rating, ids, began + timedelta(days=int(day)))
        for rating, day in zip(world.comparisons(), random.integers(DAYS, size=len(world.dataset)), strict=True)
    )
    return Bundle("planted (simulated)", world.users, tasks, llms, queries, tuple(responses.values()), said)


def _placed(rating: Comparison, ids: dict[tuple[QueryId, LLMId], ResponseId], at: datetime) -> Comparison:
    a, b = (ids[rating.query_id, llm] for llm in (rating.llm_a, rating.llm_b))
    return replace(rating, response_a=a, response_b=b, rated_at=at)


def _said(words: list[str], random: np.random.Generator, n: int) -> str:
    return " ".join(words[i] for i in random.integers(len(words), size=n))
