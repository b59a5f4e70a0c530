"""Campaigns from a terminal: what people are asked to rate, by how many of them, and how."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from commands.terminal import Json, Opened, say
from core.campaigns import CampaignPlan, Kind, Mode, Reveal, Scale
from core.errors import InvalidInput, UnreadableFile
from db.campaigns import Campaign, Campaigns, Listed

BY = "terminal"  # who did it, in the audit log
NO_LIMIT = 0  # on a command line, where an option that is left out means "as it is"


class Action(StrEnum):
    """What to do."""

    LIST = "list"
    CREATE = "create"
    EDIT = "edit"
    OPEN = "open"
    CLOSE = "close"


def campaign(
    action: Action,
    name: Annotated[str, typer.Argument(help="Which campaign; not for list.")] = "",
    *,
    tasks: Annotated[
        list[str] | None, typer.Option("--task", help="A task it is about; several times; none: all.")
    ] = None,
    overlap: Annotated[int | None, typer.Option(help="How many people rate a query; 0: everybody.")] = None,
    quota: Annotated[int | None, typer.Option(help="How many ratings one person gives; 0: no limit.")] = None,
    gold_share: Annotated[float | None, typer.Option(help="Share of pairs with a known answer.")] = None,
    repeat_share: Annotated[float | None, typer.Option(help="Share of own pairs asked again, sides swapped.")] = None,
    criteria: Annotated[list[str] | None, typer.Option("--criterion", help="Asked in stars; several times.")] = None,
    kind: Annotated[Kind | None, typer.Option(help="A pair, the best, or best and worst of several.")] = None,
    options: Annotated[int | None, typer.Option(help="Of how many responses, for best and best_worst.")] = None,
    scale: Annotated[Scale | None, typer.Option(help="Four outcomes, or five steps.")] = None,
    mode: Annotated[Mode | None, typer.Option(help="Detailed asks for reasons before it saves.")] = None,
    reveal: Annotated[Reveal | None, typer.Option(help="When people learn which LLMs they saw.")] = None,
    guidelines: Annotated[Path | None, typer.Option(help="A text file (Markdown) shown with the key G.")] = None,
    as_json: Json = False,
) -> None:
    """List, create, edit, open or close campaigns. People are asked for the newest open one first."""
    limits = {"overlap": overlap, "quota": quota}
    given: dict[str, Any] = {
        **{what: None if number == NO_LIMIT else number for what, number in limits.items() if number is not None},
        "tasks": tasks, "gold_share": gold_share, "repeat_share": repeat_share, "criteria": criteria, "kind": kind,
        "options": options, "scale": scale, "mode": mode, "reveal": reveal,
        "guidelines": _text_of(guidelines) if guidelines else None,
    }  # fmt: skip
    changes = {what: value for what, value in given.items() if value is not None or what in limits}
    if action is not Action.LIST and not name:
        raise InvalidInput(f"Say which campaign: campaign {action} NAME. Nothing was changed.")
    if changes and action not in (Action.CREATE, Action.EDIT):
        raise InvalidInput(f"'campaign {action}' takes no settings; use create or edit. Nothing was changed.")
    with Opened() as database:
        store = Campaigns(database)
        if action is Action.LIST:
            rows = store.list()
            say("\n".join(map(_line, rows)), as_json=as_json, value=[_value(row.campaign, row) for row in rows])
            return
        if action is Action.CREATE:
            done = store.create(CampaignPlan(name, **changes), BY)
        elif action is Action.EDIT:
            done = store.edit(name, BY, **changes)
        else:
            done = store.set_open(name, BY, open=action is Action.OPEN)
    say(f"Campaign '{name}' is {'open' if done.open else 'closed'}.", as_json=as_json, value=_value(done))


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise UnreadableFile("The guidelines cannot be read as UTF-8 text; nothing was changed.") from None


def _line(row: Listed) -> str:
    plan = row.campaign.plan
    overlap = f"{plan.overlap} people a query" if plan.overlap else "everybody"
    quota = f"at most {plan.quota} each" if plan.quota else "no quota"
    state = "open" if row.campaign.open else "closed"
    return (
        f"{plan.name}: {state}, {row.queries:,} queries, {overlap}, {quota}, {plan.kind}, {plan.scale}, {plan.mode}; "
        f"{row.ratings:,} ratings by {row.people:,} people"
    )


def _value(campaign: Campaign, row: Listed | None = None) -> dict[str, Any]:
    plan = campaign.plan
    value = {field: getattr(plan, field) for field in plan.__slots__}
    counted = {"ratings": row.ratings, "people": row.people, "queries": row.queries} if row else {}
    return value | {"open": campaign.open, "version": campaign.version} | counted
