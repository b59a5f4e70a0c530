"""Text that is written from right to left, as Arabic and Hebrew are, drawn in that direction.

The page itself runs from left to right and takes no style of ours, so each line is wrapped in Unicode's own marks for
"what stands here runs from right to left" (RLI and PDI, Unicode Annex 9), which draw nothing.
"""

import re
import unicodedata

_ISOLATE, _END = "\u2067", "\u2069"
_FENCE = re.compile(r"\s*(```|~~~)")
_UNTOUCHED = re.compile(r"\s*(?:\||[-=*_ ]*$|\$\$|\\\[|    )")  # tables, rules, formulas, indented code, empty lines
_MARKS = re.compile(r"\s*(?:(?:[-*+]|\d{1,9}[.)]|\#{1,6}|>)\s+)*")
_LOOKED_AT = 2_000


def right_to_left(text: str) -> bool:
    """Whether the first letter with a direction runs from right to left: how a line of text is commonly told."""
    for character in text[:_LOOKED_AT]:
        direction = unicodedata.bidirectional(character)
        if direction in ("R", "AL"):
            return True
        if direction == "L":
            return False
    return False


def isolated(text: str) -> str:
    """The text with every line that runs from right to left wrapped in the marks that say so; code is left alone."""
    lines: list[str] = []
    fenced = False
    for line in text.split("\n"):
        if _FENCE.match(line):
            fenced = not fenced
        elif not fenced and not _UNTOUCHED.match(line) and right_to_left(line):
            marks = _MARKS.match(line)
            at = marks.end() if marks else 0
            line = f"{line[:at]}{_ISOLATE}{line[at:].rstrip()}{_END}" + "  " * line.endswith("  ")  # noqa: PLW2901
        lines.append(line)
    return "\n".join(lines)
