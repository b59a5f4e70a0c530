"""A comparison run: two published versions, and the users whose pick changes between them."""

from dataclasses import dataclass
from typing import Any

import pandas as pd
from sqlalchemy import select

from core.changes import changed_picks
from core.errors import InvalidInput
from core.routers import load_router
from core.routers.vectors import EncodedOnce
from db.engine import Database
from db.execution import Execution
from db.models import LLMRow, UserRow
from db.preferences import PreferenceStore
from db.routers import RouterRegistry
from db.runs import Run

COMPARISON = "comparison"
KEPT = 20  # newest comparisons that are looked through for a pair of versions


@dataclass(frozen=True)
class Changes:
    """What version `after` changes against `before`. `users` is how many were asked about; `table` has columns user,
    queries, changed and moves, one row for every user whose pick changes on a query they rated, most changed first.
    """

    before: int
    after: int
    users: int
    table: pd.DataFrame


def pair(before: int, after: int) -> dict[str, Any]:
    """The config of a comparison run. Raises InvalidInput for a version compared with itself."""
    if before == after:
        raise InvalidInput("Choose two different versions to compare.")
    return {"before": before, "after": after}


def compare_versions(execution: Execution) -> tuple[dict[str, Any], str]:
    """The report and the fingerprint of the ratings. Users are named by their row, so that whoever leaves is gone here
    too. Raises NotFound and CorruptArtifact.
    """
    registry, encoder = RouterRegistry(execution.database), EncodedOnce(execution.encoder)
    versions = [registry.get(execution.run.config[name]) for name in ("before", "after")]
    before, after = (load_router(version.kind, registry.load(version.id), encoder) for version in versions)
    ratings = PreferenceStore(execution.database).snapshot()
    execution.encode(ratings)
    found = changed_picks(before, after, ratings, lambda done, users: execution.reach("comparing", done, users))
    with execution.database.read() as session:
        row = {user.name: user.id for user in session.execute(select(UserRow.name, UserRow.id))}
    users = len({int(user) for user in ratings.user})
    changed = [
        {"user": row[change.user], "queries": change.queries, "changed": change.changed, "moves": change.moves}
        for change in found
        if change.user in row
    ]
    return {"users": users, "changes": changed}, ratings.fingerprint()


def changes_of(database: Database, run: Run) -> Changes:
    """The result of a comparison that is done, with the names as they are now; who has left is left out."""
    report = run.report or {"users": 0, "changes": []}
    with database.read() as session:
        users = {user.id: user.name for user in session.execute(select(UserRow.id, UserRow.name))}
        llms = {key: name or key for key, name in session.execute(select(LLMRow.key, LLMRow.name))}
    rows = [
        (users[row["user"]], row["queries"], row["changed"],
         ", ".join(f"{llms.get(a, a)} → {llms.get(b, b)} ({n})" for a, b, n in row["moves"]))
        for row in report["changes"] if row["user"] in users
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["user", "queries", "changed", "moves"])
    return Changes(run.config["before"], run.config["after"], report["users"], table)


def latest_comparison(runs: list[Run], before: int, after: int) -> Run | None:
    """The newest of some runs that compares these two versions."""
    return next((run for run in runs if dict(run.config) == {"before": before, "after": after}), None)
