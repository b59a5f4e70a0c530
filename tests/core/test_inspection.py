"""What is said of texts before they are rated, and LLMs of a file under the names they have here."""

from dataclasses import replace

import pytest

from core.domain import LLM, Bundle, Comparison, LLMId, Outcome, Query, QueryId, Response, User, UserId
from core.errors import InvalidInput
from core.inspection import LONG, inspect, personal, self_named
from core.renaming import renamed


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Hello! I am Claude, made to help.", "I am Claude"),
        ("I'm ChatGPT and I cannot.", "I'm ChatGPT"),
        ("As ChatGPT, I have no opinion.", "As ChatGPT,"),
        ("My name is Llama-2.", "My name is Llama-2"),
        ("I'm an AI language model developed by OpenAI.", "I'm an AI language model developed by OpenAI"),
        ("As a language model trained by Google, I", "language model trained by Google"),
    ],
)
def test_a_response_that_says_which_llm_it_is_is_noticed(text: str, words: str) -> None:
    assert self_named(text) == words


@pytest.mark.parametrize(
    "text",
    [
        "Claude Monet painted it.", "Known as Claude Monet, he painted.", "The llama is an animal.", "I am sure.",
        "ChatGPT is made by OpenAI.", "I was there. It was made by Google.", "As an AI, I have no opinion.",
    ],
)  # fmt: skip
def test_talk_about_llms_is_not_taken_for_a_confession(text: str) -> None:
    assert self_named(text) == ""


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Write to ann.smith@posteo.de today", "ann.smith@posteo.de"), ("Call +49 30 901820-10", "+49 30 901820-10"),
        ("Card 4111 1111 1111 1111 please", "4111 1111 1111 1111"), ("Card 4111 1111 1111 1112 please", ""),
        ("Write to you@example.com", ""), ("2 + 2 = 4 and 1999-2000", ""), ("Python 3.11.2 @ home", ""),
    ],
)  # fmt: skip
def test_what_may_be_private_is_noticed(text: str, found: str) -> None:
    assert personal(text) == found


def a_bundle(*replies: str) -> Bundle:
    query = Query(QueryId("q"), ("Hi?",))
    llms = tuple(LLM(LLMId(f"m{i}")) for i in range(len(replies)))
    said = tuple(Response(query.query_id, llm.llm_id, (r,)) for llm, r in zip(llms, replies, strict=True))
    pair = Comparison(
        UserId("ann"), query.query_id, llms[0].llm_id, llms[1].llm_id, Outcome.A, said[0].response_id,
        said[1].response_id, "k",
    )  # fmt: skip
    return Bundle("file", (User(UserId("ann")),), (), llms, (query,), said, (pair,))


def test_each_kind_of_finding_is_counted_once_with_an_example() -> None:
    assert inspect(a_bundle("one", "two")) == ()
    found = inspect(a_bundle("I am Claude.", "I am Claude.", "", "x" * (LONG + 1), "Mail ann@posteo.de"))
    assert [(f.kind, f.texts) for f in found] == [
        ("identity", 2), ("identical", 1), ("empty", 1), ("long", 1), ("personal", 1),
    ]  # fmt: skip
    assert found[0].sentence == "2 responses say which LLM wrote them; they are kept and tagged."
    assert "ann@" not in found[-1].example and "posteo" not in found[-1].example


def test_a_file_s_llm_can_be_one_that_is_here() -> None:
    bundle = renamed(a_bundle("one", "two"), {LLMId("m0"): LLMId("here")})
    (pair,) = bundle.comparisons
    assert (pair.llm_a, pair.llm_b) == ("here", "m1") and {m.llm_id for m in bundle.llms} == {"here", "m1"}
    assert pair.response_a in {r.response_id for r in bundle.responses if r.llm_id == "here"}
    assert renamed(bundle, {}) is bundle
    with pytest.raises(InvalidInput, match="cannot both be 'm1'"):
        renamed(replace(bundle), {LLMId("here"): LLMId("m1")})
