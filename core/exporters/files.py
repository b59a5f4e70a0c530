"""Rows written to a file completely or not at all, whatever its suffix."""

import csv
import gzip
import hashlib
import io
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BufferedRandom
from itertools import islice
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from core.errors import InvalidInput

_BATCH = 200  # rows of a parquet row group: a row may hold megabytes of text
_FORMULA = re.compile(r"'*[=+\-@\t\r]")  # what a spreadsheet would run, and what we made of it

Row = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What was written: the number of rows, and the SHA-256 of the file's bytes in hex."""

    rows: int
    sha256: str


def write_rows(path: Path, schema: pa.Schema, rows: Iterable[Row]) -> ExportReport:
    """Write rows as .jsonl, .jsonl.gz, .parquet or .csv, a batch at a time; equal rows give equal bytes.

    The file appears under its name when it is complete, replacing one that was there. Whatever is raised on the way,
    also by `rows`, leaves what was there untouched and nothing beside it.
    """
    writer = _writer(path, schema)
    with _appearing(path) as stream:
        count = writer(stream, schema, rows)
        stream.flush()
        os.fsync(stream.fileno())
        stream.seek(0)
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return ExportReport(count, digest)


def escaped(text: str) -> str:
    """A cell that no spreadsheet runs: one that begins like a formula gets an apostrophe. Importing takes it away."""
    return f"'{text}" if _FORMULA.match(text) else text


def unescaped(text: str) -> str:
    """What `escaped` was given."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


def _writer(path: Path, schema: pa.Schema) -> Callable[[BufferedRandom, pa.Schema, Iterable[Row]], int]:
    writers = {".parquet": _parquet, ".jsonl": _json_lines, ".jsonl.gz": _zipped_lines}
    if not any(pa.types.is_nested(field.type) for field in schema):  # a cell of a CSV file holds no list
        writers[".csv"] = _csv
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


def _csv(stream: BufferedRandom, schema: pa.Schema, rows: Iterable[Row]) -> int:
    count, out = 0, io.StringIO()
    writer = csv.writer(out)
    writer.writerow(schema.names)
    for row in rows:
        values = [row[name] for name in schema.names]
        writer.writerow([escaped(v) if isinstance(v, str) else _plain(v) for v in values])
        stream.write(out.getvalue().encode())
        out.seek(0)
        out.truncate()
        count += 1
    stream.write(out.getvalue().encode())  # the header of a table without rows
    return count


def _plain(value: object) -> object:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else value
