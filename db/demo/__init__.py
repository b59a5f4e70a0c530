"""The demo world: written queries and responses of five demo LLMs, and simulated users with planted tastes. All
invented here.

Everything it brings is marked: the users are simulated, the LLMs are called demo, the source of every row is `demo`.
"""

import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from core.domain import LLM, Bundle, Comparison, LLMId, Outcome, Query, QueryId, Response, Task, User, UserId
from core.providers.stored import STORED

SOURCE = "demo"
SEED = 11
USERS_PER_TASTE = 10
RATINGS_PER_USER = 40
TIE_WIDTH = 0.35  # felt difference below which a simulated user calls it a tie
LOW_BAR = -1.1  # with both felt likings below it, both are bad


def _llm(manner: str, description: str, input_price: float) -> LLM:
    """A demo LLM; as with real ones, words out cost four times words in."""
    text = f"A demo LLM with written answers: {description}"
    name = f"Demo {manner.capitalize()}"
    return LLM(LLMId(f"demo-{manner}"), name, SOURCE, text, input_price, 4 * input_price, endpoint=STORED)


LLMS = (
    _llm("terse", "the shortest correct answer, nothing around it.", 0.10),
    _llm("playful", "jokes, metaphors and word play around a true answer.", 0.30),
    _llm("structured", "headings, lists and tables, no small talk.", 0.60),
    _llm("warm", "kind, personal prose that speaks to your situation.", 1.00),
    _llm("tutor", "teaches step by step with an example and a question back.", 2.50),
)
MANNERS = ("terse", "playful", "structured", "warm", "tutor")

# Liking of each manner (columns as MANNERS) by each planted taste; a task of its own overrides the taste's row.
TASTES: dict[str, dict[str, tuple[float, ...]]] = {
    "brief": {"": (2.4, -0.6, 0.8, -1.0, -1.8)},
    "learner": {"": (-1.6, -0.4, 0.6, 0.4, 2.4)},
    "engineer": {"": (0.6, -1.4, 2.4, -1.4, 0.2)},
    "companion": {"": (-1.6, 0.6, -0.8, 2.4, 0.2)},
    "joker": {"": (0.0, 2.4, -1.2, 0.6, -1.0)},
    "by-occasion": {
        "code": (2.2, -1.0, 1.0, -1.4, -0.4), "summarise": (2.0, -1.0, 1.4, -0.8, -1.2),
        "write": (-0.4, 0.8, -1.2, 2.2, -0.8), "advise": (-1.0, 0.0, -0.4, 2.4, 0.2),
        "explain": (-1.0, 0.2, 0.4, 0.0, 2.2), "reason": (-0.6, -0.6, 1.0, -0.4, 2.2),
    },
}  # fmt: skip


def demo_bundle() -> Bundle:
    """The whole demo world. Deterministic: the same bundle every time."""
    tasks, queries, responses = _texts()
    users = tuple(
        User(UserId(f"simulated-{taste}-{i:02}"), simulated=True)
        for taste in TASTES
        for i in range(1, USERS_PER_TASTE + 1)
    )
    comparisons = _ratings(users, queries, {(r.query_id, r.llm_id): r for r in responses})
    return Bundle(SOURCE, users, tasks, LLMS, queries, responses, comparisons)


def _texts() -> tuple[tuple[Task, ...], tuple[Query, ...], tuple[Response, ...]]:
    tasks, queries, responses = [], [], []
    for path in sorted(Path(__file__).parent.glob("*.toml")):
        pack: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        tasks.append(Task(pack["task"], pack["description"]))
        for entry in pack["query"]:
            query = Query(QueryId(f"demo-{entry['id']}"), (entry["text"].strip(),), pack["task"])
            queries.append(query)
            responses += [
                Response(query.query_id, llm.llm_id, (entry["responses"][manner].strip(),))
                for llm, manner in zip(LLMS, MANNERS, strict=True)
            ]
    return tuple(tasks), tuple(queries), tuple(responses)


def _ratings(
    users: tuple[User, ...], queries: tuple[Query, ...], by_side: dict[tuple[QueryId, LLMId], Response]
) -> tuple[Comparison, ...]:
    random = np.random.default_rng(SEED)
    first_day = datetime(2026, 9, 1, 8, tzinfo=UTC)
    found = []
    for number, user in enumerate(users):
        taste = TASTES[list(TASTES)[number // USERS_PER_TASTE]]
        own = random.normal(0, 0.4, len(LLMS))  # nobody is their taste exactly
        for i, position in enumerate(random.permutation(len(queries))[:RATINGS_PER_USER]):
            query = queries[position]
            a, b = random.permutation(len(LLMS))[:2]
            felt = np.array(taste.get(query.task, taste.get("", ()))) + own + random.gumbel(0, 0.45, len(LLMS))
            found.append(
                Comparison(
                    user.user_id, query.query_id, LLMS[a].llm_id, LLMS[b].llm_id, _outcome(felt[a], felt[b]),
                    by_side[query.query_id, LLMS[a].llm_id].response_id,
                    by_side[query.query_id, LLMS[b].llm_id].response_id,
                    f"demo-{user.user_id}-{i:02}",
                    first_day + timedelta(days=i, minutes=7 * number + int(random.integers(0, 6))),
                )
            )  # fmt: skip
    return tuple(found)


def _outcome(a: float, b: float) -> Outcome:
    if max(a, b) < LOW_BAR:
        return Outcome.BOTH_BAD
    if abs(a - b) < TIE_WIDTH:
        return Outcome.TIE
    return Outcome.A if a > b else Outcome.B
