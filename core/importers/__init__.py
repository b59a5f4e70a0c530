"""Files of other makers as a `Bundle`: the registry of formats, and which of them a file is.

A new format is one module here that offers what `Importer` names, and one line in `IMPORTERS`.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import NamedTuple, Protocol, cast

from core.domain import Bundle
from core.errors import InvalidInput
from core.importers.tables import SUFFIXES, Table, file_columns, quoted, suffix_of, unreadable

IMPORTERS: dict[str, str] = {  # name -> module, imported only when it is asked
    "arena": "core.importers.arena",
    "tulu": "core.importers.tulu",
    "ratings": "core.importers.ratings",
    "dpo": "core.importers.dpo",
    "personaroute": "core.importers.personaroute",
    "alpaca_eval": "core.importers.alpaca_eval",
    "responses": "core.importers.responses",
    "queries": "core.importers.queries",
    "llms": "core.importers.llms",
    "choices": "core.importers.choices",
    "best_of": "core.importers.best_of",
    "scores": "core.importers.scores",
    "routellm": "core.importers.routellm",
}

ALIASES: dict[str, tuple[str, ...]] = {  # what others call a column: proposed as a mapping where a name is not there
    "query": ("prompt", "instruction", "question", "query_text", "text", "input"),
    "llm": ("model", "generator", "llm_id", "model_id", "model_name"),
    "response": ("output", "answer", "completion", "reply", "text"),
    "task": ("category", "dataset", "topic", "task_id"),
    "user": ("judge", "user_id", "rater", "annotator"),
    "llm_a": ("model_a",),
    "llm_b": ("model_b",),
    "response_a": ("answer_a", "output_a"),
    "response_b": ("answer_b", "output_b"),
    "outcome": ("winner", "preference", "label"),
    "rated_at": ("tstamp", "timestamp", "created_at"),
    "chosen_model": ("model_chosen", "chosen_llm"),
    "rejected_model": ("model_rejected", "rejected_llm"),
}


class Importer(Protocol):
    """A module that reads one format. `read` raises UnreadableFile for a file; refused rows go to `Bundle.rejected`.

    `ABOUT` says in a few words what the format is, `TEMPLATE` is a small file of it, where a person might write one.
    """

    ABOUT: str
    SUFFIXES: tuple[str, ...]
    REQUIRED: frozenset[str]
    OPTIONAL: frozenset[str]
    TEMPLATE: tuple[str, str] | None

    def read(self, table: Table) -> Bundle: ...


class Recognised(NamedTuple):
    """A format, and which columns of the file stand for those of the format under another name."""

    format: str
    mapping: Mapping[str, str]


def importer(name: str) -> Importer:
    """The module of a format. Raises InvalidInput where there is none."""
    if name not in IMPORTERS:
        known = ", ".join(IMPORTERS)
        raise InvalidInput(f"No importer is named '{name[:60]}', so nothing was stored: choose one of {known}.")
    return cast(Importer, import_module(IMPORTERS[name]))


def read(
    path: Path,
    format: str | None = None,
    mapping: Mapping[str, str] | None = None,
    on_rows: Callable[[int], None] | None = None,
) -> Bundle:
    """Everything a file says. Without `format`, suffix and columns tell it; the most demanding format that fits wins.

    `mapping` says which column of the file stands for a column of the format. Raises UnreadableFile where the file as
    a whole cannot be read, InvalidInput where `format` names no importer or `mapping` no column of it.
    """
    name = format
    if name is None:
        name, found = recognised(path)
        mapping = {**found, **(mapping or {})}
    module = importer(name)
    if unknown := sorted((mapping or {}).keys() - module.REQUIRED - module.OPTIONAL):
        known = quoted(module.REQUIRED | module.OPTIONAL)
        raise InvalidInput(f"'{unknown[0][:60]}' is no column of the format '{name}'; it has {known}.")
    return module.read(Table(path, dict(mapping or {}), on_rows))


def recognised(path: Path) -> Recognised:
    """The format of a file by its suffix and columns. Raises UnreadableFile where it is none that is known."""
    suffix, present = suffix_of(path), file_columns(path)
    fitting = {name: module for name in IMPORTERS if suffix in (module := importer(name)).SUFFIXES}
    lacking = {name: module.REQUIRED - present for name, module in fitting.items()}
    wanted = {name: len(module.REQUIRED) for name, module in fitting.items()}
    missing = {name: len(lacking[name]) / wanted[name] for name in fitting}
    nearest = min(fitting, key=lambda name: (missing[name], 0 if missing[name] else -wanted[name]), default=None)
    if nearest and not lacking[nearest]:
        return Recognised(nearest, proposed(nearest, present))
    mapped = {name: proposed(name, present) for name in fitting}
    complete = [name for name in fitting if lacking[name] <= mapped[name].keys()]
    if complete:
        best = max(complete, key=lambda name: (wanted[name], -len(mapped[name])))
        return Recognised(best, mapped[best])
    near = f" (nearest is '{nearest}', without {quoted(lacking[nearest])})" if nearest else ""
    raise unreadable(f"The columns are those of no known format{near}", "rename or add columns, or name the format")


def proposed(format: str, present: frozenset[str]) -> dict[str, str]:
    """For the columns of a format that a file does not have: those of the file that may stand for them."""
    module, taken, found = importer(format), set[str](), {}
    for name in sorted(module.REQUIRED - present) + sorted(module.OPTIONAL - present):
        known = module.REQUIRED | module.OPTIONAL | taken
        alias = next((other for other in ALIASES.get(name, ()) if other in present and other not in known), None)
        if alias:
            found[name] = alias
            taken.add(alias)
    return found


__all__ = ["IMPORTERS", "SUFFIXES", "Importer", "Recognised", "importer", "proposed", "read", "recognised"]
