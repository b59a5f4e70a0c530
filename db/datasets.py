"""Exports and frozen datasets: which ratings, as they stood when, under which names."""

import hashlib
import hmac
import json
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from core.domain import User, UserId
from core.errors import InvalidInput, NotFound
from core.exporters import exporter, write
from core.exporters.files import ExportReport
from core.exporters.material import Material
from core.exporters.selection import Counting, Selection, card
from db import snapshots
from db.audit import note
from db.base import utc_now
from db.engine import Database
from db.models import DatasetVersionRow, ExportKeyRow

_MAX_NAME = 120


@dataclass(frozen=True, slots=True)
class DatasetVersion:
    """A frozen dataset. `facts` is what was counted when it was frozen."""

    id: int
    name: str
    note: str
    selection: Selection
    upto: datetime
    ratings: int
    fingerprint: str
    created_by: str
    created_at: datetime
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Exported:
    """A file that was written, and its data card."""

    report: ExportReport
    card: Mapping[str, Any]


class Datasets:
    """The exports and frozen datasets of one database."""

    def __init__(self, database: Database, clock: Callable[[], datetime] = utc_now) -> None:
        self._database = database
        self._clock = clock

    def export(
        self, path: Path, format: str = "arena", selection: Selection | None = None, *, version: int | None = None,
        keep_names: bool = False, ties: str = "drop",
    ) -> Exported:  # fmt: skip
        """Write ratings in force, or those of a frozen version, to a file, and its card to `path` + ".card.json".

        People stand under pseudonyms unless `keep_names`; simulated users keep their names. Raises InvalidInput with
        nothing written, NotFound for an unknown version.
        """
        frozen = self.get(version) if version is not None else None
        chosen = frozen.selection if frozen else selection or Selection()
        key = None if keep_names else self._key()
        with self._database.read() as session:
            upto = frozen.upto if frozen else None
            material = _material(session, key, upto)
            counting = Counting(chosen.of(snapshots.comparisons(session, None, upto), material), material)
            report = write(path, counting, material, format, ties=ties)
        facts, columns = counting.facts(), exporter(format).COLUMNS
        described = card(
            path.name, format, report, chosen, facts, columns, pseudonymous=not keep_names,
            version=frozen.name if frozen else None, now=self._clock(),
        )  # fmt: skip
        if frozen and facts["dataset_fingerprint"] != frozen.fingerprint:
            described["changed_since_frozen"] = (
                f"{frozen.ratings:,} ratings were frozen and {facts['ratings']:,} are left: someone left, or a source "
                "was removed."
            )
        text = json.dumps(described, ensure_ascii=False, indent=1)
        path.with_name(path.name + ".card.json").write_text(text + "\n", encoding="utf-8")
        return Exported(report, described)

    def freeze(self, name: str, selection: Selection, by: str, remark: str = "") -> DatasetVersion:
        """Keep a name for the ratings as they stand now. Raises InvalidInput for a bad name or an empty choice."""
        name = " ".join(name.split())
        if not name or len(name) > _MAX_NAME:
            raise InvalidInput(f"A dataset version needs a name of 1 to {_MAX_NAME} characters; nothing was frozen.")
        now = self._clock()
        with self._database.read() as session:
            material = _material(session, None, now)
            counting = Counting(selection.of(snapshots.comparisons(session, None, now), material), material)
            for _ in counting:
                pass
        facts = counting.facts()
        if not facts["ratings"]:
            raise InvalidInput("No rating is chosen, so nothing was frozen.")
        row = DatasetVersionRow(
            name=name, note=remark, filter=selection.to_dict(), upto=now, ratings=facts["ratings"], facts=facts,
            fingerprint=facts["dataset_fingerprint"], created_by=by, created_at=now,
        )  # fmt: skip
        try:
            with self._database.write() as session:
                session.add(row)
                session.flush()
                note(session, now, by, "freeze_dataset", name, fingerprint=row.fingerprint)
                return _version(row)
        except IntegrityError:
            raise InvalidInput(f"A dataset version is called '{name}' already; nothing was frozen.") from None

    def of_training(self, fingerprint: str, ratings: int, run: int, by: str, upto: datetime) -> DatasetVersion:
        """The version with this fingerprint; where there is none, one is frozen for the training run."""
        statement = select(DatasetVersionRow).where(DatasetVersionRow.fingerprint == fingerprint)
        with self._database.write() as session:
            row = session.scalar(statement.order_by(DatasetVersionRow.id).limit(1))
            if row is None:
                row = DatasetVersionRow(
                    name=f"Training run {run}", filter=Selection().to_dict(), upto=upto, ratings=ratings,
                    facts={"ratings": ratings, "dataset_fingerprint": fingerprint}, fingerprint=fingerprint,
                    created_by=by, created_at=self._clock(),
                )  # fmt: skip
                session.add(row)
                session.flush()
            return _version(row)

    def versions(self) -> list[DatasetVersion]:
        """All of them, newest first."""
        with self._database.read() as session:
            return [_version(row) for row in session.scalars(select(DatasetVersionRow).order_by(-DatasetVersionRow.id))]

    def get(self, version: int) -> DatasetVersion:
        """One of them. Raises NotFound."""
        with self._database.read() as session:
            row = session.get(DatasetVersionRow, version)
        if row is None:
            raise NotFound(f"There is no dataset version {version}.")
        return _version(row)

    def _key(self) -> bytes:
        with self._database.write() as session:
            row = session.get(ExportKeyRow, 1)
            if row is None:
                row = ExportKeyRow(id=1, key=secrets.token_bytes(32))
                session.add(row)
            return row.key


def _material(session: Session, key: bytes | None, upto: datetime | None) -> Material:
    users = list(snapshots.users(session, None, upto))
    names = {} if key is None else dict(_pseudonyms(users, key))
    queries, responses = snapshots.queries(session, None, upto), snapshots.responses(session, None, upto)
    return Material.of(queries, responses, users, names)


def _pseudonyms(users: list[User], key: bytes) -> Iterator[tuple[UserId, str]]:
    """Equal names give equal pseudonyms under one key, and nothing leads back without it."""
    for user in users:
        if not user.simulated:
            yield user.user_id, f"rater-{hmac.new(key, user.user_id.encode(), hashlib.sha256).hexdigest()[:12]}"


def _version(row: DatasetVersionRow) -> DatasetVersion:
    return DatasetVersion(
        row.id, row.name, row.note, Selection.from_dict(row.filter), row.upto, row.ratings, row.fingerprint,
        row.created_by, row.created_at, row.facts,
    )  # fmt: skip
