"""A file on its way in: read in a thread of its own, shown as it would be, and stored in one transaction after a yes.

Nothing outlives the process: an import that its server's end interrupts has stored nothing, and is begun again.
"""

import csv
import io
import logging
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from core import importers
from core.domain import Bundle, LLMId, Rejected
from core.errors import InvalidInput, PrefRouteError
from core.exporters.files import escaped
from core.inspection import Finding, inspect
from core.renaming import renamed
from db.bundles import ImportReport, Preview, rows_of
from db.preferences import PreferenceStore

log = logging.getLogger(__name__)


class _Cancelled(Exception):
    """Someone pressed Cancel."""


@dataclass(frozen=True, slots=True)
class State:
    """Where an import stands. `stage`: reading, ready, storing, done, failed or cancelled; `done` of `total` rows, the
    total 0 while it is unknown. `report` is there at the end, `error` where it failed.
    """

    stage: str
    done: int = 0
    total: int = 0
    preview: Preview | None = None
    findings: tuple[Finding, ...] = ()
    warnings: tuple[str, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    report: ImportReport | None = None
    error: str = ""

    @property
    def busy(self) -> bool:
        """Whether its thread is at work."""
        return self.stage in ("reading", "storing")


class Import:
    """One file for one person. Safe to look at from any thread; `start` once, then `confirm` once it is ready."""

    def __init__(
        self, store: PreferenceStore, path: Path, format: str, mapping: Mapping[str, str], by: str
    ) -> None:  # fmt: skip
        self.path, self.format, self.mapping, self.by = path, format, dict(mapping), by
        self._store = store
        self._state = State("reading")
        self._bundle = Bundle(path.name)
        self._cancel = threading.Event()
        self._thread = threading.Thread(target=lambda: None)

    @property
    def state(self) -> State:
        """Where it stands now."""
        return self._state

    def start(self) -> None:
        """Begin to read; what the file holds is then shown as ready."""
        self._run(self._read)

    def confirm(self, *, valid_rows: bool, names: Mapping[LLMId, LLMId] | None = None) -> None:
        """Store it. Raises InvalidInput unless it is ready and has no rejected rows, or `valid_rows` allows for some.

        `names` calls LLMs of the file as they are called here.
        """
        if self._state.stage != "ready":
            raise InvalidInput("This import is not waiting for a yes; nothing was stored now.")
        check_whole(self._bundle, valid_rows)
        self._bundle = renamed(self._bundle, names or {})
        self._state = replace(self._state, stage="storing", done=0, total=rows_of(self._bundle))
        self._run(self._write)

    def cancel(self) -> None:
        """Stop within one batch; nothing is stored."""
        self._cancel.set()
        if not self._state.busy:
            self._state = replace(self._state, stage="cancelled")

    def wait(self, seconds: float | None = None) -> State:
        """Where it stands when its thread has nothing left to do, or after so many seconds."""
        self._thread.join(seconds)
        return self._state

    def _run(self, work: Callable[[], None]) -> None:
        def guarded() -> None:
            try:
                work()
            except _Cancelled:
                self._state = replace(self._state, stage="cancelled")
            except PrefRouteError as error:
                self._state = replace(self._state, stage="failed", error=str(error))
            except MemoryError:
                error_text = "The file needs more memory than there is, so nothing was stored: split it."
                self._state = replace(self._state, stage="failed", error=error_text)
            except Exception:
                reference = uuid.uuid4().hex[:8]
                log.exception("import of a file failed, reference %s", reference)
                error_text = f"The import failed and nothing was stored. The log has the cause under {reference}."
                self._state = replace(self._state, stage="failed", error=error_text)

        self._thread = threading.Thread(target=guarded, daemon=True, name="import")
        self._thread.start()

    def _read(self) -> None:
        bundle = importers.read(self.path, self.format, self.mapping, self._told)
        self._told(self._state.done)
        preview = self._store.preview(bundle)
        self._bundle = bundle
        self._state = State("ready", 0, 0, preview, inspect(bundle), bundle.warnings, bundle.rejected)

    def _write(self) -> None:
        report = self._store.add_file(self._bundle, by=self.by, tell=lambda rows: self._told(self._state.done + rows))
        self._state = replace(self._state, stage="done", done=self._state.total, report=report)
        self._bundle = Bundle(self.path.name)  # what was stored need not be in memory any longer

    def _told(self, done: int) -> None:
        if self._cancel.is_set():
            raise _Cancelled
        self._state = replace(self._state, done=done)


def check_whole(bundle: Bundle, valid_rows: bool) -> None:
    """Raises InvalidInput where rows were rejected and nobody said that the others may go in without them."""
    if bundle.rejected and not valid_rows:
        n, first = len(bundle.rejected), bundle.rejected[0]
        raise InvalidInput(
            f"{n:,} {'row was' if n == 1 else 'rows were'} rejected, so nothing was stored (row {first.row}: "
            f"{first.reason.rstrip('.')}): mend the file, or choose to import the valid rows only."
        )


def rejects_csv(rejected: tuple[Rejected, ...]) -> bytes:
    """The rejected rows as a file: row, column where the reason begins with one, reason."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["row", "column", "reason"])
    for row in rejected:
        column = row.reason.split(" ", 1)[0].rstrip(":")
        named = column if column.replace("_", "").isalpha() and column.islower() else ""
        writer.writerow([row.row, named, escaped(row.reason)])
    return out.getvalue().encode()
