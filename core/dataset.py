"""PreferenceDataset: the one value that crosses from stored rows to routers. Frozen, indexed, no database behind it."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from core.domain import LLM, OUTCOMES, Comparison, LLMId, Outcome, Query, QueryId, UserId, content_hash
from core.errors import InvalidInput

Ints = NDArray[np.int32]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
SplitBy = Literal["query", "user", "task", "time"]

LABELS = np.array([outcome.label for outcome in OUTCOMES])


@dataclass(frozen=True, eq=False)
class PreferenceDataset:
    """N comparisons over U users, Q queries and L LLMs.

    `user`, `query`, `llm_a`, `llm_b` are [N] row numbers into `users`, `queries`, `llms`; `outcome` [N] indexes
    `OUTCOMES`; `time` [N] is seconds since 1970 UTC, 0 where unknown; `ids` [N] are the store's comparison ids (or
    0..N-1). Rows are in the order they were rated. Every subset keeps the same users, queries and LLMs, so row numbers
    stay comparable between parts.

    `choice` [N] is equal, and not negative, where one choice among several answers was turned into several comparisons;
    -1 where a comparison stands for itself.

    What is known of the answers shown, if anything: `traits` [R, T] describes R answers, `response_a` and `response_b`
    [N] are the rows of the two shown, -1 where nothing is known. T = 0 where nobody looked.
    """

    users: tuple[UserId, ...]
    queries: tuple[Query, ...]
    llms: tuple[LLM, ...]
    user: Ints
    query: Ints
    llm_a: Ints
    llm_b: Ints
    outcome: NDArray[np.int8]
    time: Floats
    ids: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    traits: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    response_a: Ints = field(default_factory=lambda: np.zeros(0, np.int32))
    response_b: Ints = field(default_factory=lambda: np.zeros(0, np.int32))
    choice: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    def __post_init__(self) -> None:
        n = len(self.user)
        if n and not len(self.choice):
            object.__setattr__(self, "choice", np.full(n, -1, np.int64))
        for name in ("response_a", "response_b"):
            if not self.traits.size:
                object.__setattr__(self, name, np.full(n, -1, np.int32))
                continue
            rows = getattr(self, name)
            if len(rows) != n or (n and not (rows.min() >= -1 and rows.max() < len(self.traits))):
                raise InvalidInput(f"PreferenceDataset: column '{name}' does not fit {n} comparisons.")
        columns = {
            "query": len(self.queries),
            "llm_a": len(self.llms),
            "llm_b": len(self.llms),
            "user": len(self.users),
        }
        for name, size in columns.items():
            column = getattr(self, name)
            if len(column) != n or (n and not (column.min() >= 0 and column.max() < size)):
                raise InvalidInput(f"PreferenceDataset: column '{name}' does not fit {n} comparisons over {size} rows.")
        if not len(self.outcome) == len(self.time) == len(self.ids) == len(self.choice) == n:
            raise InvalidInput("PreferenceDataset: outcome, time, ids and choice must be as long as the other columns.")

    @classmethod
    def from_comparisons(
        cls,
        comparisons: Sequence[Comparison],
        queries: Iterable[Query],
        llms: Iterable[LLM],
        users: Iterable[UserId] = (),
    ) -> Self:
        """Index domain values. Users are those given plus any who rated, sorted; unknown query or LLM raises
        InvalidInput.
        """
        queries, llms = tuple(queries), tuple(llms)
        names = tuple(sorted({*users, *(c.user_id for c in comparisons)}))
        user_row = {name: i for i, name in enumerate(names)}
        query_row = {q.query_id: i for i, q in enumerate(queries)}
        llm_row = {m.llm_id: i for i, m in enumerate(llms)}
        try:
            columns = [
                (
                    user_row[c.user_id],
                    query_row[c.query_id],
                    llm_row[c.llm_a],
                    llm_row[c.llm_b],
                    OUTCOMES.index(c.outcome),
                )
                for c in comparisons
            ]
        except KeyError as error:
            raise InvalidInput(f"A comparison names an unknown query or LLM: {error.args[0]}.") from None
        table = np.array(columns, np.int32).reshape(-1, 5)
        user, query, llm_a, llm_b, outcome = (np.ascontiguousarray(column) for column in table.T)
        time = np.array([_seconds(c.rated_at) for c in comparisons], float)
        made = {key: i for i, key in enumerate(dict.fromkeys(c.choice for c in comparisons if c.choice))}
        choice = np.array([made.get(c.choice, -1) for c in comparisons], np.int64)
        ids = np.arange(len(table), dtype=np.int64)
        return cls(
            names, queries, llms, user, query, llm_a, llm_b, outcome.astype(np.int8), time, ids, choice=choice
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.user)

    @property
    def label(self) -> Floats:
        """[N]: 1 when A won, 0 when B won, 1/2 for a tie or both bad."""
        return LABELS[self.outcome]

    @property
    def place_within_user(self) -> NDArray[np.int64]:
        """[N]: how many comparisons of the same user come before each."""
        order = np.argsort(self.user, kind="stable")
        counts = np.bincount(self.user, minlength=len(self.users))
        place = np.empty(len(self), np.int64)
        place[order] = np.arange(len(self)) - np.repeat(np.cumsum(counts) - counts, counts)
        return place

    @property
    def items(self) -> int:
        """How many choices people made: a comparison that stands for itself is one, all that one choice became too."""
        return len(np.unique(self._item))

    @property
    def of_choices(self) -> bool:
        """Whether most of what people said are choices among several: more than two comparisons came of each item."""
        return len(self) > 2 * self.items

    @property
    def item_within_user(self) -> NDArray[np.int64]:
        """[N]: how many choices of the same user were begun before that of each; a comparison that stands for itself is
        one.
        """
        if (self.choice < 0).all():
            return self.place_within_user
        _, begun, item = np.unique(self._item, return_index=True, return_inverse=True)
        place = np.empty(len(begun), np.int64)
        order = np.lexsort((begun, self.user[begun]))
        users = self.user[begun][order]
        place[order] = np.arange(len(begun)) - np.searchsorted(users, users)
        return place[item]

    @property
    def _item(self) -> NDArray[np.int64]:
        """[N]: a number of its own for each choice of a person, below 0 for a comparison that stands for itself."""
        several, made = np.unique(self.choice, return_inverse=True)
        return np.asarray(
            np.where(self.choice < 0, -1 - np.arange(len(self)), self.user.astype(np.int64) * len(several) + made)
        )

    @property
    def stage(self) -> NDArray[np.int64]:
        """[N]: equal, and not negative, in comparisons that are one choice of a winner among several (or of a loser),
        and so one factor of the likelihood; numbered by users, -1 where a comparison is a factor of its own.

        Of one person's choice, what the same LLM won twice or more is one stage, and what is left and was lost by the
        same LLM is another. So the best of K is one, best and worst of K are two (Marley and Louviere, 2005), and a
        ranking written as all its pairs is Plackett and Luce's: the best, then the best of the others, and so on.
        """
        found = np.full(len(self), -1, np.int64)
        several = np.flatnonzero((self.choice >= 0) & (self.label != 0.5))
        if not len(several):
            return found
        a, b, first = self.llm_a[several], self.llm_b[several], self.label[several] == 1
        made = self._item[several]
        won, lost = (made * len(self.llms) + np.where(first, *sides) for sides in ((a, b), (b, a)))
        _, row, wins = np.unique(won, return_inverse=True, return_counts=True)
        key = 2 * np.where(wins[row] > 1, won, lost) + (wins[row] == 1)
        _, row, size = np.unique(key, return_inverse=True, return_counts=True)
        found[several] = np.where(size[row] > 1, row, -1)
        return found

    @property
    def weight(self) -> Floats:
        """[N]: how much each comparison tells beside one that stands for itself, for who counts comparisons.

        A choice among K answers that became m = K - 1 comparisons is one item, not m: 2 / (m + 1) for each. So together
        they have the Fisher information of a softmax over K equal answers whose features vary alike: (1 - 1/K) of their
        variance, where each comparison alone has 1/4 of twice that variance.
        """
        stage = self.stage
        if (stage < 0).all():
            return np.ones(len(self))
        _, row, size = np.unique(stage, return_inverse=True, return_counts=True)
        return np.asarray(np.where(stage < 0, 1.0, 2 / (size[row] + 1)))

    @cached_property
    def user_row(self) -> dict[UserId, int]:
        """Row number of each user."""
        return {name: i for i, name in enumerate(self.users)}

    @cached_property
    def query_row(self) -> dict[QueryId, int]:
        """Row number of each query."""
        return {q.query_id: i for i, q in enumerate(self.queries)}

    @cached_property
    def llm_row(self) -> dict[LLMId, int]:
        """Row number of each LLM."""
        return {m.llm_id: i for i, m in enumerate(self.llms)}

    def where(self, mask: Mask | NDArray[np.int64]) -> Self:
        """The comparisons picked by a mask [N] or by positions, in that order, over the same rows."""
        names = ("user", "query", "llm_a", "llm_b", "outcome", "time", "ids", "response_a", "response_b", "choice")
        return replace(self, **{name: getattr(self, name)[mask] for name in names})

    def of_user(self, user: UserId) -> Self:
        """What one user said; empty for a stranger. A dataset of this user alone is its own answer."""
        if self.users == (user,):
            return self
        return self.where(self.user == self.user_row.get(user, -1))

    def joined(self, other: Self) -> Self:
        """These comparisons followed by others over the same users, queries and LLMs, else InvalidInput."""
        if (self.users, self.queries, self.llms) != (other.users, other.queries, other.llms):
            raise InvalidInput("Only comparisons over the same users, queries and LLMs can be joined.")
        names = ("user", "query", "llm_a", "llm_b", "outcome", "time", "ids", "choice")
        columns: dict[str, Any] = {n: np.concatenate([getattr(self, n), getattr(other, n)]) for n in names}
        if self.traits is other.traits or not other.traits.size:
            table, moved = self.traits, 0
        elif not self.traits.size:
            table, moved = other.traits, 0
        else:
            table, moved = np.concatenate([self.traits, other.traits]), len(self.traits)
        for name in ("response_a", "response_b"):
            theirs = getattr(other, name)
            columns[name] = np.concatenate([getattr(self, name), np.where(theirs >= 0, theirs + moved, -1)])
            columns[name] = columns[name].astype(np.int32)
        return replace(self, **columns, traits=table)

    def among(self, llms: Sequence[LLM]) -> Self:
        """The comparisons between these LLMs, over these LLMs in this order."""
        column = {m.llm_id: i for i, m in enumerate(llms)}
        to_column = np.array([column.get(m.llm_id, -1) for m in self.llms], np.int32)
        a, b = to_column[self.llm_a], to_column[self.llm_b]
        kept = (a >= 0) & (b >= 0)
        return replace(self.where(kept), llms=tuple(llms), llm_a=a[kept], llm_b=b[kept])

    def upto(self, moment: datetime) -> Self:
        """What was known at a moment: ratings given before it (those of unknown time count as earliest)."""
        return self.where(self.time < _seconds(moment))

    def split(self, by: SplitBy, shares: Sequence[float] = (0.7, 0.1, 0.2), seed: int = 0) -> tuple[Self, ...]:
        """Disjoint parts in the given shares (summing to 1), such that no query (user, task) lies in two of them.

        Queries that begin alike are one conversation judged at several turns: they stay together.

        `time` is chronological within each user: the first 70 % of everyone's ratings, then 10 %, then 20 %. A split by
        single votes is not offered: it shows personal gains that are not there (docs: science, rules of honesty).
        """
        if abs(sum(shares) - 1) > 1e-9 or min(shares) < 0:
            raise InvalidInput(f"Shares of a split must be positive and sum to 1, not {tuple(shares)}.")
        position = self._chronological_position() if by == "time" else self._group_position(by, seed)
        edges = np.cumsum((0.0, *shares))
        edges[-1] = np.inf
        return tuple(self.where((lo <= position) & (position < hi)) for lo, hi in pairwise(edges))

    def _group_position(self, by: SplitBy, seed: int) -> Floats:
        """[N] in [0, 1): where each row's group falls in a seeded shuffle of the groups that have rows."""
        if by == "user":
            group = self.user
        else:
            names = [q.turns[0] if by == "query" else q.task for q in self.queries]
            group = np.unique(names, return_inverse=True)[1].astype(np.int32)[self.query] if len(self) else self.query
        present = np.unique(group)
        position = np.empty(int(present.max(initial=-1)) + 1)
        position[np.random.default_rng(seed).permutation(present)] = np.arange(len(present)) / max(len(present), 1)
        return position[group]

    def _chronological_position(self) -> Floats:
        order = np.lexsort((np.arange(len(self)), self.time, self.user))
        counts = np.bincount(self.user, minlength=len(self.users))
        starts = np.concatenate(([0], np.cumsum(counts)[:-1])) if len(counts) else np.zeros(0, int)
        position = np.empty(len(self))
        rank = np.arange(len(self)) - starts[self.user[order]]
        position[order] = rank / np.maximum(counts[self.user[order]], 1)
        return position

    def fingerprint(self) -> str:
        """SHA-256 of who said what about which words by which LLM: equal content, equal fingerprint, whatever the order
        or row ids.
        """
        words = [content_hash(*q.turns) for q in self.queries]
        return _hashed(
            (self.users[u], words[q], self.llms[a].llm_id, self.llms[b].llm_id, OUTCOMES[o])
            for u, q, a, b, o in zip(self.user, self.query, self.llm_a, self.llm_b, self.outcome, strict=True)
        )

    def outcome_of(self, row: int) -> Outcome:
        """The outcome of one comparison."""
        return OUTCOMES[int(self.outcome[row])]


def fingerprint_of(rows: Iterable[tuple[str, tuple[str, ...], str, str, str]]) -> str:
    """`PreferenceDataset.fingerprint` of (user, turns of the query, LLM A, LLM B, outcome), without the dataset."""
    return _hashed((user, content_hash(*turns), a, b, outcome) for user, turns, a, b, outcome in rows)


def _hashed(rows: Iterable[tuple[str, ...]]) -> str:
    return hashlib.sha256("\x1e".join(sorted("\x1f".join(row) for row in rows)).encode()).hexdigest()


def _seconds(moment: datetime | None) -> float:
    return moment.timestamp() if moment else 0.0
