"""What comes in, goes out, and is here: the demo world, imports, exports, people."""

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from commands.terminal import Json, Opened, say
from core.errors import InvalidInput


def demo(
    remove: Annotated[bool, typer.Option("--remove", help="Remove it instead; nobody else's data is touched.")] = False,
    as_json: Json = False,
) -> None:
    """Load the demo world: written queries and responses of demo LLMs, simulated users. Loading twice adds nothing."""
    from db.demo.loading import load
    from db.demo.loading import remove as take_away

    with Opened() as database:
        value = take_away(database) if remove else load(database)
    text = ", ".join(f"{count:,} {name}" for name, count in value.items())
    say(f"Demo world {'removed' if remove else 'loaded'}: {text}.", as_json=as_json, value=value)


def import_ratings(
    path: Annotated[Path, typer.Argument(help="The file; those it refers to lie beside it.")],
    format: Annotated[str | None, typer.Option(help="Its format, where its columns do not tell.")] = None,
    column: Annotated[
        list[str] | None, typer.Option(help="NAME=COLUMN: which column of the file stands for one of the format.")
    ] = None,
    valid_rows: Annotated[bool, typer.Option("--valid-rows", help="Import valid rows though others are bad.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen; store nothing.")] = False,
    rejects: Annotated[Path | None, typer.Option(help="Write the rejected rows to this CSV file.")] = None,
    as_json: Json = False,
) -> None:
    """Import a file in one transaction: all of it, or with --valid-rows what is valid. A second time adds nothing."""
    from core.importers import read
    from core.inspection import inspect
    from db.imports import check_whole, rejects_csv
    from db.preferences import PreferenceStore

    pairs = [entry.partition("=") for entry in column or ()]
    if any(not (name and there) for name, _, there in pairs):
        raise InvalidInput("--column needs NAME=COLUMN; nothing was stored.")
    bundle = read(path, format, {name: there for name, _, there in pairs})
    if rejects:
        rejects.write_bytes(rejects_csv(bundle.rejected))
    with Opened() as database:
        if not dry_run:
            check_whole(bundle, valid_rows)
        report = PreferenceStore(database).add_file(bundle, dry_run=dry_run)
    value = {**asdict(report), "rejected": [asdict(row) for row in bundle.rejected]}
    verb = "Would add" if dry_run else "Added"
    rejected = len(bundle.rejected)
    lines = [f"{verb} {report.added:,} ratings, {report.skipped:,} already here, {rejected:,} rejected."]
    lines += [f"  row {row.row}: {row.reason}" for row in bundle.rejected[:20]]
    lines += [f"  and {rejected - 20:,} more; --json lists them all"] * (rejected > 20)
    lines += [f"Note: {warning}" for warning in (*(f.sentence for f in inspect(bundle)), *bundle.warnings)]
    lines.append(
        f"Now here: {report.comparisons:,} ratings, {report.users:,} users, "
        f"{report.llms:,} LLMs, {report.queries:,} queries."
    )
    say("\n".join(lines), as_json=as_json, value=value)


def export(  # noqa: PLR0917  options of a command
    path: Annotated[Path, typer.Argument(help="The file to write: .jsonl, .jsonl.gz, .parquet, for some .csv.")],
    format: Annotated[str, typer.Option(help="arena, dpo, rankings, ratings or edges.")] = "arena",
    task: Annotated[str | None, typer.Option(help="Only ratings about this task.")] = None,
    people_only: Annotated[bool, typer.Option("--people-only", help="Without simulated users.")] = False,
    since: Annotated[datetime | None, typer.Option(help="Only ratings from this moment on (UTC).")] = None,
    until: Annotated[datetime | None, typer.Option(help="Only ratings before this moment (UTC).")] = None,
    dataset: Annotated[int | None, typer.Option(help="A frozen dataset version instead of what is here now.")] = None,
    ties: Annotated[str, typer.Option(help="In dpo: drop ties, or write them both ways at half the weight.")] = "drop",
    keep_names: Annotated[bool, typer.Option("--keep-names", help="Users by name instead of pseudonym.")] = False,
    as_json: Json = False,
) -> None:
    """Export ratings to a file with a data card beside it. People stand under pseudonyms unless --keep-names."""
    from core.exporters.selection import Selection
    from db.datasets import Datasets

    zoned = [moment.replace(tzinfo=UTC) if moment else None for moment in (since, until)]
    selection = Selection(task, not people_only, zoned[0], zoned[1])
    with Opened() as database:
        exported = Datasets(database).export(
            path, format, selection, version=dataset, keep_names=keep_names, ties=ties
        )  # fmt: skip
    report = exported.report
    lines = [f"Wrote {report.rows:,} rows to {path}, SHA-256 {report.sha256}, and its card to {path}.card.json."]
    lines += [str(exported.card["changed_since_frozen"])] if "changed_since_frozen" in exported.card else []
    fingerprint = exported.card["dataset_fingerprint"]
    value = {"rows": report.rows, "sha256": report.sha256, "path": str(path), "dataset_fingerprint": fingerprint}
    say("\n".join(lines), as_json=as_json, value=value)


def dataset(
    action: Annotated[str, typer.Argument(help="list or freeze")],
    name: Annotated[str, typer.Argument(help="What to call the version to freeze.")] = "",
    task: Annotated[str | None, typer.Option(help="Only ratings about this task.")] = None,
    people_only: Annotated[bool, typer.Option("--people-only", help="Without simulated users.")] = False,
    as_json: Json = False,
) -> None:
    """Freeze the ratings as they stand under a name that exports and training refer to, or list what was frozen."""
    from core.exporters.selection import Selection
    from db.datasets import Datasets

    if action not in ("list", "freeze"):
        raise InvalidInput(f"'{action[:40]}' is neither list nor freeze; nothing was frozen.")
    with Opened() as database:
        datasets = Datasets(database)
        if action == "freeze":
            found = [datasets.freeze(name, Selection(task, not people_only), by="terminal")]
        else:
            found = datasets.versions()
    rows = [
        {"id": v.id, "name": v.name, "ratings": v.ratings, "fingerprint": v.fingerprint, "by": v.created_by}
        for v in found
    ]
    text = "\n".join(f"{v.id:>4}  {v.ratings:>9,} ratings  {v.fingerprint[:12]}  {v.name}" for v in found)
    say(text or "No dataset version yet.", as_json=as_json, value=rows)


def users(as_json: Json = False) -> None:
    """List everyone with the number of their ratings."""
    from db.people import People

    with Opened() as database:
        rows = [
            {"user": row.person.name, "ratings": row.ratings, "simulated": row.person.simulated}
            for row in People(database).list()
        ]
    text = "\n".join(
        f"{row['ratings']:>7,}  {row['user']}{'  (simulated)' if row['simulated'] else ''}" for row in rows
    )
    say(text or "No users yet.", as_json=as_json, value=rows)


def backup(
    path: Annotated[Path, typer.Argument(help="The file to write; nothing may be there yet.")], as_json: Json = False
) -> None:
    """Copy the whole database to a file while the app runs: a SQLite file, or pg_dump's format for PostgreSQL."""
    from db.health import back_up

    with Opened() as database:
        size = back_up(database, path, by="cli")
    say(f"Backed up to {path}, {size:,} bytes.", as_json=as_json, value={"path": str(path), "bytes": size})


def gold(
    add: Annotated[
        Path | None,
        typer.Option("--add", help="A CSV: query_id, llm_a, llm_b, expected (a, b, tie or both_bad), reason."),
    ] = None,
    retire: Annotated[int, typer.Option("--retire", help="The number of an item to ask no more.")] = 0,
    as_json: Json = False,
) -> None:
    """List pairs with a known answer, which test how carefully people rate; add some from a file, or retire one."""
    import csv

    from core.domain import LLMId, Outcome, QueryId
    from core.errors import InvalidInput, UnreadableFile
    from db.gold import Gold

    with Opened() as database:
        items = Gold(database)
        if retire:
            items.retire(retire, "cli")
        if add is not None:
            try:
                rows = list(csv.DictReader(add.read_text(encoding="utf-8").splitlines()))
            except (OSError, UnicodeDecodeError, csv.Error) as error:
                raise UnreadableFile(f"'{add}' cannot be read: {error}. Nothing was stored.") from None
            for number, row in enumerate(rows, 1):
                try:
                    expected = Outcome(row["expected"])
                    items.add(QueryId(row["query_id"]), LLMId(row["llm_a"]), LLMId(row["llm_b"]), expected, "cli",
                              row["reason"])  # fmt: skip
                except (KeyError, ValueError, AttributeError) as error:
                    raise InvalidInput(
                        f"Row {number} of '{add}' is no gold item: {error}. Earlier rows are in."
                    ) from None
        found = items.items()
    value = [
        {"number": i.id, "query": i.query_id, "llm_a": i.llm_a, "llm_b": i.llm_b, "expected": i.expected,
         "reason": i.reason, "set_by": i.set_by, "in_use": i.retired_at is None, "answers": i.asked}
        for i in found
    ]  # fmt: skip
    lines = [
        f"{i.id:>5}  {i.query_id}: {i.llm_a} (a), {i.llm_b} (b), expected {i.expected}, {i.asked} answers"
        f"{', retired' if i.retired_at else ''}. {i.reason}"
        for i in found
    ]
    say("\n".join(lines) or "No gold items yet.", as_json=as_json, value=value)
