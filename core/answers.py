"""What a person says beside which response they like better: how much, why, and how each does by criteria."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from core.campaigns import CampaignPlan, Scale
from core.domain import Outcome
from core.errors import InvalidInput

MAX_COMMENT = 2_000
STARS = 5


class Reason(StrEnum):
    """Why one response is liked better. Persisted by value."""

    CORRECT = "correct"
    COMPLETE = "complete"
    FOLLOWS = "follows"
    CLEAR = "clear"
    CONCISE = "concise"
    STYLE = "style"
    SAFE = "safe"


@dataclass(frozen=True, slots=True)
class Step:
    """One of the five steps: who is better, and how much (2 much, 1 somewhat, 0 about equal)."""

    outcome: Outcome
    strength: int


STEPS = (Step(Outcome.A, 2), Step(Outcome.A, 1), Step(Outcome.TIE, 0), Step(Outcome.B, 1), Step(Outcome.B, 2))


@dataclass(frozen=True, slots=True)
class Detail:
    """Beside an outcome: a strength of the five steps, reasons, stars (criterion -> {"a": 1..5, "b": 1..5}), a comment.

    Raises InvalidInput for what no campaign asks.
    """

    strength: int | None = None
    reasons: Sequence[Reason] = ()
    criteria: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    comment: str = ""

    def __post_init__(self) -> None:
        if self.strength not in (None, 0, 1, 2):
            raise InvalidInput("The strength of a preference is one of five steps; nothing was saved.")
        if len(self.comment) > MAX_COMMENT:
            raise InvalidInput(f"The comment is longer than {MAX_COMMENT:,} characters; nothing was saved. Shorten it.")
        if "\x00" in self.comment:
            raise InvalidInput("The comment contains a NUL character; nothing was saved.")
        if any(reason not in set(Reason) for reason in self.reasons):
            raise InvalidInput("A reason is not among those offered; nothing was saved.")
        for stars in self.criteria.values():
            if not stars or any(
                side not in ("a", "b") or number not in range(1, STARS + 1) for side, number in stars.items()
            ):
                raise InvalidInput(f"Stars go from 1 to {STARS}, for A and B; nothing was saved.")

    @property
    def empty(self) -> bool:
        """Whether there is nothing to store."""
        return self.strength is None and not self.reasons and not self.criteria and not self.comment.strip()

    def check(self, plan: CampaignPlan, outcome: Outcome) -> None:
        """Raise InvalidInput where a campaign does not ask this, or the strength is not that of the outcome."""
        if unknown := [name for name in self.criteria if name not in plan.criteria]:
            raise InvalidInput(f"This campaign has no criterion '{unknown[0][:60]}'; nothing was saved. Reload.")
        if self.strength is not None and (plan.scale is not Scale.FIVE or Step(outcome, self.strength) not in STEPS):
            raise InvalidInput("This strength does not go with this answer; nothing was saved. Reload.")
