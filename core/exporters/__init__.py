"""Ratings as files for others: the registry of formats.

A new format is one module here that offers what `Exporter` names, and one line in `EXPORTERS`.
"""

from collections.abc import Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

from core.domain import Comparison
from core.errors import InvalidInput
from core.exporters.files import ExportReport
from core.exporters.material import Material

EXPORTERS: dict[str, str] = {  # name -> module, imported only when it is asked
    "arena": "core.exporters.arena",
    "dpo": "core.exporters.dpo",
    "rankings": "core.exporters.rankings",
    "ratings": "core.exporters.ratings",
    "edges": "core.exporters.edges",
}


class Exporter(Protocol):
    """A module that writes one format. `COLUMNS` says what those columns mean that do not say it themselves."""

    SUFFIXES: tuple[str, ...]
    COLUMNS: Mapping[str, str]

    def write(
        self, path: Path, comparisons: Iterable[Comparison], material: Material, **options: Any
    ) -> ExportReport: ...


def exporter(name: str) -> Exporter:
    """The module of a format. Raises InvalidInput where there is none."""
    if name not in EXPORTERS:
        known = ", ".join(EXPORTERS)
        raise InvalidInput(f"No exporter is named '{name[:60]}', so nothing was written: choose one of {known}.")
    return cast(Exporter, import_module(EXPORTERS[name]))


def write(
    path: Path, comparisons: Iterable[Comparison], material: Material, format: str = "arena", ties: str = "drop"
) -> ExportReport:
    """Write comparisons in a format; `ties` is for `dpo`. Raises InvalidInput with nothing written."""
    options = {"ties": ties} if format == "dpo" else {}
    return exporter(format).write(path, comparisons, material, **options)
