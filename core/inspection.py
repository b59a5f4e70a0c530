"""What a person should know of texts before they are rated: who wrote them, nothing to choose, private facts.

Nothing here refuses a text. A response that says which LLM wrote it is kept and tagged, so that it can be left out.
"""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from core.domain import Bundle, Comparison, Response, ResponseId

LONG = 30_000  # characters beyond which nobody reads a response to its end
_SNIPPET = 80

_NAMES = (
    r"(?:chat\s?gpt|gpt-?[345][\w.-]*|claude|gemini|bard|llama[\w.-]*|mi[sx]tral[\w.-]*|qwen[\w.-]*|gemma[\w.-]*|grok|"
    r"deepseek[\w.-]*|vicuna|alpaca|koala|copilot|t[uü]lu|open assistant|phi-\d[\w.-]*|ernie bot|kimi|palm 2|bing chat)"
)
_MAKERS = (
    r"(?:open\s?ai|anthropic|google(?: deepmind)?|meta(?: ai)?|mistral ai|alibaba(?: cloud)?|xai|lmsys|cohere|deepseek|"
    r"microsoft|baidu|moonshot ai|allen institute for ai|ai2|nous ?research)"
)
_SAYS_NAME = re.compile(
    rf"\b(?:I am|I'm|I’m|my name is|you can call me|this is)\s+(?:an?\s+|the\s+)?{_NAMES}\b|\bas\s+{_NAMES}\s*,",
    re.IGNORECASE,
)
_SAYS_MAKER = re.compile(
    rf"\b(?:I\s?(?:am|['’]m|was)|(?:language|AI) model|AI assistant|chatbot)\b[^.!?\n]{{0,80}}"
    rf"\b(?:developed|created|trained|made|built|designed|fine-tuned)\s+by\s+(?:\w+\s+at\s+)?{_MAKERS}\b",
    re.IGNORECASE,
)
_MAIL = re.compile(r"\b[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{2,63}){1,4}\b")
_PHONE = re.compile(r"(?<![\w.])\+\d{1,3}[ ./-]?(?:\(?\d{1,4}\)?[ ./-]?){2,5}\d{2,4}(?!\w)")
_CARD = re.compile(r"(?<![\w.])(?:\d{4}[ -]){3}\d{4}(?!\w)")
_PLACEHOLDERS = ("example.", "@email.", "@domain.", "yourname", "your_", "@company.")


class Finding(NamedTuple):
    """One kind of thing that was found, in how many texts or ratings, and the first of them in short."""

    kind: str
    texts: int
    sentence: str
    example: str


def self_named(text: str) -> str:
    """The words in which a response says which LLM it is or who made it; empty where it does not."""
    found = _SAYS_NAME.search(text) or _SAYS_MAKER.search(text)
    return " ".join(found[0].split())[:120] if found else ""


def personal(text: str) -> str:
    """An e-mail address, telephone or card number that may be someone's; empty where there is none."""
    for found in _MAIL.finditer(text) if "@" in text else ():
        if not any(word in found[0].lower() for word in _PLACEHOLDERS):
            return found[0]
    phone = _PHONE.search(text) if "+" in text else None
    if phone:
        return phone[0]
    return next((found[0] for found in _CARD.finditer(text) if _luhn(found[0])), "")


def inspect(bundle: Bundle) -> tuple[Finding, ...]:
    """What was found in a bundle's texts, each kind once, those that matter most first."""
    judged = {response.response_id: response for response in bundle.responses}
    known = bool(bundle.comparisons)
    checks: tuple[tuple[str, str, Iterable[str]], ...] = (
        ("identity", "{} say which LLM wrote them; they are kept and tagged", _identities(bundle.responses)),
        ("identical", "{} compare two responses in the same words", _identical(bundle.comparisons, judged)),
        ("empty", "{} are empty", (r.llm_id for r in bundle.responses if not r.text.strip())),
        ("long", f"{{}} are longer than {LONG:,} characters", (r.text for r in bundle.responses if len(r.text) > LONG)),
        ("personal", "{} may hold personal data (an address or a number)", _private(bundle)),
    )  # fmt: skip
    nouns = {"identical": ("rating", "ratings"), "personal": ("text", "texts")}
    findings = []
    for kind, sentence, found in checks:
        if kind == "identical" and not known:
            continue
        texts = list(found)
        if texts:
            one, many = nouns.get(kind, ("response", "responses"))
            counted = f"{len(texts):,} {one if len(texts) == 1 else many}"
            findings.append(Finding(kind, len(texts), f"{sentence.format(counted)}.", _short(texts[0])))
    return tuple(findings)


def _identities(responses: Iterable[Response]) -> Iterator[str]:
    for response in responses:
        if words := self_named(response.text):
            yield words


def _identical(comparisons: Iterable[Comparison], judged: dict[ResponseId, Response]) -> Iterator[str]:
    for c in comparisons:
        a, b = judged.get(c.response_a), judged.get(c.response_b)
        if a and b and a.text.strip() and a.text.strip() == b.text.strip():
            yield a.text


def _private(bundle: Bundle) -> Iterator[str]:
    for text in (*(q.text for q in bundle.queries), *(r.text for r in bundle.responses)):
        if found := personal(text):
            yield f"{found[:3]}…"  # a warning must not carry the data on


def _luhn(digits: str) -> bool:
    total = 0
    for place, digit in enumerate(reversed([int(c) for c in digits if c.isdigit()])):
        doubled = digit * 2 if place % 2 else digit
        total += doubled - 9 if doubled > 9 else doubled
    return total % 10 == 0


def _short(text: str) -> str:
    return " ".join(text.split())[:_SNIPPET]
