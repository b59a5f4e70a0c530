"""The published routers: which serves, and how another comes to."""

from enum import StrEnum
from typing import Annotated

import typer

from commands.terminal import Json, Opened, say
from core.errors import InvalidInput
from core.settings import load_settings


class Action(StrEnum):
    """What to do with a version; without any, they are listed."""

    LIST = "list"
    PROMOTE = "promote"
    ROLLBACK = "rollback"
    ARCHIVE = "archive"
    RESTORE = "restore"


def routers(
    action: Annotated[Action, typer.Argument(help="What to do.")] = Action.LIST,
    version: Annotated[int | None, typer.Argument(help="Which version; not for list and rollback.")] = None,
    reason: Annotated[str, typer.Option(help="Why; lets `promote` pass a refusal, and is kept.")] = "",
    as_json: Json = False,
) -> None:
    """List the router versions, put one in service, roll back to the one before, archive or restore one.

    A version that is not shown to be better than what serves is refused without --reason. A change counts with the next
    decision of every process.
    """
    from db.routers import RouterRegistry

    with Opened(load_settings()) as database:
        registry = RouterRegistry(database)
        if action in (Action.PROMOTE, Action.ARCHIVE, Action.RESTORE) and version is None:
            raise InvalidInput(f"Say which version to {action}, for example: routers {action} 2.")
        if action == Action.ROLLBACK:
            registry.rollback("cli", reason or "rolled back from a terminal")
        elif version is not None and action == Action.PROMOTE:
            registry.activate(version, "cli", reason) if reason else registry.promote(version, "cli")
        elif version is not None and action in (Action.ARCHIVE, Action.RESTORE):
            registry.archive(version, "cli", archived=action == Action.ARCHIVE)
        active = registry.active()
        rows = [
            {
                "version": each.id, "kind": each.kind, "created_at": each.created_at.isoformat(),
                "trained_by": each.trained_by, "in_service": active is not None and each.id == active.id,
                "archived": each.archived_at is not None, "ratings": sum(each.card.get("ratings", {}).values()),
                "fingerprint": each.card.get("fingerprint"), "code": each.card.get("code"), "note": each.note,
            }
            for each in registry.versions()
        ]  # fmt: skip
    lines = [
        f"{row['version']:>4}  {row['kind']:<8} {row['created_at'][:16]}  {row['ratings']:>8,} ratings  "
        f"{'in service' if row['in_service'] else 'archived' if row['archived'] else ''}"
        for row in rows
    ]
    say("\n".join(lines) or "No router yet; one ranking for all answers.", as_json=as_json, value=rows)
