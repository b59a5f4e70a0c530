"""The price table that is shipped: what LLMs cost by published lists, with whose list it is and as of when.

It is offered where an LLM has no price, and never changes one that somebody gave.
"""

import tomllib
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

from core.domain import LLM

TABLE = Path(__file__).with_name("prices.toml")


class ListPrice(NamedTuple):
    """Dollars per million tokens, in and out, on whose list, and as of when (year and month)."""

    input: float
    output: float
    source: str
    as_of: str


@cache
def price_table() -> dict[str, ListPrice]:
    """Every listed LLM by its name in small letters."""
    lists = tomllib.loads(TABLE.read_text(encoding="utf-8"))["list"]
    return {
        name: ListPrice(float(paid[0]), float(paid[1]), each["source"], each["as_of"])
        for each in lists
        for name, paid in each["prices"].items()
    }


def listed(llm: LLM) -> ListPrice | None:
    """The list price of an LLM by its id, with or without its maker before a slash; None where it is on no list."""
    return price_table().get(llm.llm_id.rpartition("/")[2].lower())


def priced(llms: Sequence[LLM]) -> tuple[LLM, ...]:
    """Those of these LLMs that have no price at all and are on a list, with that price."""
    found = ((llm, listed(llm)) for llm in llms if llm.input_price is None and llm.output_price is None)
    return tuple(replace(llm, input_price=price.input, output_price=price.output) for llm, price in found if price)
