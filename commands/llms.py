"""The LLMs that can be routed to: list, register, change."""

from dataclasses import asdict, replace
from enum import StrEnum
from typing import Annotated, Any

import typer

from commands.terminal import Json, Opened, say
from core.domain import LLM, LLMId
from core.errors import InvalidInput

BY = "terminal"


class Action(StrEnum):
    """What to do."""

    LIST = "list"
    ADD = "add"
    EDIT = "edit"


def llms(
    action: Action,
    llm: Annotated[str, typer.Argument(help="Its id; not for list.")] = "",
    *,
    name: Annotated[str | None, typer.Option(help="What people see.")] = None,
    family: Annotated[str | None, typer.Option(help="Who makes it.")] = None,
    description: Annotated[str | None, typer.Option(help="Routers read this of an LLM never rated.")] = None,
    input_price: Annotated[float | None, typer.Option(help="Dollars per million tokens in.")] = None,
    output_price: Annotated[float | None, typer.Option(help="Dollars per million tokens out.")] = None,
    endpoint: Annotated[
        str | None, typer.Option(help="provider/model, or http://host:port/v1#model; see the README.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List LLMs, register one, or change its name, description, prices or endpoint. Keys are never given here."""
    from db.catalogue import Catalogue, find

    given: dict[str, Any] = {
        "name": name, "family": family, "description": description, "input_price": input_price,
        "output_price": output_price, "endpoint": endpoint,
    }  # fmt: skip
    changes = {what: value for what, value in given.items() if value is not None}
    if action is not Action.LIST and not llm:
        raise InvalidInput(f"Say which LLM: python cli.py llms {action} ID. Nothing was changed.")
    with Opened() as database:
        catalogue = Catalogue(database)
        if action is Action.ADD:
            catalogue.add(LLM(LLMId(llm), **changes), by=BY)
        elif action is Action.EDIT:
            catalogue.edit(replace(find(catalogue.list(), llm), **changes), by=BY)
        known = catalogue.list()
    lines = [f"{m.llm_id}: {m.name or 'no name'}, {_price(m)}, endpoint {m.endpoint or 'none'}" for m in known]
    say("\n".join(lines) or "No LLMs yet.", as_json=as_json, value=[asdict(m) for m in known])


def _price(llm: LLM) -> str:
    prices = (llm.input_price, llm.output_price)
    return " / ".join("?" if price is None else f"${price:g}" for price in prices) + " per million tokens"
