"""What is rated: tasks, queries, LLMs, their responses, and the vectors of texts."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, LargeBinary, text
from sqlalchemy.orm import Mapped, mapped_column

from db.base import NEVER_REUSED, Base, Digest, Id, Name, Source


class TaskRow(Base):
    """A family of queries."""

    __tablename__ = "tasks"

    id: Mapped[Id]
    name: Mapped[Name] = mapped_column(unique=True)
    description: Mapped[str] = mapped_column(default="")


class LLMRow(Base):
    """A candidate language model."""

    __tablename__ = "llms"
    __table_args__ = (NEVER_REUSED,)

    id: Mapped[Id]
    key: Mapped[Name] = mapped_column(unique=True)
    name: Mapped[str] = mapped_column(default="")
    family: Mapped[str] = mapped_column(default="")
    description: Mapped[str] = mapped_column(default="")
    input_price: Mapped[float | None]
    output_price: Mapped[float | None]
    endpoint: Mapped[str] = mapped_column(default="")
    source: Mapped[Source]
    created_at: Mapped[datetime]


class QueryRow(Base):
    """A prompt. `rateable`: two LLMs answered it differently; kept here so that a draw never aggregates responses."""

    __tablename__ = "queries"
    __table_args__ = (
        Index("ix_queries_rateable", "id", sqlite_where=text("rateable = 1"), postgresql_where=text("rateable")),
        NEVER_REUSED,
    )

    id: Mapped[Id]
    key: Mapped[Name] = mapped_column(unique=True)
    task_id: Mapped[int | None] = mapped_column(ForeignKey("tasks.id"), index=True)
    turns: Mapped[list[str]]
    rateable: Mapped[bool] = mapped_column(default=False)
    source: Mapped[Source] = mapped_column(index=True)
    created_at: Mapped[datetime]


class ResponseRow(Base):
    """One LLM's reply. `text_hash` is of the judged reply without outer white space: equal hash, nothing to choose.

    `self_named` holds the words in which it says which LLM wrote it, and is empty where it does not. `traits` is what
    can be counted in the judged reply (`core.traits.TRAITS`, float32, little endian); None where it has no words, or
    was stored by a release that did not count (`db.response_traits` counts it then).
    """

    __tablename__ = "responses"
    __table_args__ = (Index(None, "query_id", "llm_id"), NEVER_REUSED)

    id: Mapped[Id]
    key: Mapped[Name] = mapped_column(unique=True)
    query_id: Mapped[int] = mapped_column(ForeignKey("queries.id"))
    llm_id: Mapped[int] = mapped_column(ForeignKey("llms.id"), index=True)
    turns: Mapped[list[str]]
    text_hash: Mapped[Digest]
    self_named: Mapped[Name] = mapped_column(default="", server_default="")
    traits: Mapped[bytes | None] = mapped_column(LargeBinary)
    source: Mapped[Source] = mapped_column(index=True)
    created_at: Mapped[datetime]


class TextEmbeddingRow(Base):
    """A text's vector under one encoder: float32, little endian."""

    __tablename__ = "text_embeddings"

    text_hash: Mapped[Digest] = mapped_column(primary_key=True)
    encoder_id: Mapped[Source] = mapped_column(primary_key=True)
    dim: Mapped[int]
    vector: Mapped[bytes] = mapped_column(LargeBinary)
