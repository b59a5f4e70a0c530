"""The LLMs that can be routed to: list, register, change."""

from dataclasses import asdict, replace
from enum import StrEnum
from typing import Annotated, Any

import typer

from commands.terminal import Json, Opened, say
from core.domain import LLM, LLMId
from core.errors import InvalidInput
from core.price_table import listed

BY = "terminal"


class Action(StrEnum):
    """What to do."""

    LIST = "list"
    ADD = "add"
    EDIT = "edit"
    PRICES = "prices"


def llms(
    action: Action,
    llm: Annotated[str, typer.Argument(help="Its id; not for list and prices.")] = "",
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
    """List LLMs, register one, change its name, description, prices or endpoint, or give those without a price the
    one on the list that is shipped. Keys are never given here.
    """
    from db.catalogue import Catalogue, find

    given: dict[str, Any] = {
        "name": name, "family": family, "description": description, "input_price": input_price,
        "output_price": output_price, "endpoint": endpoint,
    }  # fmt: skip
    changes = {what: value for what, value in given.items() if value is not None}
    if action in (Action.ADD, Action.EDIT) and not llm:
        raise InvalidInput(f"Say which LLM: python cli.py llms {action} ID. Nothing was changed.")
    with Opened() as database:
        catalogue = Catalogue(database)
        if action is Action.ADD:
            catalogue.add(LLM(LLMId(llm), **changes), by=BY)
        elif action is Action.EDIT:
            catalogue.edit(replace(find(catalogue.list(), llm), **changes), by=BY)
        elif action is Action.PRICES:
            catalogue.fill_prices(by=BY)
        known = catalogue.list()
    if action is Action.PRICES:
        lines = [f"{m.llm_id}: {_price(m)}; {_listed(m)}" for m in known]
    else:
        lines = [f"{m.llm_id}: {m.name or 'no name'}, {_price(m)}, endpoint {m.endpoint or 'none'}" for m in known]
    say("\n".join(lines) or "No LLMs yet.", as_json=as_json, value=[asdict(m) for m in known])


def _listed(llm: LLM) -> str:
    price = listed(llm)
    return f"list ${price.input:g} / ${price.output:g}, {price.as_of}, {price.source}" if price else "on no list"


def _price(llm: LLM) -> str:
    prices = (llm.input_price, llm.output_price)
    return " / ".join("?" if price is None else f"${price:g}" for price in prices) + " per million tokens"
