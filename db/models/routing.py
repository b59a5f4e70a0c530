"""What was trained, what serves, and what was routed where."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from db.base import NEVER_REUSED, Base, Digest, Id, Name, index_where


class RunStatus(StrEnum):
    """The life of a training run; the first two are active, and only one run of a kind may be."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"


class TrainingRunRow(Base):
    """A training run. The row is the truth; `worker` names the process that may write to it."""

    __tablename__ = "training_runs"
    __table_args__ = (
        index_where("uq_training_runs_one_active", "kind", where="status IN ('queued', 'running')", unique=True),
        NEVER_REUSED,
    )

    id: Mapped[Id]
    kind: Mapped[Name] = mapped_column(default="training")
    status: Mapped[RunStatus] = mapped_column(default=RunStatus.QUEUED)
    config: Mapped[dict[str, Any]]
    requested_by: Mapped[Name]
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    heartbeat_at: Mapped[datetime | None]
    worker: Mapped[str | None]
    stage: Mapped[str] = mapped_column(default="")
    step: Mapped[int] = mapped_column(default=0)
    steps: Mapped[int] = mapped_column(default=0)
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    error: Mapped[str | None]
    report: Mapped[dict[str, Any] | None]
    dataset_fingerprint: Mapped[str | None]


class TrainingProgressRow(Base):
    """The losses of one step of a run; null where not finite or not measured."""

    __tablename__ = "training_progress"

    run_id: Mapped[int] = mapped_column(ForeignKey("training_runs.id"), primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    train_loss: Mapped[float | None]
    validation_loss: Mapped[float | None]


class RunLogRow(Base):
    """One line that a run's worker said."""

    __tablename__ = "run_log"

    run_id: Mapped[int] = mapped_column(ForeignKey("training_runs.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[datetime]
    text: Mapped[str]


class AutoTrainingRow(Base):
    """When to train without being asked; the latest row is in force, and nulls say never."""

    __tablename__ = "auto_training"
    __table_args__ = (NEVER_REUSED,)

    id: Mapped[Id]
    ratings: Mapped[int | None]
    hours: Mapped[int | None]
    set_by: Mapped[Name]
    set_at: Mapped[datetime]


class RouterVersionRow(Base):
    """A published router; its id is the version number people see. The bytes are fetched only when asked for."""

    __tablename__ = "router_versions"
    __table_args__ = (NEVER_REUSED,)

    id: Mapped[Id]
    kind: Mapped[Name]
    artifact: Mapped[bytes] = mapped_column(LargeBinary, deferred=True, deferred_raiseload=True)
    sha256: Mapped[Digest]
    card: Mapped[dict[str, Any]]
    run_id: Mapped[int | None] = mapped_column(ForeignKey("training_runs.id"), index=True)
    created_at: Mapped[datetime]
    note: Mapped[str] = mapped_column(default="", server_default="")
    archived_at: Mapped[datetime | None]


class RouterActivationRow(Base):
    """Which version was made to serve, by whom and why; the latest row is in force, a null version is none."""

    __tablename__ = "router_activations"
    __table_args__ = (NEVER_REUSED,)

    id: Mapped[Id]
    version_id: Mapped[int | None] = mapped_column(ForeignKey("router_versions.id"))
    rollback: Mapped[bool] = mapped_column(default=False)
    by: Mapped[Name]
    reason: Mapped[str]
    at: Mapped[datetime]


class RoutingDecisionRow(Base):
    """What was routed where, and how probably: enough to evaluate later, without the words of a query nobody stored.

    `key` names it to a program (null before there were programs). `reward` is what the person made of it: 1 liked, 0
    not, 1/2 a tie; null where they said nothing.
    """

    __tablename__ = "routing_decisions"

    id: Mapped[Id]
    key: Mapped[Name | None] = mapped_column(unique=True)
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"), index=True)
    query_key: Mapped[Name]
    query_id: Mapped[int | None] = mapped_column(ForeignKey("queries.id"), index=True)
    router_version_id: Mapped[int | None] = mapped_column(ForeignKey("router_versions.id"))
    llm_id: Mapped[int] = mapped_column(ForeignKey("llms.id"), index=True)
    probabilities: Mapped[dict[str, float]]
    propensity: Mapped[float]
    history_count: Mapped[int]
    source: Mapped[Name]
    decided_at: Mapped[datetime]
    alpha: Mapped[float | None]
    reward: Mapped[float | None]
    rewarded_at: Mapped[datetime | None]
