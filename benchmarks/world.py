"""A folder in the format of shared/data/personas as values: ratings for routers, and, kept apart from them, the truth
for scoring.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from core.dataset import Ints, PreferenceDataset
from core.domain import LLM, OUTCOMES, LLMId, Outcome, Query, QueryId, UserId
from core.encoders import BUNDLED, SentenceEncoder, Vectors
from core.errors import InvalidInput, UnreadableFile
from core.responses import ResponseTraits

Ratings = int | Literal["dense"]


class GivenVectors:
    """An encoder that looks up the vectors a folder came with, by text; other texts (responses) go to the bundled
    MiniLM.

    The id is MiniLM's, whose vectors they are. Where the given vectors have another width there is no such way out:
    InvalidInput.
    """

    def __init__(self, vectors: dict[str, Vectors], name: str = BUNDLED) -> None:
        self.id = name
        self._vectors = vectors
        self._other = SentenceEncoder()
        self.dim = len(next(iter(vectors.values())))

    def encode(self, texts: Sequence[str]) -> Vectors:
        if unknown := [text for text in dict.fromkeys(texts) if text not in self._vectors]:
            if self.dim != self._other.dim:
                raise InvalidInput(f"The benchmark's folder gives no vector for the text '{unknown[0][:60]}'.")
            self._vectors.update(zip(unknown, self._other.encode(unknown), strict=True))
        return np.array([self._vectors[text] for text in texts], np.float32).reshape(-1, self.dim)


@dataclass(frozen=True, eq=False)
class World:
    """What routers may see: ratings on train queries, ratings on validation queries, and the test queries' words."""

    train: PreferenceDataset
    validation: PreferenceDataset
    test: tuple[Query, ...]
    encoder: GivenVectors


@dataclass(frozen=True, eq=False)
class Truth:
    """For scoring only.

    `label` [U, Q]: the LLM felt best; `utility` [U, Q, L] without noise; `scale` of the Gumbel noise felt.
    """

    label: NDArray[np.int64]
    utility: NDArray[np.float64]
    scale: float


def load_world(folder: Path, users: int, ratings: Ratings, losers: int | None = None) -> World:
    """The first `users` users with their first `ratings` pairs each, or with their best of N for every train and val
    query.

    Dense: "best of N" is turned into pairs of the winner and each of the others, sides shuffled, which carry that
    they are one choice: it is one item of information and must not count as N - 1 independent ratings (docs: science,
    likelihoods). With `losers`, only so many of the others, drawn at random. Which they are is part of the data: the
    same for every router and seed. For validation there are the pairs of each user too: what is chosen among many says
    who would win, and too loudly how sure that is of two that were not the best.
    """
    with _reading(folder):
        queries, query_vectors = _queries(folder)
        llms, llm_vectors = _llms(folder)
        index = _Index(_user_ids(folder, users), queries["train"] + queries["val"], llms, len(queries["train"]))
        train, validation = index.dense(folder, losers) if ratings == "dense" else index.sparse(folder, ratings)
        answers = _answers(folder, {q.query_id for q in train.queries})
        train, validation = answers.of_comparisons(train), answers.of_comparisons(validation)
    return World(train, validation, queries["test"], GivenVectors(query_vectors | llm_vectors))


def load_truth(folder: Path, users: int) -> Truth:
    """The truth of the first `users` users, its queries and LLMs in the order in which `load_world` has them.

    Without `noise_scale` in stats.json the utilities are taken as felt (scale near 0).
    """
    with _reading(folder), np.load(folder / "truth.npz", allow_pickle=False) as truth:
        stats = folder / "stats.json"
        scale = float(json.loads(stats.read_text()).get("noise_scale", 0)) if stats.exists() else 0.0
        users = len(_user_ids(folder, users))
        asked = _places(truth["query_ids"], [q.query_id for q in _queries(folder)[0]["test"]])
        column = _places(truth["llm_ids"], [m.llm_id for m in _llms(folder)[0]])
        if len(column) != len(truth["llm_ids"]):
            raise ValueError("truth.npz names LLMs that llms.json does not")
        label = np.argsort(column)[truth["label"][:users][:, asked].astype(np.int64)]
        utility = truth["utility"][:users][:, asked][..., column].astype(np.float64)
    return Truth(label, utility, max(scale, 1e-6))


def _places(names: NDArray[np.generic], wanted: Sequence[str]) -> NDArray[np.intp]:
    """Where in `names` each of `wanted` stands."""
    place = {str(name): i for i, name in enumerate(names)}
    return np.array([place[name] for name in wanted], np.intp)


def _queries(folder: Path) -> tuple[dict[str, tuple[Query, ...]], dict[str, Vectors]]:
    """Queries by split, and the vector of each text."""
    table = pq.read_table(folder / "queries.parquet").to_pydict()
    parts: dict[str, list[Query]] = {"train": [], "val": [], "test": []}
    vectors = {}
    for name, task, text, split, vector in zip(
        *(table[column] for column in ("query_id", "task", "text", "split", "embedding")), strict=True
    ):
        parts[split].append(Query(QueryId(str(name)), (text,), task or ""))
        vectors[text] = np.array(vector, np.float32)
    return {split: tuple(part) for split, part in parts.items()}, vectors


def _llms(folder: Path) -> tuple[tuple[LLM, ...], dict[str, Vectors]]:
    """LLMs in the file's order, which is that of truth.npz, and the vector of each description."""
    described = json.loads((folder / "llms.json").read_text())
    fields = ("name", "family", "description", "input_price", "output_price")
    llms = tuple(LLM(LLMId(m["llm_id"]), **{name: m[name] for name in fields}) for m in described)
    return llms, {m.text: np.array(x["embedding"], np.float32) for m, x in zip(llms, described, strict=True)}


def _answers(folder: Path, queries: set[QueryId]) -> ResponseTraits:
    """Traits of the answers to these queries, where the folder has answers; never of those to test queries."""
    path = folder / "responses.parquet"
    if not path.exists():
        return ResponseTraits.of({})
    table = pq.read_table(path).to_pydict()
    keys = ((QueryId(str(q)), LLMId(m)) for q, m in zip(table["query_id"], table["llm_id"], strict=True))
    return ResponseTraits.of({k: text for k, text in zip(keys, table["text"], strict=True) if k[0] in queries})


def _user_ids(folder: Path, users: int) -> tuple[UserId, ...]:
    with np.load(folder / "truth.npz", allow_pickle=False) as truth:
        ids = tuple(UserId(str(name)) for name in truth["user_ids"])
    if not 1 <= users <= len(ids):
        raise InvalidInput(f"'{folder}' holds {len(ids)} users; {users} were asked for.")
    return ids[:users]


@contextmanager
def _reading(folder: Path) -> Iterator[None]:
    """What a wrong folder raises becomes UnreadableFile."""
    try:
        yield
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise UnreadableFile(f"'{folder}' is not in the format of shared/data/personas: {error}.") from error


class _Index:
    """Rows of users, queries (those from `held_out` on are for validation) and LLMs by id, and ratings read against
    them.
    """

    def __init__(
        self, users: tuple[UserId, ...], queries: tuple[Query, ...], llms: tuple[LLM, ...], held_out: int
    ) -> None:
        self.users, self.queries, self.llms, self.held_out = users, queries, llms, held_out
        self.user_row: dict[str, int] = {name: i for i, name in enumerate(users)}
        self.query_row: dict[str, int] = {q.query_id: i for i, q in enumerate(queries)}
        self.llm_row: dict[str, int] = {m.llm_id: i for i, m in enumerate(llms)}

    def sparse(self, folder: Path, ratings: int) -> tuple[PreferenceDataset, PreferenceDataset]:
        if ratings < 1:
            raise InvalidInput(f"At least one rating a user is needed, not {ratings}.")
        train = self._pairs(folder / "pairs.parquet", ratings)
        if (train.query >= self.held_out).any():
            raise ValueError("pairs.parquet rates queries that are not of the train split")
        validation = self._pairs(folder / "val_pairs.parquet", 10**9)
        return train, replace(validation, ids=validation.ids + len(train))

    def _pairs(self, path: Path, most: int) -> PreferenceDataset:
        ours = [("order", "<", most), ("user_id", "in", list(self.users))]
        table = (
            pq.read_table(path, filters=ours).sort_by([("order", "ascending"), ("user_id", "ascending")]).to_pydict()
        )
        user, query = _rows(table["user_id"], self.user_row), _rows(table["query_id"], self.query_row)
        a, b = _rows(table["llm_a"], self.llm_row), _rows(table["llm_b"], self.llm_row)
        outcome = np.array([OUTCOMES.index(Outcome(word)) for word in table["outcome"]], np.int8)
        return self._dataset(user, query, a, b, outcome)

    def dense(self, folder: Path, losers: int | None) -> tuple[PreferenceDataset, PreferenceDataset]:
        losers = len(self.llms) - 1 if losers is None else losers
        if not 1 <= losers < len(self.llms):
            raise InvalidInput(f"From 1 to {len(self.llms) - 1} losers can be drawn for each best of N, not {losers}.")
        table = pq.read_table(folder / "best.parquet", filters=[("user_id", "in", list(self.users))]).to_pydict()
        user, query = _rows(table["user_id"], self.user_row), _rows(table["query_id"], self.query_row)
        winner, random = _rows(table["llm_id"], self.llm_row), np.random.default_rng(0)
        others = np.argsort(random.random((len(user), len(self.llms) - 1)), axis=1)[
            :, :losers
        ]  # [N, losers], no LLM twice
        loser = ((winner[:, None] + 1 + others) % len(self.llms)).astype(np.int32).ravel()
        user, query, winner = (np.repeat(x, losers) for x in (user, query, winner))
        swapped = random.random(len(user)) < 0.5
        a, b = np.where(swapped, loser, winner), np.where(swapped, winner, loser)
        outcome = np.where(swapped, OUTCOMES.index(Outcome.B), OUTCOMES.index(Outcome.A)).astype(np.int8)
        every = self._dataset(user, query, a, b, outcome)
        if losers > 1:
            every = replace(every, choice=np.repeat(np.arange(len(user) // losers), losers))
        pairs = self._pairs(folder / "val_pairs.parquet", 10**9)
        validation = every.where(every.query >= self.held_out)
        return every.where(every.query < self.held_out), validation.joined(replace(pairs, ids=pairs.ids + len(every)))

    def _dataset(self, user: Ints, query: Ints, a: Ints, b: Ints, outcome: NDArray[np.int8]) -> PreferenceDataset:
        ids = np.arange(len(user), dtype=np.int64)
        return PreferenceDataset(
            self.users, self.queries, self.llms, user, query, a, b, outcome, np.zeros(len(user)), ids
        )


def _rows(names: Sequence[object], row: dict[str, int]) -> Ints:
    return np.array([row[str(name)] for name in names], np.int32)
