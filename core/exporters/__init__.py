"""Comparisons as files for others: the registry of formats, and rows written to a file completely or not at all.

A new format is one module here with a function of `write`'s first five arguments, and one line in `EXPORTERS`.
"""

import gzip
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from io import BufferedRandom
from itertools import islice
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from core.domain import Comparison, Query, Response, User
from core.errors import InvalidInput

EXPORTERS: dict[str, str] = {
    "arena": "core.exporters.arena:write_arena"
}  # name -> module:function, imported when asked

_BATCH = 200  # rows of a parquet row group: a row may hold megabytes of text

Row = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What was written: the number of rows, and the SHA-256 of the file's bytes in hex."""

    rows: int
    sha256: str


def write(
    path: Path,
    comparisons: Iterable[Comparison],
    queries: Iterable[Query],
    responses: Iterable[Response],
    users: Iterable[User],
    format: str = "arena",
) -> ExportReport:
    """Write the comparisons in a format. Raises InvalidInput, with nothing written, where that cannot be done."""
    if format not in EXPORTERS:
        known = ", ".join(EXPORTERS)
        raise InvalidInput(f"No exporter is named '{format[:60]}', so nothing was written: choose one of {known}.")
    module, function = EXPORTERS[format].split(":")
    report: ExportReport = getattr(import_module(module), function)(path, comparisons, queries, responses, users)
    return report


def write_rows(path: Path, schema: pa.Schema, rows: Iterable[Row]) -> ExportReport:
    """Write rows as .jsonl, .jsonl.gz or .parquet, a batch at a time; equal rows give equal bytes.

    The file appears under its name when it is complete, replacing one that was there. Whatever is raised on the way,
    also by `rows`, leaves what was there untouched and nothing beside it.
    """
    writer = _writer(path)
    with _appearing(path) as stream:
        count = writer(stream, schema, rows)
        stream.flush()
        os.fsync(stream.fileno())
        stream.seek(0)
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return ExportReport(count, digest)


def _writer(path: Path) -> Callable[[BufferedRandom, pa.Schema, Iterable[Row]], int]:
    writers = {".parquet": _parquet, ".jsonl": _json_lines, ".jsonl.gz": _zipped_lines}
    for suffix, writer in writers.items():
        if path.name.lower().endswith(suffix):
            return writer
    known = ", ".join(writers)
    raise InvalidInput(f"The file's name ends in no known suffix, so nothing was written: use one of {known}.")


@contextmanager
def _appearing(path: Path) -> Iterator[BufferedRandom]:
    """A stream that becomes the file when the block ends well, and vanishes otherwise."""
    draft = path.with_name(f".{uuid4().hex}.part")  # beside it: a rename is atomic only within one file system
    try:
        with draft.open("x+b") as stream:
            yield stream
        draft.replace(path)
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise InvalidInput(f"The file cannot be written ({why}), so nothing was: choose another place.") from error
    except UnicodeEncodeError:
        raise InvalidInput("A text has a broken Unicode character, so nothing was written: remove it first.") from None
    finally:
        with suppress(OSError):  # gone already when all went well
            draft.unlink()


def _json_lines(stream: BufferedRandom | gzip.GzipFile, schema: pa.Schema, rows: Iterable[Row]) -> int:
    count = 0
    for row in rows:
        ordered = {name: row[name] for name in schema.names}
        stream.write(json.dumps(ordered, ensure_ascii=False, allow_nan=False).encode() + b"\n")
        count += 1
    return count


def _zipped_lines(stream: BufferedRandom, schema: pa.Schema, rows: Iterable[Row]) -> int:
    # no name and no time in the header, so that equal rows give equal bytes
    with gzip.GzipFile("", "wb", compresslevel=6, fileobj=stream, mtime=0) as packed:
        return _json_lines(packed, schema, rows)


def _parquet(stream: BufferedRandom, schema: pa.Schema, rows: Iterable[Row]) -> int:
    count, remaining = 0, iter(rows)
    with pq.ParquetWriter(stream, schema, compression="zstd") as writer:
        while batch := list(islice(remaining, _BATCH)):
            writer.write_batch(pa.RecordBatch.from_pylist(batch, schema))
            count += len(batch)
    return count
