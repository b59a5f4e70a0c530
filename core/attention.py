"""What an operator should look at: the facts of the front page turned into sentences, most pressing first."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from core.readiness import Requirement

GROWN = 0.2  # more ratings than this share above what the router in service has read call for a training


class Facts(NamedTuple):
    """What is known when the front page is drawn. `service` is the card of the version in service, if one serves;
    `run_status` and `run_error` are those of the last training; `refused` is why its result does not serve.
    """

    ratings: int
    people: int
    llms: int
    pairs: int
    compared: int
    needs: Sequence[Requirement]
    service: Mapping[str, Any] | None
    run_status: str | None
    run_error: str | None
    refused: str | None


def attention(facts: Facts) -> tuple[str, ...]:
    """One sentence for each thing that somebody should do something about."""
    if not facts.ratings:
        return ("Nothing has been rated yet: load the demo world, or import queries and responses, and rate.",)
    found = []
    if facts.run_status in ("failed", "interrupted"):
        ended = "failed" if facts.run_status == "failed" else "was interrupted"
        found.append(f"The last training {ended}. {facts.run_error or ''}".strip())
    if facts.refused:
        found.append(f"The last training is not in service. {facts.refused}")
    missing = [f"{need.have:,} of {need.need:,} {need.name}" for need in facts.needs if not need.met]
    if facts.service is None and facts.run_status not in ("queued", "running"):
        found.append(
            f"No router is in service, and there is too little to train one: {', '.join(missing)}."
            if missing
            else "No router is in service though there is enough to train one; everyone gets one ranking for all."
        )
    if facts.service is not None:
        read = sum(facts.service.get("ratings", {}).values())
        if facts.ratings > read * (1 + GROWN):
            found.append(f"The router in service was trained on {read:,} ratings; there are {facts.ratings:,} now.")
    if facts.compared < facts.pairs:
        found.append(f"{facts.pairs - facts.compared:,} of {facts.pairs:,} pairs of LLMs were never compared.")
    if not facts.people:
        found.append("Only simulated users have rated: what is learned here says nothing about real people yet.")
    return tuple(found)
