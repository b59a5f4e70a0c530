"""What two texts do not have in common, word by word where they are short enough and line by line where not."""

import re
from difflib import SequenceMatcher
from typing import NamedTuple

MAX_WORDS = 2_500  # of both together: comparing takes time with the square of it


class Piece(NamedTuple):
    """A stretch of a text, and whether the other text has it at this place too."""

    text: str
    common: bool


def differences(first: str, second: str) -> tuple[list[Piece], list[Piece]]:
    """Both texts in pieces, in order and complete: joined, the pieces of each are the text."""
    one, other = _words(first), _words(second)
    if len(one) + len(other) > MAX_WORDS:
        one, other = first.splitlines(keepends=True), second.splitlines(keepends=True)
    left: list[Piece] = []
    right: list[Piece] = []
    for kind, i, j, k, m in SequenceMatcher(None, one, other, autojunk=len(one) > MAX_WORDS).get_opcodes():
        for pieces, part in ((left, one[i:j]), (right, other[k:m])):
            if part:
                pieces.append(Piece("".join(part), kind == "equal"))
    return left, right


def _words(text: str) -> list[str]:
    return re.findall(r"\s+|\w+|[^\w\s]", text)
