"""Which ratings go out, and what must be known of a file of them to use it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from core.dataset import fingerprint_of
from core.domain import Comparison
from core.exporters.files import ExportReport
from core.exporters.material import Material

SCHEMA_VERSION = "prefroute-export-1"


@dataclass(frozen=True, slots=True)
class Selection:
    """Ratings about one task (None: all), with or without simulated users, given in [since, until).

    A rating of unknown time is in no range that has an end.
    """

    task: str | None = None
    simulated: bool = True
    since: datetime | None = None
    until: datetime | None = None

    def of(self, comparisons: Iterable[Comparison], material: Material) -> Iterator[Comparison]:
        """Those that are wanted, in their order."""
        for c in comparisons:
            if self.task is not None and material.query(c).task != self.task:
                continue
            if not self.simulated and material.users[c.user_id].simulated:
                continue
            if self._in_time(c.rated_at):
                yield c

    def _in_time(self, moment: datetime | None) -> bool:
        if self.since is None and self.until is None:
            return True
        after = moment is not None and (self.since is None or moment >= self.since)
        return after and moment is not None and (self.until is None or moment < self.until)

    def to_dict(self) -> dict[str, Any]:
        """As JSON; `from_dict` reads it back."""
        return {k: v.isoformat() if isinstance(v, datetime) else v for k, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> "Selection":
        """What `to_dict` wrote."""
        times = {k: datetime.fromisoformat(v) for k, v in value.items() if k in ("since", "until") and v}
        return cls(value.get("task"), bool(value.get("simulated", True)), times.get("since"), times.get("until"))


class Counting:
    """Comparisons on their way out, and afterwards what they were: how many, of whom, and their fingerprint."""

    def __init__(self, comparisons: Iterable[Comparison], material: Material) -> None:
        self._comparisons, self._material = comparisons, material
        self._rows: list[tuple[str, tuple[str, ...], str, str, str]] = []

    def __iter__(self) -> Iterator[Comparison]:
        for c in self._comparisons:
            turns = self._material.query(c).turns
            self._rows.append((c.user_id, turns, c.llm_a, c.llm_b, c.outcome.value))
            yield c

    def facts(self) -> dict[str, Any]:
        """Counts, and the dataset fingerprint over the names that users have here, whatever the file calls them."""
        users = {row[0] for row in self._rows}
        simulated = sum(user.simulated for name, user in self._material.users.items() if name in users)
        return {
            "ratings": len(self._rows), "people": len(users) - simulated, "simulated_users": simulated,
            "queries": len({row[1] for row in self._rows}), "llms": sorted({m for row in self._rows for m in row[2:4]}),
            "outcomes": {o: sum(row[4] == o for row in self._rows) for o in ("a", "b", "tie", "both_bad")},
            "dataset_fingerprint": fingerprint_of(self._rows),
        }  # fmt: skip


def card(
    name: str, format: str, report: ExportReport, selection: Selection, facts: Mapping[str, Any],
    columns: Mapping[str, str], *, pseudonymous: bool, version: str | None, now: datetime | None = None,
) -> dict[str, Any]:  # fmt: skip
    """The data card that goes with a file: what it holds, of whom, chosen how, and its checksum."""
    return {
        "schema_version": SCHEMA_VERSION, "file": name, "format": format, "rows": report.rows, "sha256": report.sha256,
        "created_at": (now or datetime.now(UTC)).isoformat(timespec="seconds"), "filter": selection.to_dict(),
        "dataset_version": version, "pseudonymous": pseudonymous, **facts, "columns": dict(columns),
        "notes": [
            "Ratings of simulated users are marked so and say nothing about people.",
            "Texts are as they were shown; their licences are those of where they came from.",
            "Names of people are replaced by random ones that are the same in every export of this database."
            if pseudonymous
            else "Users stand under the names they have here. Treat the file as personal data.",
        ],
    }  # fmt: skip
