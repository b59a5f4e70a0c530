"""Rows of a CSV file, one at a time: RFC 4180 with a header line, UTF-8."""

import csv
from collections.abc import Collection, Iterator
from pathlib import Path

from core.importers.tables import MAX_LINE, MAX_TEXT_BYTES, Refused, unreadable


def values(path: Path, wanted: Collection[str]) -> Iterator[tuple[int, object]]:
    """(number from 1, the header not counted; a dict of the `wanted` columns, all of them when empty). Cells are text.

    A row with too many or too few cells is `Refused`. Holds one row at a time.
    """
    if path.stat().st_size > MAX_TEXT_BYTES:
        raise unreadable("The file holds more than 2 GiB of text", "split it and import the parts")
    csv.field_size_limit(MAX_LINE)  # of the whole process; the default of 128 KiB is less than one long response
    number = 0
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, strict=True)
            header = _header(next(reader, []))
            places = [(i, name) for i, name in enumerate(header) if not wanted or name in wanted]
            for number, row in enumerate((row for row in reader if row), 1):
                if len(row) == len(header):
                    yield number, {name: row[i] for i, name in places}
                else:
                    yield number, Refused(f"The row has {len(row)} cells and the header {len(header)}.")
    except UnicodeDecodeError as error:
        raise unreadable(f"The file is not UTF-8 text after row {number}", "save it in the encoding UTF-8") from error
    except csv.Error as error:
        if "field limit" in str(error):
            limit = f"{MAX_LINE // 1_000_000} MB"
            raise unreadable(f"A cell after row {number} is longer than {limit}", "shorten it") from error
        raise unreadable(f"The file is truncated or no CSV after row {number}", "fetch or write it again") from error
    except OSError as error:
        raise unreadable("The file cannot be read to its end", "fetch or write it again") from error


def _header(names: list[str]) -> list[str]:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise unreadable(f"The file has more than one column '{twice[0][:60]}'", "keep one of them and try again")
    return names
