"""A person's best LLM for each task: win rates in a hierarchy, user and task -> user, task -> population."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import ClassVar, NamedTuple, Self

import numpy as np

from core.dataset import PreferenceDataset
from core.domain import Query, UserId
from core.encoders import TextEncoder
from core.routers.base import Probabilities, softmax
from core.routers.best_llm import population_counts
from core.routers.calibration import Calibrated, calibrate
from core.routers.own_ratings import own_ratings
from core.routers.remembered import remembered
from core.routers.stored import StoredRouter
from core.routers.vectors import task_names, task_rows
from core.routers.win_rates import Floats, WinCounts, logit, sigmoid

POPULATION_STRENGTH = 4.0


class Shrinkage(NamedTuple):
    """What each prior of the hierarchy is worth, in games."""

    task: float
    user: float
    user_task: float


# The first is the default when there is no validation rating.
CANDIDATES = [
    Shrinkage(16.0, 8.0, 8.0),
    *(
        Shrinkage(*knobs)
        for knobs in product((4.0, 16.0, 64.0), (2.0, 4.0, 8.0, 16.0, 32.0), (2.0, 4.0, 8.0, 16.0, 64.0))
    ),
]


@dataclass(frozen=True, eq=False)
class UserTaskBestRouter(StoredRouter):
    """Win rates of the population [L] and of each task [T, L], the shrinkage, and the scale of scores."""

    tasks: tuple[str, ...]
    population: Floats
    task: Floats
    shrinkage: tuple[float, float, float]
    scale: float

    kind: ClassVar[str] = "user_task_best"

    @classmethod
    def fit(
        cls, train_part: PreferenceDataset, validation: PreferenceDataset, encoder: TextEncoder, *, seed: int = 0
    ) -> Self:
        """The three strengths of shrinkage and the scale are chosen on validation. Texts and the seed are not used."""
        tasks = task_names(train_part.queries)
        asked = task_rows(train_part.queries, tasks)
        users, size, llms = len(train_part.users), len(tasks) + 1, len(train_part.llms)
        group = train_part.user.astype(np.int64) * size + asked[train_part.query]
        flat = WinCounts.by_group(
            group, users * size, train_part.llm_a, train_part.llm_b, train_part.label, llms, train_part.weight
        )
        counts = WinCounts(flat.wins.reshape(users, size, llms), flat.games.reshape(users, size, llms))
        population = population_counts(train_part).rate(0.5, POPULATION_STRENGTH)

        def calibrated(shrinkage: Shrinkage) -> Calibrated:
            task = _task_rates(counts.total(), population, shrinkage)
            score = logit(_rates(counts, population, task, shrinkage))  # [U, T + 1, L]
            user, row = validation.user, task_rows(validation.queries, tasks)[validation.query]
            return calibrate(score[user, row, validation.llm_a] - score[user, row, validation.llm_b], validation.label)

        tried = [(calibrated(shrinkage), shrinkage) for shrinkage in CANDIDATES]
        best, shrinkage = min(tried, key=lambda pair: pair[0].loss)
        task = _task_rates(counts.total(), population, shrinkage)
        return cls(tuple(m.llm_id for m in train_part.llms), tasks, population, task, shrinkage, best.scale)

    def predict_proba(
        self, user: UserId, queries: Sequence[Query], history: PreferenceDataset | None = None
    ) -> Probabilities:
        """See `Router`. The same row for every query of one user and task; a task never seen takes the user's rates
        over all tasks.
        """
        probabilities = remembered(history, self.population, user, lambda: self._of_tasks(user, history))
        return probabilities[task_rows(queries, self.tasks)]

    def _of_tasks(self, user: UserId, history: PreferenceDataset | None) -> Probabilities:
        """[T + 1, L]: what is predicted for a query of each task."""
        own = own_ratings(user, history, self.llms)
        group = task_rows(own.queries, self.tasks)[own.query]
        counts = WinCounts.by_group(group, len(self.tasks) + 1, own.a, own.b, own.label, len(self.llms), own.weight)
        rates = _rates(counts, self.population, self.task, Shrinkage(*self.shrinkage))
        return softmax(self.scale * logit(rates))


def _task_rates(counts: WinCounts, population: Floats, shrinkage: Shrinkage) -> Floats:
    """[T + 1, L] rates of each task; the last row is the population's, for queries without a known task."""
    return np.concatenate([counts.rate(population, shrinkage.task)[:-1], population[None]])


def _rates(counts: WinCounts, population: Floats, task: Floats, shrinkage: Shrinkage) -> Floats:
    """[..., T + 1, L] rates of one or many users, given their counts of that shape."""
    user = counts.total(axis=-2).rate(population, shrinkage.user)[..., None, :]
    # Before any rating on a task, the user's and the task's departures from the population add up on the logit scale.
    expected = sigmoid(logit(user) + logit(task) - logit(population))
    rates = counts.rate(expected, shrinkage.user_task)
    rates[..., -1, :] = user[..., 0, :]
    return rates
