"""What is here, by where it came from."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import case, func, select

from db.demo import SOURCE as DEMO
from db.engine import Database
from db.events import APP, in_force_of_all
from db.models import ComparisonRow, LLMRow, QueryRow, ResponseRow, UserRow
from db.removal import ANONYMISED


@dataclass(frozen=True, slots=True)
class Source:
    """What one file, the demo world, or people here brought. Ratings are those in force."""

    name: str
    ratings: int
    users: int
    simulated: int
    queries: int
    responses: int
    llms: int

    @property
    def removable(self) -> bool:
        """Whether it can be taken out as one: people's own work cannot."""
        return self.name not in (APP, ANONYMISED)

    @property
    def label(self) -> str:
        """What to call it on a page."""
        own = {APP: "Given here", ANONYMISED: "People who left", DEMO: "Demo world (simulated users)"}
        return own.get(self.name, self.name)


def sources(database: Database) -> list[Source]:
    """Every source that brought something, by name, what was rated here first."""
    counted: dict[str, Any] = {
        "ratings": select(ComparisonRow.source, func.count()).where(in_force_of_all()).group_by(ComparisonRow.source),
        "users": select(UserRow.source, func.count()).group_by(UserRow.source),
        "simulated": select(UserRow.source, func.sum(case((UserRow.simulated, 1), else_=0))).group_by(UserRow.source),
        "queries": select(QueryRow.source, func.count()).group_by(QueryRow.source),
        "responses": select(ResponseRow.source, func.count()).group_by(ResponseRow.source),
        "llms": select(LLMRow.source, func.count()).group_by(LLMRow.source),
    }
    found: dict[str, dict[str, int]] = {}
    with database.read() as session:
        for kind, statement in counted.items():
            for name, count in session.execute(statement):
                found.setdefault(name, dict.fromkeys(counted, 0))[kind] = int(count)
    listed = (Source(name, **counts) for name, counts in found.items())
    return sorted(
        (source for source in listed if source.removable or source.ratings),
        key=lambda source: (source.removable, source.name),
    )
