"""Which LLM a person would like best."""

from typing import Annotated

import typer

from commands.terminal import Json, Opened, say
from core.domain import Query, UserId
from core.encoders import SentenceEncoder
from core.errors import NotEnoughData
from core.settings import load_settings


def route(
    user: Annotated[str, typer.Option(help="Whose taste decides.")],
    query: Annotated[str, typer.Option(help="The query to route.")],
    as_json: Json = False,
) -> None:
    """Say which LLM this person would like best for a query, with everything they have rated up to now."""
    from db.embeddings import CachedEncoder
    from db.people import People
    from db.routers import RouterRegistry
    from db.serving import Serving

    settings = load_settings()
    asked = Query.typed(query)
    with Opened(settings) as database:
        person = People(database).get(UserId(user))
        decision = Serving(database, CachedEncoder(SentenceEncoder(settings.encoder), database)).decide(
            person.name, asked, explained=False
        )
        if not decision.choices:
            raise NotEnoughData(
                "There are no LLMs to route to. Load the demo world with `python cli.py demo`, or import ratings."
            )
        probabilities = {choice.llm: choice.probability for choice in decision.choices}
        RouterRegistry(database).record_decision(
            person.name, asked, decision.choices[0].llm, probabilities,
            version=decision.version, propensity=1.0, history_count=decision.ratings, source="cli",
        )  # fmt: skip
    choices = [
        {"llm": c.llm, "probability": c.probability, "price": {"input": c.input_price, "output": c.output_price}}
        for c in decision.choices
    ]
    value = {"user": user, "router": decision.service, "history": decision.ratings, "choices": choices}
    text = "\n".join(f"{c.probability:6.1%}  (average user {c.average:.1%})  {c.name}" for c in decision.choices)
    say(f"{decision.service}, from {decision.ratings} ratings of {user}:\n{text}", as_json=as_json, value=value)
