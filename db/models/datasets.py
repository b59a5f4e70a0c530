"""Datasets that were frozen, and the key under which exports hide names."""

from datetime import datetime
from typing import Any

from sqlalchemy import LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from db.base import NEVER_REUSED, Base, Digest, Id, Name


class DatasetVersionRow(Base):
    """Ratings as they stood at a moment, by a filter. The rows stay in `comparisons`; the fingerprint proves them."""

    __tablename__ = "dataset_versions"
    __table_args__ = (NEVER_REUSED,)

    id: Mapped[Id]
    name: Mapped[Name] = mapped_column(unique=True)
    note: Mapped[str] = mapped_column(default="")
    filter: Mapped[dict[str, Any]]
    upto: Mapped[datetime]
    ratings: Mapped[int]
    facts: Mapped[dict[str, Any]]
    fingerprint: Mapped[Digest] = mapped_column(index=True)
    created_by: Mapped[Name]
    created_at: Mapped[datetime]


class ExportKeyRow(Base):
    """One row: the secret that makes pseudonyms. Whoever has it can tell whose pseudonym is whose."""

    __tablename__ = "export_keys"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    key: Mapped[bytes] = mapped_column(LargeBinary)
