"""Bradley-Terry per task: a task's strengths are the population's plus a deviation, shrunk towards none."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from core.dataset import PreferenceDataset
from core.domain import Query, UserId
from core.encoders import TextEncoder
from core.routers.base import Probabilities, softmax
from core.routers.bradley_terry import BradleyTerryRouter
from core.routers.calibration import least_loss, log_loss
from core.routers.stored import StoredRouter
from core.routers.vectors import task_names, task_rows
from core.strengths import Floats, bradley_terry

PRECISIONS = (10.0, 1.0, 3.0, 30.0, 100.0, 300.0)  # the first without validation


@dataclass(frozen=True, eq=False)
class TaskBradleyTerryRouter(StoredRouter):
    """Strengths [T + 1, L] of the tasks; the last row is the population's, for queries of no known task."""

    tasks: tuple[str, ...]
    strength: Floats

    kind: ClassVar[str] = "task_bradley_terry"

    @classmethod
    def fit(
        cls, train_part: PreferenceDataset, validation: PreferenceDataset, encoder: TextEncoder, *, seed: int = 0
    ) -> Self:
        """The precision of tasks around the population is chosen on validation. Texts and the seed are not used."""
        population = BradleyTerryRouter.fit(train_part, validation, encoder).strength
        tasks = task_names(train_part.queries)
        rated, asked = task_rows(train_part.queries, tasks)[train_part.query], task_rows(validation.queries, tasks)
        of_task = [train_part.where(rated == t) for t in range(len(tasks))]

        def strengths(precision: float) -> Floats:
            own = [bradley_terry(p.llm_a, p.llm_b, p.label, population, precision, p.weight).value for p in of_task]
            return np.stack([*own, population])

        def loss(strength: Floats) -> float:
            row = asked[validation.query]
            return log_loss(strength[row, validation.llm_a] - strength[row, validation.llm_b], validation.label)

        best = least_loss([strengths(precision) for precision in PRECISIONS], loss)
        return cls(tuple(m.llm_id for m in train_part.llms), tasks, best)

    def predict_proba(
        self, user: UserId, queries: Sequence[Query], history: PreferenceDataset | None = None
    ) -> Probabilities:
        """See `Router`. The same for every user."""
        return softmax(self.strength[task_rows(queries, self.tasks)])
