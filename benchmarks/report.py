"""How a benchmark speaks: progress on stderr, one table on stdout, one JSON file that is never half written."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from core.errors import InvalidInput
from core.evaluation import Estimate


def progress(message: str) -> None:
    """A line on stderr, at once."""
    print(message, file=sys.stderr, flush=True)


def show_table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table in plain text on stdout: first column to the left, figures to the right."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    print(f"\n{title}")
    for row in (head, ["-" * width for width in widths], *rows):
        cells = [cell.ljust(width) if i == 0 else cell.rjust(width)
                 for i, (cell, width) in enumerate(zip(row, widths, strict=True))]  # fmt: skip
        print("  ".join(cells).rstrip())
    sys.stdout.flush()


def interval(estimate: Estimate, digits: int = 3) -> str:
    """A figure with its 95 % interval."""
    value, low, high = (f"{round(x, digits) + 0.0:.{digits}f}" for x in estimate[:3])  # + 0.0: no "-0.000"
    return f"{value} [{low}, {high}]"


def write_json(path: Path | None, payload: object) -> None:
    """Replace the file in one step; without a path, nothing. A figure that is not finite is a mistake and not
    written.
    """
    if path is None:
        return
    beside = path.with_name(path.name + ".part")
    try:
        beside.write_text(json.dumps(payload, indent=1, allow_nan=False) + "\n")
        beside.replace(path)
    except OSError as error:
        raise InvalidInput(f"The figures cannot be written to '{path}': {error.strerror}.") from None
