"""Real scores of LLMs on queries as arrays: llmrouter_quality (nine LLMs) and routellm (a strong and a weak one)."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from core.domain import LLM, LLMId
from core.errors import UnreadableFile

# Dollars per million tokens: what RouteLLM (2406.18665, section 5) reckons for GPT-4 and Mixtral 8x7B.
ROUTELLM_PRICES = (24.7, 0.24)
CHARACTERS_A_TOKEN, ANSWER_TOKENS = 4, 256  # assumptions; the sets hold no token counts
TRAIN_SHARE = 0.6  # of routellm, which comes without a split


@dataclass(frozen=True, eq=False)
class Scores:
    """Texts, tasks [N], quality [N, L] in 0..1, cost [N, L] in dollars, which rows are for training [N]; L LLMs."""

    texts: tuple[str, ...]
    tasks: tuple[str, ...]
    quality: NDArray[np.float64]
    cost: NDArray[np.float64]
    train: NDArray[np.bool_]
    llms: tuple[LLM, ...]


def load_llmrouter(folder: Path, limit: int = 0) -> Scores:
    """The set's own split. Cost = prices times estimated tokens (4 characters a token, 256 tokens of answer)."""
    try:
        queries = pq.read_table(folder / "queries.parquet").to_pydict()
        rows = pq.read_table(folder / "quality.parquet").to_pydict()
        llms = json.loads((folder / "llms.json").read_text())
        row = {name: i for i, name in enumerate(queries["query_id"])}
        column = {m["llm_id"]: i for i, m in enumerate(llms)}
        quality = np.full((len(row), len(column)), np.nan)
        places = [row[q] for q in rows["query_id"]], [column[m] for m in rows["llm_id"]]
        quality[places] = rows["quality"]
        prices = np.array([(m["input_price"], m["output_price"]) for m in llms], float)
        train = np.array([split == "train" for split in queries["split"]])
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise UnreadableFile(f"'{folder}' is not in the format of llmrouter_quality: {error}.") from error
    texts, tasks = tuple(queries["text"]), tuple(queries["task"])
    described = tuple(LLM(LLMId(m["llm_id"]), description=m.get("description", "")) for m in llms)
    return _limited(Scores(texts, tasks, quality, _dollars(texts, prices), train, described), limit)


def load_routellm(folder: Path, limit: int = 0) -> Scores:
    """Strong first. Split at random by words: queries of the same text go to one side."""
    try:
        table = pq.read_table(folder / "routellm.parquet").to_pydict()
        texts, tasks = tuple(table["query_text"]), tuple(table["benchmark"])
        quality = np.array([table["strong_correct"], table["weak_correct"]], float).T
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise UnreadableFile(f"'{folder}' is not in the format of routellm: {error}.") from error
    words, group = np.unique(texts, return_inverse=True)
    place = np.random.default_rng(0).permutation(len(words)) / len(words)
    prices = np.repeat(np.array(ROUTELLM_PRICES)[:, None], 2, axis=1)
    llms = (LLM(LLMId("gpt-4-1106-preview")), LLM(LLMId("mixtral-8x7b")))
    return _limited(Scores(texts, tasks, quality, _dollars(texts, prices), place[group] < TRAIN_SHARE, llms), limit)


def _dollars(texts: "tuple[str, ...] | list[str]", prices: NDArray[np.float64]) -> NDArray[np.float64]:
    asked = np.array([len(text) for text in texts]) / CHARACTERS_A_TOKEN
    return (asked[:, None] * prices[:, 0] + ANSWER_TOKENS * prices[:, 1]) / 1e6


def _limited(scores: Scores, limit: int) -> Scores:
    """At most `limit` queries drawn at random from those with every score; 0 takes all."""
    whole = np.flatnonzero(np.isfinite(scores.quality).all(axis=1))
    kept = np.sort(np.random.default_rng(0).permutation(whole)[: limit or None])
    if not scores.train[kept].any() or scores.train[kept].all():
        raise UnreadableFile("Too few scored queries are left for training or for testing; raise the limit.")
    texts, tasks = (tuple(column[i] for i in kept) for column in (scores.texts, scores.tasks))
    return Scores(texts, tasks, scores.quality[kept], scores.cost[kept], scores.train[kept], scores.llms)
