"""Who is here: people, their browsers, and what was done by whom."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from db.base import NEVER_REUSED, Base, Digest, Id, Name, Source


class Role(StrEnum):
    """What a person may do; each role includes those before it."""

    VIEWER = "viewer"
    RATER = "rater"
    ANALYST = "analyst"
    ADMIN = "admin"

    def includes(self, other: "Role") -> bool:
        """Whether this role may do all that the other may."""
        order = list(Role)
        return order.index(self) >= order.index(other)


class UserRow(Base):
    """Who rates. `source` is "app" for people who signed in, "demo" or "arena:<file>" for those a file brought."""

    __tablename__ = "users"
    __table_args__ = (NEVER_REUSED,)

    id: Mapped[Id]
    name: Mapped[Name] = mapped_column(unique=True)
    role: Mapped[Role] = mapped_column(default=Role.RATER)
    simulated: Mapped[bool] = mapped_column(default=False)
    source: Mapped[Source] = mapped_column(index=True)
    created_at: Mapped[datetime]
    last_seen_at: Mapped[datetime | None]


class BrowserSessionRow(Base):
    """The sign-in of one browser; only the hash of its cookie is kept, so the table opens no door."""

    __tablename__ = "browser_sessions"

    token_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    created_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]


class AuditEventRow(Base):
    """Who did what to which thing."""

    __tablename__ = "audit_events"
    __table_args__ = (Index(None, "action", "at"), NEVER_REUSED)

    id: Mapped[Id]
    at: Mapped[datetime]
    actor: Mapped[Name]
    action: Mapped[Name]
    subject: Mapped[str]
    detail: Mapped[dict[str, Any]]


class InviteRow(Base):
    """A link that lets people in; only its hash is kept. With `user_id` it signs that person in on another browser."""

    __tablename__ = "invites"
    __table_args__ = (CheckConstraint("uses_left >= 0", name="uses_left"), NEVER_REUSED)

    id: Mapped[Id]
    token_hash: Mapped[Digest] = mapped_column(unique=True)
    role: Mapped[Role]
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"), index=True)
    uses_left: Mapped[int]
    created_by: Mapped[Name]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]


class ProfileRow(Base):
    """What a person said of themselves, or that they would not: then every answer is null."""

    __tablename__ = "profiles"

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), primary_key=True, autoincrement=False)
    mostly_for: Mapped[str | None] = mapped_column(String(60))
    how_often: Mapped[str | None] = mapped_column(String(60))
    likes_answers: Mapped[str | None] = mapped_column(String(60))
    answered_at: Mapped[datetime]


class ConsentRow(Base):
    """That a person agreed to a version of the consent text, and when they took it back."""

    __tablename__ = "consents"

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    agreed_at: Mapped[datetime]
    withdrawn_at: Mapped[datetime | None]
