"""What a router would have been worth on logged decisions that another one made: inverse-propensity estimates.

A decision was made with a known probability, its propensity; a reward it earned counts for another router by how much
more often that one would have made it (Horvitz and Thompson, 1952). The self-normalised form divides by the sum of the
weights (Swaminathan and Joachims, 2015): a little biased, far less noisy. Where the logging router never explored,
decisions that it never makes cannot be judged; `covered` says how much of the other router's choices the log speaks of.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from core.errors import NotEnoughData
from core.evaluation import Estimate

Floats = NDArray[np.float64]
BOOTSTRAPS = 1000
LARGEST_WEIGHT = 100.0  # a propensity below a hundredth is cut there: one decision must not be the whole estimate


@dataclass(frozen=True, eq=False)
class LoggedChoices:
    """N rewarded decisions: `user` [N] ids, `probability` [N, L] of what the router said then over `llms` (0 where it
    did not know one), `chosen` [N] columns, `propensity` [N] of the choice, `reward` [N] in 0..1.
    """

    llms: tuple[str, ...]
    user: NDArray[np.int64]
    probability: Floats
    chosen: NDArray[np.int64]
    propensity: Floats
    reward: Floats

    def __len__(self) -> int:
        return len(self.reward)

    @classmethod
    def of(cls, rows: Sequence[tuple[int, dict[str, float], str, float, float]]) -> Self:
        """From (user, probabilities, chosen LLM, propensity, reward)."""
        llms = tuple(sorted({llm for _, said, chosen, _, _ in rows for llm in (*said, chosen)}))
        column = {llm: i for i, llm in enumerate(llms)}
        probability = np.zeros((len(rows), len(llms)))
        for i, (_, said, _, _, _) in enumerate(rows):
            for llm, p in said.items():
                probability[i, column[llm]] = p
        return cls(
            llms, np.array([row[0] for row in rows], np.int64), probability,
            np.array([column[row[2]] for row in rows], np.int64), np.array([row[3] for row in rows], float),
            np.array([row[4] for row in rows], float),
        )  # fmt: skip


class OffPolicy(NamedTuple):
    """The value of a router: mean reward, by `plain` weighting and `normalised`, with 95 % intervals over users.

    `covered` is the mean weight, 1 in expectation where the log explored all that the router would choose; `effective`
    is how many decisions of its own the weighted ones are worth.
    """

    plain: Estimate
    normalised: Estimate
    covered: float
    effective: float
    decisions: int


def off_policy_value(logged: LoggedChoices, target: Floats, seed: int = 0) -> OffPolicy:
    """What choosing by `target` [N, L], the probabilities with which a router would choose, would have earned.

    Raises NotEnoughData without a rewarded decision.
    """
    if not len(logged):
        raise NotEnoughData("No decision has been rated yet: send thumbs or comparisons for some decisions first.")
    rows = np.arange(len(logged))
    floor = np.maximum(logged.propensity, 1 / LARGEST_WEIGHT)
    weight = target[rows, logged.chosen] / floor
    earned = weight * logged.reward
    users, group = np.unique(logged.user, return_inverse=True)
    sums = np.stack([np.bincount(group, column, len(users)) for column in (earned, weight, np.ones(len(rows)))])
    counts = np.random.default_rng(seed).multinomial(
        len(users), np.full(len(users), 1 / len(users)), size=BOOTSTRAPS
    )  # [B, users]
    drawn = counts @ sums.T  # [B, 3]
    with np.errstate(invalid="ignore", divide="ignore"):
        plain, normalised = drawn[:, 0] / drawn[:, 2], drawn[:, 0] / drawn[:, 1]
    total = sums.sum(1)
    return OffPolicy(
        _estimate(total[0] / total[2], plain, len(users)),
        _estimate(total[0] / total[1] if total[1] else float("nan"), normalised, len(users)),
        float(weight.mean()),
        float(weight.sum() ** 2 / max(float((weight**2).sum()), 1e-12)),
        len(logged),
    )


def greedy(probability: Floats) -> Floats:
    """[N, L]: all on the most probable LLM, shared among equals: how a router serves without exploring."""
    top = probability >= probability.max(axis=-1, keepdims=True)
    return np.asarray(top / top.sum(axis=-1, keepdims=True))


def _estimate(value: float, drawn: Floats, users: int) -> Estimate:
    low, high = (
        np.nanquantile(drawn, [0.025, 0.975]) if np.isfinite(drawn).any() else (float("nan"), float("nan"))
    )  # fmt: skip
    return Estimate(float(value), float(low), float(high), users)
