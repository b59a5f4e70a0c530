import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.domain import (
    LLM,
    MAX_TYPED_QUERY,
    Comparison,
    LLMId,
    Outcome,
    Query,
    QueryId,
    Response,
    ResponseId,
    User,
    UserId,
    content_hash,
)
from core.errors import InvalidInput


@pytest.mark.parametrize("name", ["", "   ", "x" * 121, "nul\x00", "half \ud800"])
def test_a_name_that_no_database_could_keep_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput):
        User(UserId(name))


@pytest.mark.parametrize(
    ("text", "why"),
    [("", "empty"), (" \n", "empty"), ("x" * (MAX_TYPED_QUERY + 1), "8,000"), ("x" * 100_000, "100,000")],
)
def test_a_typed_query_says_what_is_wrong_with_it(text: str, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        Query.typed(text)


def test_equal_words_make_equal_queries() -> None:
    assert Query.typed("hello").query_id == Query.typed("hello").query_id != Query.typed("hello ").query_id


def test_an_empty_response_is_real_but_a_missing_one_is_refused() -> None:
    assert Response(QueryId("q"), LLMId("m"), ("",)).text == ""
    with pytest.raises(InvalidInput, match="missing"):
        Response(QueryId("q"), LLMId("m"), ())


@pytest.mark.parametrize("price", [-1.0, float("nan"), float("inf")])
def test_a_price_is_a_number_from_zero_up(price: float) -> None:
    with pytest.raises(InvalidInput, match="price"):
        LLM(LLMId("m"), input_price=price)


def test_both_sides_by_one_llm_are_refused() -> None:
    with pytest.raises(InvalidInput, match="same LLM"):
        Comparison(UserId("u"), QueryId("q"), LLMId("m"), LLMId("m"), Outcome.A, ResponseId("a"), ResponseId("b"), "k")


@given(st.lists(st.text(max_size=8), max_size=4), st.lists(st.text(max_size=8), max_size=4))
def test_no_two_lists_of_words_share_a_hash(first: list[str], second: list[str]) -> None:
    first, second = ([text.encode("utf-8", "ignore").decode() for text in words] for words in (first, second))
    assert (content_hash(*first) == content_hash(*second)) == (first == second)
