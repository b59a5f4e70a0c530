"""Measurable style of a response: what can be counted in its words, and a judge that likes or dislikes it."""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from core.domain import Query
from core.simulation import Persona

Floats = NDArray[np.float64]

_LIST = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s", re.MULTILINE)
_HEADER = re.compile(r"^#{1,6}\s", re.MULTILINE)
_BOLD = re.compile(r"\*\*[^*\n]+\*\*")
_CODE = re.compile(r"^```|`[^`\n]+`", re.MULTILINE)
_SENTENCE = re.compile(r"[.!?]+(?:\s|$)")
_WORD = re.compile(r"\w+")
_DIGIT = re.compile(r"\d")
# Words of a tone are looked up among the words, which takes half of what searching the text for them does.
_WARM = frozenset(("you", "your", "we", "our", "feel", "love", "hope", "happy", "sorry", "thank", "please"))
_WARM_SIGN = re.compile(r"\blet's\b|[!😀-🙏]", re.IGNORECASE)
_HEDGE = frozenset(
    ("may", "might", "perhaps", "possibly", "probably", "likely", "seem", "seems", "generally", "often", "however")
)

TRAITS = ("length", "lists", "headers", "bold", "code", "long_sentences", "long_words", "numbers", "warmth", "hedging")
STYLE = ("length", "headers", "lists", "bold")


def style(text: str) -> tuple[int, int, int, int]:
    """Counts in the order of `STYLE`: words, headers, items of lists, bold passages. What a leaderboard adjusts for."""
    headers = len(_HEADER.findall(text)) if "#" in text else 0
    bold = len(_BOLD.findall(text)) if "**" in text else 0
    return len(text.split()), headers, len(_LIST.findall(text)), bold


def traits(text: str) -> Floats:
    """[len(TRAITS)]: log of the number of words, then log-counts of lists, headers, bold, code, then rates per
    sentence or word.

    Logarithms because the second list matters more than the tenth. Tone (warmth, hedging) is counted by its words:
    crude, and the same for all.
    """
    words = _WORD.findall(text)
    n = max(len(words), 1)
    marks = [len(pattern.findall(text)) for pattern in (_LIST, _HEADER, _BOLD, _CODE)]
    sentences = max(len(_SENTENCE.findall(text)), 1)
    spoken = [word.lower() for word in words]
    warm = sum(word in _WARM for word in spoken) + len(_WARM_SIGN.findall(text))
    hedging = sum(word in _HEDGE for word in spoken)
    return np.array([
        np.log1p(len(words)), *np.log1p(marks), np.log1p(len(words) / sentences),
        sum(map(len, words)) / n, *(10 * count / n for count in (len(_DIGIT.findall(text)), warm, hedging)),
    ])  # fmt: skip


def judge_by_traits(persona: Persona, query: Query, answers: Sequence[str]) -> Floats:  # noqa: ARG001  a Judge gets the query too
    """Weighted sum of the answers' traits, each standardised over these answers: what stands out among them.
    Deterministic, no network.
    """
    found = np.array([traits(text) for text in answers])
    spread = found.std(axis=0)
    standard = (found - found.mean(axis=0)) / np.where(spread > 1e-9, spread, 1)
    weights = np.array([persona.weights.get(name, 0.0) for name in TRAITS])
    return np.asarray(standard @ weights)


# After the nine judge prompts in the released PersonalizedRouter code (construct_llm_judge.py), by what can be counted.
PERSONAS = (
    Persona("warm", {"warmth": 1.5, "headers": -0.5, "code": -0.5, "long_words": -0.3}),
    Persona("playful", {"warmth": 1.0, "length": -0.6, "long_sentences": -0.6}),
    Persona("step by step", {"lists": 1.2, "numbers": 0.8, "length": 0.4}),
    Persona("straight to the result", {"length": -1.2, "numbers": 0.8, "hedging": -0.6}),
    Persona("eager student", {"length": 1.2, "headers": 0.5, "bold": 0.5, "lists": 0.4}),
    Persona("precise searcher", {"length": -0.8, "hedging": -0.8, "long_words": 0.3}),
    Persona("news editor", {"length": -0.6, "long_words": 0.6, "warmth": -0.6, "lists": -0.3}),
    Persona("lover of literature", {"long_sentences": 1.0, "long_words": 0.5, "lists": -0.8, "headers": -0.6}),
    Persona("teacher of small children", {"long_words": -1.0, "long_sentences": -0.8, "warmth": 0.6}),
)
