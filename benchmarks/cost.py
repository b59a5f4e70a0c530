"""Cost against quality on real scores: routers that see only the query, each fitted on the train split, on queries
they have not seen. `knn` and `ridge` learn from the scores, those of the registry from who beats whom.

There are no users in these sets. Costs of llmrouter_quality are estimated: it has prices but no token counts.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers import peer_predictions
from benchmarks.report import interval, progress, show_table, write_json
from benchmarks.scores import Scores, load_llmrouter, load_routellm
from core import costs
from core.encoders import SentenceEncoder, TextEncoder
from core.errors import InvalidInput
from core.evaluation import Estimate
from core.routers import router_class

Floats = NDArray[np.float64]
DRAWS = 200
CHUNK = 512


@dataclass(frozen=True)
class Predictor:
    """Predicted quality [N, L] of test queries from vectors and train scores."""

    name: str
    predict: Callable[[Floats, Floats, Floats], Floats]


def ridge(train: Floats, quality: Floats, test: Floats) -> Floats:
    """Ridge regression of each LLM's quality on the query vector; the penalty is chosen by a fifth of the train
    queries.
    """
    mean, cut = quality.mean(axis=0), max(len(train) // 5, 1)

    def fitted(x: Floats, y: Floats, penalty: float, asked: Floats) -> Floats:
        inverse = x.T @ x + penalty * np.eye(x.shape[1])
        return np.asarray(asked @ np.linalg.solve(inverse, x.T @ (y - mean)) + mean)

    def error(penalty: float) -> float:
        return float(((fitted(train[cut:], quality[cut:], penalty, train[:cut]) - quality[:cut]) ** 2).mean())

    return fitted(train, quality, min((0.3, 1.0, 3.0, 10.0, 30.0, 100.0), key=error), test)


def knn(train: Floats, quality: Floats, test: Floats, neighbours: int = 40) -> Floats:
    """Mean quality of the nearest train queries by cosine, the method of RouterBench's kNN router (2403.12031,
    section 5).
    """
    nearest = min(neighbours, len(train))
    found = [np.argpartition(-(part @ train.T), nearest - 1, axis=1)[:, :nearest]
             for part in np.array_split(test, max(len(test) // CHUNK, 1))]  # fmt: skip
    return np.asarray(quality[np.concatenate(found)].mean(axis=1))


PREDICTORS = (Predictor("knn", knn), Predictor("ridge", ridge))
# Of the registry, by default: those that stand for a peer and need no user.
PEERS = (
    "matrix_factorization", "sw_ranking", "uniroute_kmeans", "uniroute_learned_map", "router_dc", "graph_router",
)  # fmt: skip


def cost(
    data: Path,
    names: Sequence[str],
    cache: Path | None,
    limit: int,
    out: Path | None,
    encoder: TextEncoder | None = None,
    routers: Sequence[str] = PEERS,
) -> None:
    """All figures for each set: `{"rows": [{"set", "router", figure: {"value", "low", "high"}...}]}`; a figure that
    does not apply is null. `routers` are kinds of the registry.
    """
    for kind in routers:
        router_class(kind)  # a wrong name is said before minutes are spent
    loaders = {"llmrouter_quality": load_llmrouter, "routellm": load_routellm}
    if unknown := [name for name in names if name not in loaders]:
        raise InvalidInput(f"There is no set '{unknown[0]}'. Known: {', '.join(loaders)}.")
    encoder, rows = encoder or SentenceEncoder(), []
    for name in names:
        scores = loaders[name](data / name, limit)
        vectors = encoded(scores.texts, encoder, cache)
        rows += _measured(name, scores, vectors, peer_predictions(routers, scores, vectors, encoder))
        write_json(out, {"rows": rows})
    _show(rows)


def encoded(texts: Sequence[str], encoder: TextEncoder, cache: Path | None) -> Floats:
    """[N, dim] vectors; with `cache`, those of texts seen before come from a file there."""
    keys = [hashlib.sha256(text.encode()).hexdigest() for text in texts]
    path = None if cache is None else cache / f"vectors-{hashlib.sha256(encoder.id.encode()).hexdigest()[:12]}.npz"
    known: dict[str, NDArray[np.float32]] = {}
    if path is not None and path.exists():
        with np.load(path, allow_pickle=False) as file:
            known = dict(zip(file["keys"].tolist(), file["vectors"], strict=True))
    wanted = list({key: i for i, key in enumerate(keys) if key not in known}.values())
    for start in range(0, len(wanted), CHUNK):
        part = wanted[start : start + CHUNK]
        known.update(zip((keys[i] for i in part), encoder.encode([texts[i] for i in part]), strict=True))
        progress(f"encoded {start + len(part)} of {len(wanted)} texts")
    if path is not None and wanted:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(path, keys=np.array(list(known)), vectors=np.array(list(known.values()), np.float32))
    return np.array([known[key] for key in keys], np.float64)


def _measured(name: str, scores: Scores, vectors: Floats, peers: dict[str, Floats]) -> list[dict[str, object]]:
    train, test = scores.train, ~scores.train
    quality, cost_of = scores.quality[test], scores.cost[test]
    predictions = {p.name: p.predict(vectors[train], scores.quality[train], vectors[test]) for p in PREDICTORS}
    predictions |= {kind if kind not in predictions else f"{kind} of the registry": p for kind, p in peers.items()}
    best = scores.quality[train].mean(axis=0)
    predictions["random"] = np.random.default_rng(0).random(quality.shape)
    predictions["best on train"] = np.tile(best, (len(quality), 1))
    predictions["(oracle)"] = quality
    rows = []
    for router, predicted in predictions.items():
        figures = _with_intervals(predicted, quality, cost_of)
        rows.append({"set": name, "router": router, "queries": int(test.sum()), **figures})
        progress(f"{name} {router}: done")
    return rows


def _with_intervals(predicted: Floats, quality: Floats, cost_of: Floats) -> dict[str, object]:
    """Each figure with an interval by bootstrap over test queries; null where it does not apply."""
    values = figures(predicted, quality, cost_of)
    random = np.random.default_rng(0)
    drawn = []
    for _ in range(DRAWS):
        row = random.integers(len(quality), size=len(quality))
        drawn.append(figures(predicted[row], quality[row], cost_of[row]))
    found: dict[str, object] = {}
    for name, value in values.items():
        several = np.array([d[name] for d in drawn if d[name] is not None], float)
        if value is None or not len(several):
            found[name] = None
            continue
        low, high = np.quantile(several, [0.025, 0.975])
        found[name] = {"value": value, "low": float(low), "high": float(high)}
    return found


def figures(predicted: Floats, quality: Floats, cost_of: Floats) -> dict[str, float | None]:
    """Every figure of `core.costs` for predicted quality [N, L].

    RouteLLM's pair is the best single LLM and the cheapest.
    """
    single_cost, single_quality = cost_of.mean(axis=0), quality.mean(axis=0)
    low, high = float(single_cost.min()), float(single_cost.max())
    picks = costs.deferral_picks(predicted, cost_of, 0.0)
    curve = costs.deferral_curve(predicted, quality, cost_of, steps=60)
    found: dict[str, float | None] = {
        "quality": float(quality[np.arange(len(picks)), picks].mean()),
        "value_over_best": costs.value_over_best(float(quality[np.arange(len(picks)), picks].mean()), single_quality),
        "pick_entropy": costs.pick_entropy(picks, quality.shape[1]),
        "deferral_area": costs.deferral_area(curve, low, high),
        "qnc": costs.quality_neutral_cost(curve, single_cost, single_quality),
        "aiq": costs.quality_improvement(curve, low, high),
        "aiq_zero_router": costs.quality_improvement(costs.zero_router(single_cost, single_quality), low, high),
    }
    strong, weak = int(np.argmax(single_quality)), int(np.argmin(single_cost))
    pair: dict[str, float | None] = dict.fromkeys(("pgr_half", "apgr", "cpt50", "cpt80"))
    if single_quality[strong] > single_quality[weak]:
        calls = costs.call_curve(predicted[:, strong] - predicted[:, weak], quality[:, strong], quality[:, weak])
        ends = (float(calls.quality[-1]), float(calls.quality[0]))
        pair = {
            "pgr_half": float(costs.performance_gap_recovered(calls.at(np.array([0.5])), *ends)[0]),
            "apgr": costs.average_gap_recovered(calls),
            "cpt50": costs.call_share_for(calls, 0.5), "cpt80": costs.call_share_for(calls, 0.8),
        }  # fmt: skip
    return {**found, **pair}


def _show(rows: Sequence[dict[str, object]]) -> None:
    names = [key for key in rows[0] if key not in ("set", "router", "queries")]
    for name in dict.fromkeys(str(row["set"]) for row in rows):
        own = [row for row in rows if row["set"] == name]
        title = f"{name}: {own[0]['queries']} test queries, 95 % intervals over queries"
        for part in (names[:4], names[4:7], names[7:]):
            show_table(
                title, ("router", *part), [(str(row["router"]), *(_cell(row[key]) for key in part)) for row in own]
            )


def _cell(value: object) -> str:
    return interval(Estimate(value["value"], value["low"], value["high"], 0)) if isinstance(value, dict) else "-"
