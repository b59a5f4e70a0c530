"""A tiny world in the format of shared/data/personas, and small copies of the formats of real scores and real votes."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core.dataset import PreferenceDataset
from core.domain import LLM, LLMId, Query, QueryId
from core.simulation import Habits, SimulatedWorld, Truth, rated
from tests.planted import HashEncoder

USERS, SCALE = 24, 0.3
SPLITS = {"train": 20, "val": 6, "test": 8}
WORDS = {"code": "function loop array bug", "letters": "dear friend birthday party"}


@pytest.fixture(scope="session")
def world_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two camps of users who like opposite LLMs, 30 pairs each, in every file the format names."""
    folder = tmp_path_factory.mktemp("planted")
    random, encoder = np.random.default_rng(1), HashEncoder()
    queries = tuple(
        Query(QueryId(f"q{i:02}"), (f"{words} number{i}",), task)
        for i, (task, words) in enumerate(list(WORDS.items()) * (sum(SPLITS.values()) // 2))
    )
    splits = np.repeat(list(SPLITS), list(SPLITS.values()))
    llms = tuple(
        LLM(LLMId(f"llm-{i}"), f"LLM {i}", "planted", f"writes in style {i}", 0.1, 0.2 * (i + 1)) for i in range(5)
    )
    camp = np.arange(USERS) % 2
    features = random.normal(size=(len(queries), len(llms), 1)) * 0.3 + np.linspace(-2, 2, len(llms))[:, None]
    truth = Truth(np.where(camp == 0, 1.0, -1.0)[:, None], features)
    parts = {split: np.flatnonzero(splits == split) for split in SPLITS}
    worlds = {
        split: rated(
            "test", [queries[i] for i in rows], llms, Truth(truth.weights, features[rows]), Habits(pairs, SCALE), seed
        )
        for seed, (split, rows, pairs) in enumerate((("train", parts["train"], 30), ("val", parts["val"], 6)))
    }
    test = rated(
        "test",
        [queries[i] for i in parts["test"]],
        llms,
        Truth(truth.weights, features[parts["test"]]),
        Habits(1, SCALE),
        9,
    )
    write_queries(folder, queries, splits, llms, encoder)
    pairs_of(worlds["train"].dataset).to_parquet(folder / "pairs.parquet")
    pairs_of(worlds["val"].dataset).to_parquet(folder / "val_pairs.parquet")
    pd.concat([best_of(worlds["train"]), best_of(worlds["val"])]).to_parquet(folder / "best.parquet")
    np.savez(
        folder / "truth.npz",
        user_ids=np.array(test.dataset.users),
        query_ids=np.array([q.query_id for q in test.dataset.queries]),
        llm_ids=np.array([m.llm_id for m in llms]),
        label=test.best.astype(np.int8),
        group=camp.astype(np.int8),
        utility=test.truth.utility().astype(np.float16),
    )
    (folder / "stats.json").write_text(json.dumps({"simulated": True, "noise_scale": SCALE}))
    return folder


def write_queries(folder: Path, queries, splits, llms, encoder) -> None:
    vectors = encoder.encode([q.text for q in queries])
    pd.DataFrame({
        "query_id": [q.query_id for q in queries], "task": [q.task for q in queries], "text": [q.text for q in queries],
        "split": splits, "embedding": list(vectors),
    }).to_parquet(folder / "queries.parquet")  # fmt: skip
    fields = ("llm_id", "name", "family", "description", "input_price", "output_price")
    described = [
        {**{f: getattr(m, f) for f in fields}, "embedding": encoder.encode([m.text])[0].tolist()} for m in llms
    ]
    (folder / "llms.json").write_text(json.dumps(described))


def pairs_of(data: PreferenceDataset) -> pd.DataFrame:
    names = [m.llm_id for m in data.llms]
    order = np.concatenate([np.arange(n) for n in np.bincount(data.user)])
    return pd.DataFrame(
        {
            "user_id": [data.users[u] for u in data.user],
            "order": order,
            "query_id": [data.queries[q].query_id for q in data.query],
            "llm_a": [names[i] for i in data.llm_a],
            "llm_b": [names[i] for i in data.llm_b],
            "outcome": [str(data.outcome_of(i)) for i in range(len(data))],
        }
    )


def best_of(world: SimulatedWorld) -> pd.DataFrame:
    data = world.dataset
    user, query = np.indices(world.best.shape).reshape(2, -1)
    return pd.DataFrame(
        {
            "user_id": [data.users[u] for u in user],
            "query_id": [data.queries[q].query_id for q in query],
            "llm_id": [data.llms[i].llm_id for i in world.best.ravel()],
        }
    )


@pytest.fixture(scope="session")
def real_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Formats of llmrouter_quality, routellm and the judgement sets, with invented content."""
    folder, random = tmp_path_factory.mktemp("real"), np.random.default_rng(3)
    for name in ("llmrouter_quality", "routellm", "mt_bench_human", "prd_llm_judges"):
        (folder / name).mkdir()
    texts = [f"{WORDS['code' if i % 2 else 'letters']} case{i % 50}" for i in range(120)]
    ids = [f"q{i}" for i in range(120)]
    split = np.where(np.arange(120) < 80, "train", "test")
    pd.DataFrame({"query_id": ids, "task": "t", "split": split, "text": texts}).to_parquet(
        folder / "llmrouter_quality/queries.parquet"
    )
    llms = [{"llm_id": f"m{i}", "input_price": 0.1 * (i + 1), "output_price": 0.1 * (i + 1)} for i in range(3)]
    (folder / "llmrouter_quality/llms.json").write_text(json.dumps(llms))
    right = [float(random.random() < (0.9 if (i + m) % 2 else 0.2 + 0.2 * m)) for i in range(120) for m in range(3)]
    quality = {"query_id": np.repeat(ids, 3), "llm_id": ["m0", "m1", "m2"] * 120, "quality": right}
    pd.DataFrame(quality).to_parquet(folder / "llmrouter_quality/quality.parquet")
    weak = np.arange(120) % 2 == 0
    strong = random.random(120) < 0.9
    table = {"query_id": ids, "benchmark": "gsm8k", "query_text": texts, "strong_correct": strong, "weak_correct": weak}
    pd.DataFrame(table).to_parquet(folder / "routellm/routellm.parquet")
    votes(random, users=12, personal=False).to_parquet(folder / "mt_bench_human/human_judgments.parquet")
    votes(random, users=4, personal=True).to_parquet(folder / "prd_llm_judges/judgments.parquet")
    return folder


def votes(random: np.random.Generator, users: int, personal: bool) -> pd.DataFrame:
    rows = []
    for user in range(users):
        taste = np.arange(4) * (-1 if personal and user % 2 else 1)
        for n in range(60):
            a, b = random.permutation(4)[:2]
            asked = f"question {n % 20}"
            won = taste[a] + random.gumbel() > taste[b] + random.gumbel()
            sides = {
                f"conversation_{s}": [{"role": "user", "content": asked}, {"role": "assistant", "content": f"by {m}"}]
                for s, m in (("a", a), ("b", b))
            }
            rows.append(
                {
                    "question_id": n % 20,
                    "model_a": f"m{a}",
                    "model_b": f"m{b}",
                    "winner": "model_a" if won else "model_b",
                    "judge": f"u{user}",
                    "turn": 1,
                    **sides,
                }
            )
    return pd.DataFrame(rows)
