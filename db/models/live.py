"""What programs use: the keys of the endpoint, and every call to a provider that cost something."""

from datetime import datetime

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from db.base import NEVER_REUSED, Base, Digest, Id, Name


class ApiKeyRow(Base):
    """A program's key. Only its hash is kept, so the table opens no door; `hint` is its first characters."""

    __tablename__ = "api_keys"
    __table_args__ = (NEVER_REUSED,)

    id: Mapped[Id]
    name: Mapped[Name] = mapped_column(unique=True)
    key_hash: Mapped[Digest] = mapped_column(unique=True)
    hint: Mapped[Name]
    scopes: Mapped[list[str]]
    per_minute: Mapped[int]
    created_by: Mapped[Name]
    created_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]


class ProviderCallRow(Base):
    """One answer of a provider and what it took. It names no person and holds no word of either side."""

    __tablename__ = "provider_calls"
    __table_args__ = (Index(None, "llm_key", "at"),)

    id: Mapped[Id]
    at: Mapped[datetime]
    llm_key: Mapped[Name]
    input_tokens: Mapped[int]
    output_tokens: Mapped[int]
    estimated: Mapped[bool]
    cost: Mapped[float | None]
    seconds: Mapped[float]
    finish: Mapped[Name]
