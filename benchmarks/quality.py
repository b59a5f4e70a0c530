"""Every router on a simulated world: does it pick what this person likes best on queries nobody has rated, and what
does that cost.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.measurement import Cell, Measured, measure
from benchmarks.report import interval, progress, show_table, write_json
from benchmarks.scoring import Score, Summary, oracle, score, summary
from benchmarks.world import Ratings, Truth, load_truth
from core.errors import PrefRouteError
from core.evaluation import over_users
from core.routers import router_class

Row = dict[str, str | int | float]
HEAD = ("router", "top1", "utility", "log_loss", "ece", "fit CPU s", "predict us", "peak MB")


@dataclass(frozen=True, eq=False)
class Line:
    """A router's line of the table: its scores and costs, one of each a seed."""

    router: str
    scores: tuple[Score, ...]
    measured: tuple[Measured, ...]


def quality(
    folder: Path, users: int, ratings: Ratings, seeds: int, losers: int | None, routers: Sequence[str], out: Path | None
) -> bool:
    """Measure, print the table, write `{"rows":

    [...]}` after every router. False where one of them could not be measured.
    """
    for name in routers:
        router_class(name)  # a wrong name is said before an hour is spent
    truth, lines, rows, failed = load_truth(folder, users), [], [], []
    for name in routers:
        try:
            line = _line([Cell(folder, users, ratings, losers, name, seed) for seed in range(seeds)], truth)
        except (PrefRouteError, ValueError, ArithmeticError, LookupError, RuntimeError, TypeError) as error:
            # one router's defect must not cost the figures of the others; it is said, and the exit code tells
            progress(f"{name}: NOT MEASURED: {type(error).__name__}: {error}")
            failed.append(name)
            continue
        lines.append(line)
        rows += [_row(line, seed, users, ratings) for seed in range(seeds)]
        write_json(out, {"rows": rows})
    _show(folder, users, ratings, seeds, lines, truth)
    for name in failed:
        print(f"{name}: not measured, see above")
    return not failed


def _line(cells: Sequence[Cell], truth: Truth) -> Line:
    scores, measured = [], []
    for cell in cells:
        found = measure(cell)
        scores.append(score(found, truth))
        measured.append(found)
        progress(f"{cell.router} seed {cell.seed}: top1 {scores[-1].top1.mean():.4f}, fit {found.fit_cpu_s:.1f} CPU s")
    return Line(cells[0].router, tuple(scores), tuple(measured))


def _row(line: Line, seed: int, users: int, ratings: Ratings) -> Row:
    found, cost = summary(line.scores[seed : seed + 1]), line.measured[seed]
    return {
        "router": line.router, "users": users, "ratings": ratings, "seed": seed, "top1": found.top1.value,
        "utility": found.utility.value, "log_loss": found.log_loss.value, "ece": found.ece.value,
        "fit_cpu_s": cost.fit_cpu_s, "predict_us": cost.predict_us, "peak_mb": cost.peak_mb,
    }  # fmt: skip


def _show(folder: Path, users: int, ratings: Ratings, seeds: int, lines: Sequence[Line], truth: Truth) -> None:
    table = [(*_cells(line.router, summary(line.scores), line.measured), _above(lines[0], line)) for line in lines]
    # not in the JSON: a reader of its rows takes the best of them for a router
    table.append((*_cells("(oracle)", summary([oracle(truth)]), ()), "-"))
    given = "best of N for every query" if ratings == "dense" else f"{ratings} ratings each"
    show_table(
        f"{folder.name}: {users} simulated users, {given}, mean of {seeds} seed(s), "
        "95 % intervals over users (for these test queries)",
        (*HEAD, "top1 below the first router's"),
        table,
    )


def _above(first: Line, other: Line) -> str:
    """By how much the first router's top-1 is above another's, paired over users."""
    if other is first:
        return "-"
    top1, others = (np.mean([score.top1 for score in line.scores], axis=0) for line in (first, other))
    return interval(over_users(top1 - others, np.ones(len(top1))))


def _cells(name: str, found: Summary, measured: Sequence[Measured]) -> tuple[str, ...]:
    figures = [interval(getattr(found, column)) for column in HEAD[1:5]]
    if not measured:
        return (name, *figures, "-", "-", "-")
    cpu, each, peak = np.mean([(m.fit_cpu_s, m.predict_us, m.peak_mb) for m in measured], axis=0)
    return (name, *figures, f"{cpu:.1f}", f"{each:.0f}", f"{peak:.0f}")
