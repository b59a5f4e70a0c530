"""One router fitted and asked in a process of its own, so that CPU and memory are its own.

The truth never enters that process.
"""

import os
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.memory import PeakMemory
from benchmarks.world import Ratings, World, load_world
from core.dataset import PreferenceDataset
from core.domain import LLM, Query
from core.errors import NotEnoughData
from core.evaluation import Predictions, predict_pairs
from core.routers import router_class
from core.routers.base import Router


@dataclass(frozen=True)
class Cell:
    """One cell of the grid: which router, on which ratings, with which seed."""

    folder: Path
    users: int
    ratings: Ratings
    losers: int | None
    router: str
    seed: int


@dataclass(frozen=True, eq=False)
class Measured:
    """What a router said about every user and test query [U, Q, L] and about the validation pairs (None where it fits
    its own scale), and what that took.

    `fit_cpu_s` is CPU time of the process (all threads) in `fit`; `predict_us` CPU microseconds for one user and one
    query, the history being folded in once for the test queries of a user; `peak_mb` the most memory in `fit` and
    `predict_proba` above that of the loaded data, with the libraries that the router brings (torch) counted.
    """

    probability: NDArray[np.float64]
    validation: Predictions | None
    fit_cpu_s: float
    predict_us: float
    peak_mb: float


def measure(cell: Cell) -> Measured:
    """Run a cell in a fresh process, by one thread as the app trains, unless OMP_NUM_THREADS says otherwise.

    Raises what the router raises, NotEnoughData where the process died (memory).
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # read where the fresh process loads its libraries
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(measure_here, cell).result()
        except BrokenProcessPool:
            raise NotEnoughData("The process ended without a word: most likely it ran out of memory.") from None


def measure_here(cell: Cell) -> Measured:
    """Load the ratings, fit, ask."""
    world = load_world(cell.folder, cell.users, cell.ratings, cell.losers)
    memory = PeakMemory()
    kind = router_class(cell.router)  # brings the libraries: counted as memory, not as CPU
    started = time.process_time()
    router = kind.fit(world.train, world.validation, world.encoder, seed=cell.seed)
    fitted = time.process_time()
    histories = [world.train.of_user(user) for user in world.train.users]
    began = time.process_time()
    probability = ask(router, world, histories)
    spent, peak = time.process_time() - began, memory.above_start()
    # Who fits its own scale has learned from the validation queries too; a scale fitted to them would flatter it.
    own_scale = getattr(router, "calibrated", False)
    validation = None if own_scale else predict_pairs(router, world.validation, world.train)
    each = spent * 1e6 / (len(histories) * len(world.test))
    return Measured(probability, validation, fitted - started, each, peak)


def ask(router: Router, world: World, histories: list[PreferenceDataset]) -> NDArray[np.float64]:
    """[U, Q, L] in the order of the world's users, test queries and LLMs.

    Raises ValueError where rows are no probabilities.
    """
    columns = column_order(router, world.train.llms)
    answers = [predicted(router, world, row, world.test, own)[:, columns] for row, own in enumerate(histories)]
    return np.stack(answers)


def predicted(
    router: Router, world: World, row: int, queries: tuple[Query, ...], history: PreferenceDataset | None
) -> NDArray[np.float64]:
    """[Q, L] for one user, checked: a router that breaks the contract must not get a figure."""
    p = router.predict_proba(world.train.users[row], queries, history)
    if p.shape != (len(queries), len(router.llms)) or not np.allclose(p.sum(axis=1), 1, atol=1e-4):
        raise ValueError(f"The router's rows are no probabilities over its {len(router.llms)} LLMs (shape {p.shape}).")
    return p


def column_order(router: Router, llms: tuple[LLM, ...]) -> NDArray[np.intp]:
    """Where the router has the column of each LLM."""
    column = {name: i for i, name in enumerate(router.llms)}
    return np.array([column[m.llm_id] for m in llms], np.intp)
