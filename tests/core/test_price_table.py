import re
from datetime import date

from core.domain import LLM, LLMId
from core.price_table import TABLE, listed, price_table, priced


def test_every_price_is_one_with_a_source_and_a_month():
    assert len(price_table()) >= 20
    for name, price in price_table().items():
        assert name == name.lower() and 0 < price.input <= price.output, name
        assert price.source and re.fullmatch(r"20\d\d-(0[1-9]|1[0-2])", price.as_of), name
        assert LLM(LLMId(name), input_price=price.input, output_price=price.output).output_price == price.output


def test_no_llm_stands_on_two_lists_and_none_is_from_after_the_table_was_made():
    import tomllib

    table = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    names = [name for each in table["list"] for name in each["prices"]]
    assert len(names) == len(set(names)) == len(price_table())
    assert isinstance(table["compiled"], date)
    assert all(each["as_of"] <= table["compiled"].isoformat()[:7] for each in table["list"])


def test_an_llm_is_found_by_its_name_however_it_is_written_and_only_by_its_whole_name():
    assert listed(LLM(LLMId("Anthropic/Claude-2.1"))) == listed(LLM(LLMId("claude-2.1")))
    assert listed(LLM(LLMId("claude"))) is None and listed(LLM(LLMId("demo-terse"))) is None


def test_only_who_has_no_price_at_all_gets_one():
    free = LLM(LLMId("claude-2.1"), input_price=0.0, output_price=0.0)
    half = LLM(LLMId("gpt-4-0613"), input_price=30.0)
    (found,) = priced([free, half, LLM(LLMId("llama-3-8b"), "Llama"), LLM(LLMId("nobody's"))])
    assert found == LLM(LLMId("llama-3-8b"), "Llama", input_price=0.2, output_price=0.2)
