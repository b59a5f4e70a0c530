"""A file as rows, whatever its suffix: one batch or line in memory at a time, under limits that no bomb passes."""

import gzip
import json
import re
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from core.errors import UnreadableFile

SUFFIXES = (".parquet", ".jsonl", ".jsonl.gz", ".json", ".csv")
MAX_LINE = 10_000_000  # bytes of one JSONL row
MAX_TEXT_BYTES = 2 * 1024**3  # of a whole file, decompressed
MAX_JSON_BYTES = 256 * 1024**2  # a .json list has to be in memory as text
MAX_ROWS = 2_000_000
MAX_BLANK = 100_000  # empty lines of JSONL: no rows, but a bomb of them takes its time
BOMB_RATIO, BOMB_FLOOR = 200, 50_000_000
TOLD_EVERY = 500  # rows between two words about progress
_PEEK = 1_000


@dataclass(frozen=True, slots=True)
class Refused:
    """Stands where a row, or an object within one, could not be read."""

    reason: str


def unreadable(what: str, remedy: str) -> UnreadableFile:
    """The one shape of the message: what happened, that nothing was stored, what to do."""
    return UnreadableFile(f"{what}, so nothing was stored: {remedy}.")


@dataclass(frozen=True, slots=True)
class Table:
    """One file of rows, its columns called as an importer knows them.

    `mapping` says which column of the file stands for a name; `on_rows` is told now and then how many were read.
    """

    path: Path
    mapping: Mapping[str, str] = field(default_factory=dict)
    on_rows: Callable[[int], None] | None = None

    @property
    def name(self) -> str:
        """The file's name without its folders."""
        return self.path.name

    def columns(self) -> frozenset[str]:
        """What the columns are called; of JSON rows, those of the first 1,000 objects. Raises UnreadableFile."""
        present = file_columns(self.path)
        if absent := set(self.mapping.values()) - present:
            raise unreadable(f"The file lacks the column {quoted(absent)}", "choose another one for it")
        return (present - set(self.mapping.values())) | self.mapping.keys()

    def rows(self, required: Collection[str], optional: Collection[str] = ()) -> Iterator[tuple[int, object]]:
        """Each row as (number from 1, value): a dict with what it has of these columns, `Refused`, or other JSON.

        In JSONL the number is that of the line; blank lines are no rows. At most one batch or line is held at a time
        (of a .json list its text). Raises UnreadableFile, also midway: use nothing of what came before.
        """
        if lacking := set(required) - self.columns():
            raise unreadable(f"The file lacks the column {quoted(lacking)}", "add it, or choose another format")
        wanted = {*required, *optional}
        origin = {name: self.mapping.get(name, name) for name in wanted}
        for count, (number, value) in enumerate(_values(self.path, set(origin.values())), 1):
            if count > MAX_ROWS:
                raise unreadable(f"The file has more than {MAX_ROWS:,} rows", "split it and import the parts")
            if self.on_rows and count % TOLD_EVERY == 0:
                self.on_rows(count)
            if self.mapping and isinstance(value, dict):
                yield number, {name: value[there] for name, there in origin.items() if there in value}
            else:
                yield number, value

    def beside(self, stem: str) -> "Table | None":
        """The file of this name in the same folder, whatever its suffix; None where there is none."""
        names = (self.path.with_name(stem + suffix) for suffix in SUFFIXES)
        return next((Table(path, on_rows=self.on_rows) for path in names if path.is_file()), None)

    def needed(self, stem: str) -> "Table":
        """The file of this name in the same folder. Raises UnreadableFile."""
        found = self.beside(stem)
        if found is None:
            raise unreadable(f"'{self.name[:60]}' refers to a file '{stem}' that is not beside it", "add it")
        return found


def file_columns(path: Path) -> frozenset[str]:
    """What the file itself calls its columns. Raises UnreadableFile."""
    if suffix_of(path) == ".parquet":
        with _parquet_file(path) as file:
            names, empty = file.schema_arrow.names, not file.metadata.num_rows
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise unreadable(f"The file has more than one column {quoted(twice)}", "keep one of them and try again")
    else:
        first = next(values := _values(path, ()), None)
        objects = (value for _, value in chain([first] if first else [], values) if isinstance(value, dict))
        names, empty = [name for value in islice(objects, _PEEK) for name in value], first is None
    if empty:
        raise unreadable("The file has no rows", "check that it was written completely")
    return frozenset(names)


def quoted(names: Collection[str]) -> str:
    """Names of columns as they stand in a message."""
    return ", ".join(repr(name[:60]) for name in sorted(names))


def suffix_of(path: Path) -> str:
    """The suffix of a file that can be opened. Raises UnreadableFile for anything else."""
    suffix = next((known for known in SUFFIXES if path.name.lower().endswith(known)), None)
    try:
        if not path.exists():
            raise unreadable("The file does not exist", "check its name")
        if not path.is_file():
            raise unreadable("This is a folder or a device and not a file", "choose a file in it")
        if suffix is None:
            raise unreadable("The file's name ends in no known suffix", f"use one of {', '.join(SUFFIXES)}")
        if not path.stat().st_size:
            raise unreadable("The file is empty", "check that it was written completely")
        path.open("rb").close()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise unreadable("The file cannot be opened", "check its name and who may read it") from error
    return suffix


def _values(path: Path, wanted: Collection[str]) -> Iterator[tuple[int, object]]:
    match suffix_of(path):
        case ".parquet":
            return enumerate(_parquet(path, wanted), 1)
        case ".json":
            return enumerate(_json_list(path), 1)
        case ".csv":
            from core.importers import csv_rows

            return csv_rows.values(path, wanted)
        case _:
            return _json_lines(path)


@contextmanager
def _parquet_file(path: Path) -> Iterator[pq.ParquetFile]:
    try:
        with pq.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False) as file:
            yield file
    except (pa.ArrowException, OSError, ValueError) as error:
        raise unreadable("The file is not parquet, or is truncated or damaged", "fetch or write it again") from error


def _parquet(path: Path, wanted: Collection[str]) -> Iterator[object]:
    size = 0
    with _parquet_file(path) as file:
        names = [name for name in file.schema_arrow.names if name in wanted]
        for batch in file.iter_batches(_batch_rows(file.metadata), columns=names, use_threads=False):
            size += batch.nbytes
            _refuse_bomb(size)
            yield from _batch(batch)


def _batch_rows(metadata: Any) -> int:
    # Dictionary pages let a few kilobytes put one huge text into every row: a batch may need rows x group bytes.
    # Ask the metadata for nothing about columns: pyarrow 26 ends the whole process there when the footer is damaged.
    group = max((metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups)), default=0)
    _refuse_bomb(group)
    return max(1, min(64, 128 * 1024**2 // max(group, 1)))


def _batch(batch: pa.RecordBatch) -> list[object]:
    try:
        return list(batch.to_pylist())
    except (ValueError, OverflowError) as error:  # text that is not UTF-8, a time out of range: find the row it is in
        if batch.num_rows == 1:
            return [Refused(f"The row holds a value that cannot be read ({type(error).__name__}).")]
        return [value for i in range(batch.num_rows) for value in _batch(batch.slice(i, 1))]


def _refuse_bomb(size: int, packed: int | None = None) -> None:
    if size > MAX_TEXT_BYTES:
        raise unreadable("The file holds more than 2 GiB of text", "split it and import the parts")
    if packed is not None and size > max(BOMB_FLOOR, packed * BOMB_RATIO):
        raise unreadable(f"The file unpacks to over {BOMB_RATIO} times its size", "unpack it first if you trust it")


def _json_list(path: Path) -> Iterator[object]:
    if path.stat().st_size > MAX_JSON_BYTES:
        raise unreadable("The .json file is larger than 256 MiB", "write it as .jsonl, one row a line")
    text = _utf8(path.read_bytes().removeprefix(b"\xef\xbb\xbf"), "The file")
    decoder = json.JSONDecoder(object_pairs_hook=_object)
    between, opening = re.compile(r"\s*(,\s*|(?=\]))"), re.match(r"\s*\[\s*", text)
    if not opening:
        raise unreadable("The .json file does not hold a list of rows", "write the rows as one JSON list, or as .jsonl")
    position, count = opening.end(), 0
    try:
        while not text.startswith("]", position):
            value, position = decoder.raw_decode(text, position)
            count += 1
            yield value
            if not (gap := between.match(text, position)):
                raise ValueError("no comma")
            position = gap.end()
        if text[position + 1 :].strip():
            raise ValueError("text after the list")
    except (ValueError, RecursionError) as error:
        raise unreadable(f"The list is truncated or invalid after row {count}", "fetch or write it again") from error


def _json_lines(path: Path) -> Iterator[tuple[int, object]]:
    readable, first, blank = False, "", 0
    for number, line in _lines(path):
        if not line.strip():
            blank += 1
            if blank > MAX_BLANK:
                raise unreadable(f"The file has more than {MAX_BLANK:,} empty lines", "remove them")
            continue
        value = _parsed(line, number)
        if isinstance(value, Refused):
            first = first or f" ({value.reason.rstrip('.')})"
        else:
            readable = True
        yield number, value
    if not readable:
        raise unreadable(f"No line of the file is a JSON row{first}", "write one JSON object a line")


def _parsed(line: bytes, number: int) -> object:
    if len(line) > MAX_LINE and not line.endswith(b"\n"):
        return Refused(f"Line {number} is longer than {MAX_LINE // 1_000_000} MB.")
    try:
        return json.loads(_utf8(line.rstrip(), f"Line {number}"), object_pairs_hook=_object)
    except RecursionError:
        return Refused(f"Line {number} is nested too deeply.")
    except json.JSONDecodeError as error:
        why = f"{error.msg.removesuffix(' at')} at character {error.pos + 1}"
        return Refused(f"Line {number} is not valid JSON: {why}.")
    except ValueError:
        return Refused(f"Line {number} holds a number that is too long.")


def _object(pairs: list[tuple[str, object]]) -> dict[str, object] | Refused:
    value = dict(pairs)
    if len(value) < len(pairs):
        names = [name for name, _ in pairs]
        return Refused(f"An object names {quoted({name for name in names if names.count(name) > 1})} more than once.")
    return value


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Each line with its number. One over MAX_LINE comes cut, without its end; the rest of it is passed over."""
    zipped = path.name.lower().endswith(".gz")
    packed, size, number, inside = path.stat().st_size, 0, 0, False
    try:
        with gzip.open(path) if zipped else path.open("rb") as stream:
            while piece := stream.readline(MAX_LINE + 1):
                size += len(piece)
                _refuse_bomb(size, packed if zipped else None)
                if not inside:
                    number += 1
                    yield number, piece.removeprefix(b"\xef\xbb\xbf") if number == 1 else piece
                inside = not piece.endswith(b"\n")
    except (EOFError, OSError, zlib.error) as error:
        raise unreadable("The file is truncated, damaged or not gzip", "fetch or write it again") from error


def _utf8(data: bytes, what: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise unreadable(f"{what} is not UTF-8 text", "save the file in the encoding UTF-8") from error
