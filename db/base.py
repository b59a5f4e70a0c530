"""What every table is made of: names of constraints, types of columns, and inserts that leave present rows alone."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum
from itertools import islice
from typing import Annotated, Any, ClassVar, TypeVar, cast

from sqlalchemy import JSON, DateTime, Dialect, Index, MetaData, String, Table, Text, TypeDecorator, text
from sqlalchemy import Enum as EnumColumn
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import DeclarativeBase, Session, mapped_column
from sqlalchemy.sql.dml import Insert

T = TypeVar("T")

BATCH = 500  # parameters or rows per statement: below the limits of both databases, above what a round trip costs

# Named, because a constraint without a name cannot be changed by a later migration.
NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


def utc_now() -> datetime:
    """The clock of every store unless a test gives another."""
    return datetime.now(UTC)


class UTCDateTime(TypeDecorator[datetime]):
    """A moment. Refuses naive datetimes and gives UTC-aware ones back, on SQLite too, which stores no zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"A moment without a time zone cannot be stored: {value!r}")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


# By value, not by Python name: what is stored is what exports and SQL consoles show. CHECK instead of a native type, so
# that both databases hold the same, and a new value is one migration of a constraint.
_ENUM = EnumColumn(
    Enum,
    native_enum=False,
    create_constraint=True,
    validate_strings=True,
    length=16,
    values_callable=lambda kind: [member.value for member in kind],
)

# SQLite gives the number of a deleted last row to the next one unless told not to; ids that were shown or trained on
# must stay unique.
NEVER_REUSED = {"sqlite_autoincrement": True}

Id = Annotated[int, mapped_column(primary_key=True)]
Name = Annotated[str, mapped_column(String(120))]
Source = Annotated[str, mapped_column(String(300))]
Digest = Annotated[str, mapped_column(String(64))]


class Base(DeclarativeBase):
    """Every table. Integer keys inside; what people and files call a thing is a unique `key` or `name`."""

    metadata = MetaData(naming_convention=NAMES)
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: UTCDateTime,
        str: Text,
        Enum: _ENUM,
        list[str]: JSON,
        dict[str, Any]: JSON,
        dict[str, float]: JSON,
    }


def index_where(name: str | None, *columns: str, where: str, unique: bool = False) -> Index:
    """An index of the rows that meet a condition which both databases read alike."""
    condition = text(where)
    return Index(name, *columns, unique=unique, sqlite_where=condition, postgresql_where=condition)


def table(row: type["Base"]) -> Table:
    """The table of a row, for statements that load no object: objects cost several times what the SQL does."""
    return cast("Table", row.__table__)


def insert_missing(session: Session, table: type["Base"]) -> Insert:
    """INSERT that leaves a row alone whose unique key is there. Each dialect has its own ON CONFLICT DO NOTHING."""
    if session.get_bind().dialect.name == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing()
    return sqlite.insert(table).on_conflict_do_nothing()


def insert_all(session: Session, table: type["Base"], rows: Iterable[Mapping[str, Any]]) -> None:
    """Add rows that are not there, leave the others alone, a batch at a time."""
    statement = insert_missing(session, table)
    for part in parts(rows):
        session.execute(statement, [dict(row) for row in part])


def parts(values: Iterable[T]) -> Iterator[Sequence[T]]:
    """The values in lists small enough for one statement."""
    rest = iter(values)
    while part := list(islice(rest, BATCH)):
        yield part
