"""Three questions that a person may answer about themselves, or skip: what makes a group of raters."""

from dataclasses import dataclass

from core.errors import InvalidInput

USES = ("Code", "Writing", "Learning", "Work", "Everyday life")
OFTEN = ("Daily", "Weekly", "Less often", "Never before")
LENGTHS = ("Short", "Thorough", "It depends")


@dataclass(frozen=True, slots=True)
class Profile:
    """What a person said of themselves; None where they did not. Raises InvalidInput for what is no answer."""

    mostly_for: str | None = None
    how_often: str | None = None
    likes_answers: str | None = None

    def __post_init__(self) -> None:
        for said, known in ((self.mostly_for, USES), (self.how_often, OFTEN), (self.likes_answers, LENGTHS)):
            if said is not None and said not in known:
                raise InvalidInput(f"'{said[:60]}' is none of the answers: {', '.join(known)}.")
