"""A file's LLMs under the names they have here."""

from collections.abc import Mapping
from dataclasses import replace

from core.domain import LLM, Bundle, LLMId, Response, ResponseId
from core.errors import InvalidInput


def renamed(bundle: Bundle, names: Mapping[LLMId, LLMId]) -> Bundle:
    """The bundle with some LLMs called otherwise; an LLM that is called otherwise is not brought along.

    Raises InvalidInput where that would compare an LLM with itself.
    """
    names = {old: new for old, new in names.items() if old != new}
    if not names:
        return bundle
    moved: dict[ResponseId, ResponseId] = {}
    responses: dict[ResponseId, Response] = {}
    for response in bundle.responses:
        now = replace(response, llm_id=names.get(response.llm_id, response.llm_id))
        moved[response.response_id] = now.response_id
        responses.setdefault(now.response_id, now)
    comparisons = []
    for c in bundle.comparisons:
        a, b = names.get(c.llm_a, c.llm_a), names.get(c.llm_b, c.llm_b)
        if a == b:
            raise InvalidInput(
                f"'{c.llm_a}' and '{c.llm_b}' are compared in this file and cannot both be '{a}'; nothing was stored."
            )
        sides = moved.get(c.response_a, c.response_a), moved.get(c.response_b, c.response_b)
        comparisons.append(replace(c, llm_a=a, llm_b=b, response_a=sides[0], response_b=sides[1]))
    llms = {llm.llm_id: llm for llm in bundle.llms if llm.llm_id not in names}
    for new in names.values():
        llms.setdefault(new, LLM(new))
    return replace(
        bundle, llms=tuple(llms.values()), responses=tuple(responses.values()), comparisons=tuple(comparisons)
    )
