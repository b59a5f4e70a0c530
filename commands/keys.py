"""API keys: which programs may use the endpoint."""

from enum import StrEnum
from typing import Annotated

import typer

from commands.terminal import Json, Opened, say
from core.errors import InvalidInput


class Action(StrEnum):
    """What to do with keys."""

    CREATE = "create"
    LIST = "list"
    REVOKE = "revoke"


def keys(
    action: Annotated[Action, typer.Argument(help="create, list or revoke.")],
    name: Annotated[str, typer.Argument(help="The key's name; needed to create and to revoke.")] = "",
    scope: Annotated[
        list[str] | None, typer.Option(help="route, chat or feedback; repeat it. All if left out.")
    ] = None,
    per_minute: Annotated[int, typer.Option(help="Requests a minute.")] = 600,
    as_json: Json = False,
) -> None:
    """Make, list or revoke keys of the endpoint. A key is shown once, when it is made."""
    from db.keys import ApiKeys, Scope

    if action != Action.LIST and not name:
        raise InvalidInput(f"Say which key: python cli.py keys {action} NAME.")
    with Opened() as database:
        store = ApiKeys(database)
        if action == Action.CREATE:
            key, made = store.create(name, scope or list(Scope), per_minute, "terminal")
            text = f"{key}\nKeep it now: it is not stored and cannot be shown again."
            value = {"name": made.name, "key": key, "scopes": list(made.scopes), "per_minute": made.per_minute}
            say(text, as_json=as_json, value=value)
            return
        if action == Action.REVOKE:
            store.revoke(name, "terminal")
        found = store.list()
    lines = [
        f"{k.name}: {k.hint}…, {', '.join(k.scopes)}, {k.per_minute} a minute"
        + (f", revoked {k.revoked_at:%Y-%m-%d %H:%M} UTC" if k.revoked_at else "")
        for k in found
    ]
    listed = [
        {"name": k.name, "hint": k.hint, "scopes": list(k.scopes), "per_minute": k.per_minute,
         "revoked": k.revoked_at is not None}
        for k in found
    ]  # fmt: skip
    say("\n".join(lines) or "No keys yet.", as_json=as_json, value=listed)
