"""Worlds with a known truth: small, fast, and made so that the right answer can be stated."""

import hashlib
from collections.abc import Sequence

import numpy as np

from core.dataset import PreferenceDataset
from core.domain import LLM, Comparison, LLMId, Outcome, Query, QueryId, ResponseId, UserId
from core.encoders import Vectors


class HashEncoder:
    """A stand-in for a language model: every word is a fixed random direction, a text is their normed sum. No download,
    no torch.
    """

    id = "hash-64"
    dim = 64

    def __init__(self) -> None:
        self.texts_encoded = 0

    def encode(self, texts: Sequence[str]) -> Vectors:
        self.texts_encoded += len(texts)
        return np.array([self._vector(text) for text in texts], np.float32).reshape(-1, self.dim)

    def _vector(self, text: str) -> np.ndarray:
        total = np.zeros(self.dim)
        for word in text.lower().split() or [""]:
            seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "big")
            total += np.random.default_rng(seed).standard_normal(self.dim)
        return np.asarray(total / max(float(np.linalg.norm(total)), 1e-9))


LLMS = tuple(LLM(LLMId(f"llm-{name}"), name, "planted", f"writes {name} replies", price, 4 * price)
             for name, price in (("short", 0.1), ("long", 1.0), ("funny", 0.5), ("formal", 2.0)))  # fmt: skip
TASKS = ("code", "letters")


def queries(n: int = 30) -> tuple[Query, ...]:
    """n queries, alternating between two tasks whose words differ."""
    words = {"code": "function loop array bug", "letters": "dear friend birthday party"}
    return tuple(Query(QueryId(f"q{i:03}"), (f"{words[TASKS[i % 2]]} number{i}",), TASKS[i % 2]) for i in range(n))


def comparison(user: str, query: Query, a: LLM, b: LLM, outcome: Outcome, key: str) -> Comparison:
    """A rating whose responses need not exist."""
    return Comparison(
        UserId(user), query.query_id, a.llm_id, b.llm_id, outcome, ResponseId("ra"), ResponseId("rb"), key
    )


def two_camps(
    users: int = 24, ratings: int = 20, seed: int = 0, n_queries: int = 30, one_in: int = 2
) -> PreferenceDataset:
    """Some users (`short-*`) always like `llm-short` best and `llm-long` least; the others (`long-*`) the reverse.

    One user in `one_in` is of the long camp: with 2 the camps cancel out, with 3 the population has a preference too.
    Everyone puts funny above formal for letters and below it for code. Ratings follow these orders without error, so
    the best LLM is known for every user and query.
    """
    random = np.random.default_rng(seed)
    asked = queries(n_queries)
    said = []
    for u in range(users):
        camp = "long" if u % one_in == 1 else "short"
        for i in range(ratings):
            query = asked[random.integers(len(asked))]
            a, b = random.permutation(4)[:2]
            order = liking(camp, query.task)
            outcome = Outcome.A if order[a] > order[b] else Outcome.B
            said.append(comparison(f"{camp}-{u:02}", query, LLMS[a], LLMS[b], outcome, f"{u}-{i}"))
    return PreferenceDataset.from_comparisons(said, asked, LLMS)


def liking(camp: str, task: str) -> tuple[float, float, float, float]:
    """The true order of `LLMS` (short, long, funny, formal) for a camp and a task: higher is better."""
    funny, formal = (1.0, 2.0) if task == "code" else (2.0, 1.0)
    return (3.0, 0.0, funny, formal) if camp == "short" else (0.0, 3.0, funny, formal)
