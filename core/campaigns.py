"""What a campaign asks for: how responses are shown, how people answer, and which numbers make sense."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from core.domain import MAX_NAME
from core.errors import InvalidInput

MAX_OPTIONS = 9  # as many as there are digit keys
MAX_CRITERIA = 8
MAX_GUIDELINES = 20_000


class Kind(StrEnum):
    """What is shown and asked. Persisted by value, as are those below."""

    PAIR = "pair"
    BEST = "best"
    BEST_WORST = "best_worst"


class Scale(StrEnum):
    """How a pair is answered: A, B, tie, both bad; or five steps from A is much better to B is much better."""

    FOUR = "four"
    FIVE = "five"


class Mode(StrEnum):
    """Whether a key saves the answer at once, or selects it and asks for reasons first."""

    FAST = "fast"
    DETAILED = "detailed"


class Reveal(StrEnum):
    """When people who rated learn which LLMs they saw."""

    NEVER = "never"
    END = "end"
    AT_ONCE = "at_once"


@dataclass(frozen=True, slots=True)
class CampaignPlan:
    """All that may be chosen about a campaign. Raises InvalidInput for what cannot work.

    `tasks` empty means all; `overlap` is how many people rate a query, all of them the same responses, None means
    everybody, each a pair of their own; `quota` is how many ratings one person gives. Shares are of the pairs drawn.
    """

    name: str
    guidelines: str = ""
    tasks: Sequence[str] = ()
    overlap: int | None = None
    quota: int | None = None
    gold_share: float = 0.05
    repeat_share: float = 0.05
    criteria: Sequence[str] = ()
    kind: Kind = Kind.PAIR
    options: int = 2
    scale: Scale = Scale.FOUR
    mode: Mode = Mode.FAST
    reveal: Reveal = Reveal.NEVER

    def __post_init__(self) -> None:
        if not self.name.strip() or len(self.name) > MAX_NAME:
            raise InvalidInput(f"A campaign needs a name of at most {MAX_NAME} characters; nothing was stored.")
        if len(self.guidelines) > MAX_GUIDELINES:
            raise InvalidInput(f"The guidelines are longer than {MAX_GUIDELINES:,} characters; nothing was stored.")
        for what, number in (("overlap", self.overlap), ("quota", self.quota)):
            if number is not None and not 1 <= number <= 1_000_000:
                raise InvalidInput(f"The {what} is {number}; it must be from 1 to 1,000,000, or left out for no limit.")
        if not (self.gold_share >= 0 and self.repeat_share >= 0 and self.gold_share + self.repeat_share <= 1):
            raise InvalidInput("The shares of gold and of repeats must be from 0 up and together at most 1.")
        self._check_criteria()
        self._check_kind()

    def _check_criteria(self) -> None:
        named = [criterion.strip() for criterion in self.criteria]
        if len(named) > MAX_CRITERIA or len(set(named)) != len(named):
            raise InvalidInput(f"Name at most {MAX_CRITERIA} criteria, each once; nothing was stored.")
        if any(not name or len(name) > 60 for name in named):
            raise InvalidInput("A criterion needs a name of at most 60 characters; nothing was stored.")
        if named and self.mode is Mode.FAST:
            raise InvalidInput("Criteria are asked in detailed mode only: choose it, or name no criteria.")

    def _check_kind(self) -> None:
        if self.kind is Kind.PAIR and self.options != 2:
            raise InvalidInput("A pair has two responses; choose best or best_worst to show more.")
        if self.kind is not Kind.PAIR and not 3 <= self.options <= MAX_OPTIONS:
            raise InvalidInput(f"Best of several needs 3 to {MAX_OPTIONS} responses, not {self.options}.")
        if self.kind is not Kind.PAIR and (self.scale is Scale.FIVE or self.mode is Mode.DETAILED):
            raise InvalidInput("Five steps and detailed mode compare two responses; they go with pairs only.")
