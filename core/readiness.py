"""What training needs before it can start: the checklist that pages show and training holds to."""

from typing import NamedTuple

import numpy as np

from core.dataset import PreferenceDataset
from core.errors import NotEnoughData

MINIMUM_RATINGS = 60
MINIMUM_QUERIES = 10


class Requirement(NamedTuple):
    """One line of the readiness checklist: how many there are and how many training needs."""

    name: str
    have: int
    need: int

    @property
    def met(self) -> bool:
        return self.have >= self.need


def readiness(ratings: int, decisive: int, queries: int, llms: int) -> tuple[Requirement, ...]:
    """What training needs, with how much of it is there."""
    return (
        Requirement("ratings", ratings, MINIMUM_RATINGS),
        Requirement("decisive ratings", decisive, MINIMUM_RATINGS // 2),
        Requirement("rated queries", queries, MINIMUM_QUERIES),
        Requirement("rated LLMs", llms, 2),
    )


def check_enough(dataset: PreferenceDataset) -> None:
    """Raises NotEnoughData that says what is missing."""
    rated_llms = np.unique(np.concatenate([dataset.llm_a, dataset.llm_b]))
    needs = readiness(len(dataset), int((dataset.label != 0.5).sum()), len(np.unique(dataset.query)), len(rated_llms))
    if missing := [f"{need.have} of {need.need} {need.name}" for need in needs if not need.met]:
        raise NotEnoughData(f"Not enough to train on yet: {', '.join(missing)}. Rate more pairs, or import ratings.")
