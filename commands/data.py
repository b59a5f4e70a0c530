"""What comes in, goes out, and is here: the demo world, imports, exports, people."""

from dataclasses import asdict
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
        report = PreferenceStore(database).add_bundle(bundle, dry_run=dry_run)
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


def export(
    path: Annotated[Path, typer.Argument(help="The file to write: .jsonl, .jsonl.gz or .parquet.")],
    as_json: Json = False,
) -> None:
    """Export all ratings in the arena schema."""
    from core.exporters import write
    from db.preferences import PreferenceStore

    with Opened() as database:
        store = PreferenceStore(database)
        report = write(path, store.comparisons(), store.queries(), store.responses(), store.users())
    say(
        f"Wrote {report.rows:,} ratings to {path}, SHA-256 {report.sha256}.",
        as_json=as_json,
        value={"rows": report.rows, "sha256": report.sha256, "path": str(path)},
    )


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
