"""What queries cost: the price of each LLM times about how long its responses are, and a decision ranked by taste and
money.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from sqlalchemy import String, cast, func, select

from core.costs import CHARACTERS_PER_TOKEN, Floats, priced_scores, query_cost, tokens_of
from core.domain import LLMId, Query, UserId
from core.errors import InvalidInput
from db.engine import Database
from db.models import LLMRow, ResponseRow
from db.preferences import PreferenceStore
from db.serving import Choice, Decision, Serving

RECENT_RESPONSES = 5_000  # whose lengths tell how long an LLM's next response will be
RECENT_QUERIES = 500  # of a person, on which a setting is tried
USUAL_TOKENS = 300.0  # of a response, where none is stored
_BRACKETS = 4  # characters that the stored form adds: ["..."]


class Priced(NamedTuple):
    """One LLM's place in a decision and the dollars that this query is expected to cost there; None where unknown."""

    choice: Choice
    cost: float | None


@dataclass(frozen=True, eq=False)
class Past:
    """What the router would say now to N queries of one person: `probability` and `cost` (dollars, NaN where unknown)
    are [N, L] over `llms` (named by `names`).
    """

    llms: tuple[LLMId, ...]
    names: tuple[str, ...]
    probability: Floats
    cost: Floats

    def __len__(self) -> int:
        return len(self.cost)


class _Listed(Protocol):
    """What has prices: an LLM or its place in a decision."""

    @property
    def input_price(self) -> float | None: ...
    @property
    def output_price(self) -> float | None: ...


def reply_tokens(database: Database) -> Mapping[LLMId, float]:
    """Mean length in tokens of each LLM's newest stored responses; LLMs without any are left out."""
    newest = (
        select(ResponseRow.llm_id, func.length(cast(ResponseRow.turns, String)).label("characters"))
        .order_by(ResponseRow.id.desc())
        .limit(RECENT_RESPONSES)
        .subquery()
    )
    mean = func.avg(newest.c.characters)
    statement = select(LLMRow.key, mean).join(newest, newest.c.llm_id == LLMRow.id).group_by(LLMRow.key)
    with database.read() as session:
        return {
            LLMId(key): max(1.0, (float(characters) - _BRACKETS) / CHARACTERS_PER_TOKEN)
            for key, characters in session.execute(statement)
        }


def expected_costs(
    llms: Sequence[tuple[LLMId, _Listed]], queries: Sequence[Query], tokens: Mapping[LLMId, float]
) -> Floats:
    """[Q, L] dollars: the query's own length in, the LLM's usual length out (the mean of all where it is unknown)."""
    usual = sum(tokens.values()) / len(tokens) if tokens else USUAL_TOKENS
    words = np.array([tokens_of(query.text) for query in queries], float)
    each = [query_cost(llm.input_price, llm.output_price, words, tokens.get(key, usual)) for key, llm in llms]
    return np.stack(each, 1) if each else np.zeros((len(queries), 0))


def ranked(
    decision: Decision,
    query: Query,
    tokens: Mapping[LLMId, float],
    alpha: float = 0.0,
    allowed: Sequence[LLMId] = (),
) -> tuple[Priced, ...]:
    """The choices of a decision, best first at this alpha, with what the query will cost; only `allowed` ones if any.

    Raises InvalidInput for an alpha outside 0..1 and where no allowed LLM is known to the router.
    """
    choices = [choice for choice in decision.choices if not allowed or choice.llm in allowed]
    if not choices:
        raise InvalidInput("The router knows none of the allowed LLMs. Allow another one.")
    cost = expected_costs([(choice.llm, choice) for choice in choices], [query], tokens)[0]
    scores = priced_scores(np.array([choice.probability for choice in choices]), cost, alpha)
    order = np.argsort(-scores, kind="stable")
    return tuple(Priced(choices[i], None if np.isnan(cost[i]) else float(cost[i])) for i in order)


def past(database: Database, serving: Serving, user: UserId) -> Past:
    """The person's last queries (rated ones, newest kept, at most RECENT_QUERIES) under the router in service."""
    history = PreferenceStore(database).history(user)
    router = serving.service().router
    rows = list(dict.fromkeys(history.query[::-1].tolist()))[:RECENT_QUERIES]
    queries = [history.queries[row] for row in rows]
    known = {llm.llm_id: llm for llm in history.llms}
    columns = [column for column, key in enumerate(router.llms) if key in known]
    llms = [(router.llms[column], known[router.llms[column]]) for column in columns]
    probability = router.predict_proba(user, queries, history)[:, columns] if queries else np.zeros((0, len(columns)))
    return Past(
        tuple(key for key, _ in llms),
        tuple(llm.name or llm.llm_id for _, llm in llms),
        probability,
        expected_costs(llms, queries, reply_tokens(database)),
    )
