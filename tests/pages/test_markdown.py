"""What Streamlit is given to draw for the text of an LLM; what it makes of that is tested in the browser."""

import html
import re
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from streamlit.testing.v1 import AppTest

from pages.parts.markdown import safe_markdown

COMMONMARK = MarkdownIt("commonmark").enable(["table", "strikethrough"])
APART = re.compile(r":color\[&#(\d+);\]\{\}")
PREAMBLE = "[start of response]: $$x$$\n\n"
LONGEST_ESCAPE = len(":color[&#58;]{}")

MARKS = [
    "word", " ", ":", "::", ":red[", ":smile:", ":material/home:", "]", "[", "(", ")", "](", "![", "{", "}", "#", "*",
    "_", "|", "-", "->", "<-", "--", "=", "<", ">", "~", "~~", "&", "&#58;", "&#1;", "&gt;", "!", "+", "1. ", "<b>",
    "<!--", "-->", "www.", "https://", "[^1]:", "\t", "\u00a0", "é", "😀", "\ud800",
]  # fmt: skip
LINES = [
    "\n",
    "\n\n",
    "\n# ",
    "\n===",
    "\n---",
    "\n- ",
    "\n> ",
    "\n    ",
    "\n|a|\n|-|\n",
    "\n<div>\n",
    "\n\n[a]: x\n",
    "\n:::red\n",
]
FENCES = ["\n```\n", "\n~~~\n", "\n````py\n", "\n- ```\n", "\n  ```\n"]
CODE = ["`", "``", "```", "\\`"]
MATHS = ["$", "$$", "\\", "\\(", "\\)", "\\[", "\\]", "\n\\[\n", "\n\\]\n", "\n$$\n"]


def of(*pieces: str) -> st.SearchStrategy[str]:
    """Texts that are far more awkward than any LLM's."""
    return st.lists(st.sampled_from(pieces), max_size=30).map("".join)


def displayed(markdown: str) -> str:
    """Text of one paragraph without emphasis or code, as a reader sees it."""
    return html.unescape(APART.sub(lambda span: f"&#{span[1]};", markdown))


@pytest.mark.parametrize(
    "text",
    [
        "Plain words, with (brackets), [more] and 'quotation'.",
        "*Emphasis*, **strong**, ~~struck~~, `code`, [a link](/there) and a\\\nbreak",
        "- a list\n- [x] done\n  1. nested\n\n> quoted\n> twice\n\n***\n\n###### Heading",
        "| a | b |\n|--:|:--|\n| 1 | `x \\| y` |",
        "$x^2$ and $$y$$",
        "$$\nx\n$$",
        "```python\nx: int = {':red[x]': 1}  # :smile: -> ![a](b) $5\n```",
        "~~~\n:red[unclosed]\n# no heading",
        "a\n\n    :red[indented]\n\n- b\n\n      :smile: in a list",
        "> ```\n> :red[quoted]\n> ```\n\n- ```\n  :smile:\n  ```",
        "`:red[x]` and ``a ` :smile:`` and `![a](b)\nc`",
        "",
    ],
)
def test_ordinary_markdown_code_and_mathematics_pass_unchanged(text):
    assert safe_markdown(text) == text


@pytest.mark.parametrize(
    "text",
    [
        ":red[x] :blue-background[y] :orange-badge[z] :small[s] :shimmer[s] :help[h]",
        ':color[x]{foreground="red"} and :unknown[label]{key=value}',
        ":smile: :+1: :100: :streamlit: :material/home: :material_home:",
        "Time 12:30:45, std::vector::size, key: value, {a:1}, ratio 1:2",
        "a -> b <- c <-> d -- e >= f <= g ~= h => i --> j <=> k ->= l",
        "--{.class} and ->{foreground=red}",
        "![alt](https://e.test/x.png) ![alt][ref] ![ref] [![badge](b.png)",
        "<img src=x onerror=y> <!-- hidden --> </b> a < b <- c",
        "a[1]: b[2]-> c[^3]: d",
        "3~5, 10~15",
        "costs $5 and $10, or $1-$2, $HOME or $ 3 $",
    ],
)
def test_what_streamlit_would_rewrite_is_escaped_and_reads_the_same(text):
    shown = safe_markdown(text)
    assert displayed(shown) == text
    assert ":" not in APART.sub("", shown)
    assert "![" not in shown
    assert "$" not in shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (r"\(x^2\)", "$x^2$"),
        (r"\( x \)", "$x$"),
        ("\\(a\n= b\\)", "$a = b$"),
        (r"so \[x\] holds", "so $$x$$ holds"),
        (r"\[ x \]", "$$\nx\n$$"),
        ("\\[\nx\n- y\n\\]", "$$\nx\n- y\n$$"),
        ("$$ a\n+ b $$", "$$\na\n+ b\n$$"),
        ("We have\n\\[x\\]\nso", "We have\n$$\nx\n$$\nso"),
        ("> 1. \\[x\\]\n>    y", "> 1. $$\n>    x\n>    $$\n>    y"),
        (r"\(x\)2", "$$x$$2"),
        (r"\(x\)\(y\)", "$x$:color[]{}$y$"),
        (r"$\$5$", r"$$ \$5 $$"),
        ("$5 and $10", "&#36;5 and &#36;10"),
        ("$5-$10 or $x$5", "&#36;5-&#36;10 or &#36;x&#36;5"),
        ("$x^2$ costs $5", "$x^2$ costs &#36;5"),
        (r"it costs \$5", r"it costs \$5"),
        ("$$ a\\\nb $$ c", "$$a\\ b$$ c"),
        ("$$a\\\n$$ c", "&#36;&#36;a&#92;\n&#36;&#36; c"),
        ("$$ unclosed", "&#36;&#36; unclosed"),
        ("$HOME or `$PATH`", "&#36;HOME or `$PATH`"),
    ],
)
def test_mathematics_is_told_from_prices_as_pandoc_does(text, shown):
    assert safe_markdown(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("# A", "#### A"),
        ("## A ##", "##### A ##"),
        ("### A", "###### A"),
        ("###### A", "###### A"),
        ("A\n===", "#### A"),
        ("A\n---", "##### A"),
        ("A\nB C#\n===", "#### A B C\\#"),
        ("> A\n> ===", "> #### A"),
        ("- # A", "- #### A"),
        ("#no heading", "#no heading"),
    ],
)
def test_headings_stay_below_those_of_the_page(text, shown):
    assert safe_markdown(text) == shown


@pytest.mark.parametrize("language", ["mermaid", "Mermaid", "&#109;ermaid", "x-language-mermaid", "math"])
def test_a_fence_that_would_be_drawn_as_a_picture_is_shown_as_code(language):
    assert safe_markdown(f"```{language}\nA-->B\n```") == f"```text {language}\nA-->B\n```"


@pytest.mark.parametrize(
    "text", ["[a](https://e.test/b:c)", "<https://e.test/x>", "https://e.test/?q=$1&r=_2_", "www.e.test", "me@e.test"]
)
def test_links_keep_their_address(text):
    shown = safe_markdown(text)
    assert "color[" not in shown
    assert displayed(shown) == text


def test_a_fence_that_streamlit_would_not_see_is_escaped():
    shown = safe_markdown("> a\n    > ```\n    > ![x](y)\n    > ```")
    assert "![" not in shown


def test_html_becomes_text_even_with_blank_lines_and_markdown_in_it():
    shown = safe_markdown("<pre>\n\n    :smile: ![a](b)\n# c\n</pre>\n    ---\n")
    types = {token.type for token in COMMONMARK.parse(shown)}
    assert types == {"paragraph_open", "inline", "paragraph_close", "code_block"}


def test_streamlit_cannot_strip_the_indentation_of_the_first_line():
    shown = safe_markdown("    indented code\n\n    more")
    assert shown.endswith("\n\n    indented code\n\n    more")
    assert not shown[0].isspace()


def test_code_cannot_hide_from_streamlit_that_there_is_mathematics():
    assert safe_markdown("```a``` $x$") == PREAMBLE + "```a``` $x$"


def test_escaping_twice_shows_the_escapes_so_it_is_not_idempotent():
    once = safe_markdown(":red[x]")
    assert displayed(once) == ":red[x]"
    assert displayed(safe_markdown(once)) == ":color[:]{}red[x]"


@given(of("word", " ", "é", "(x)", "\n", "\n\n> ", "*", "`", "``", "$x$").map("x".__add__))
def test_text_with_nothing_for_streamlit_to_rewrite_is_idempotent(text):
    once = safe_markdown(text).removeprefix(PREAMBLE)
    assert safe_markdown(once).removeprefix(PREAMBLE) == once


@given(of(*MARKS).map("x ".__add__))
def test_within_a_line_nothing_is_lost_and_nothing_is_left_to_rewrite(text):
    shown = safe_markdown(text)
    if "](" not in text and "|" not in text:
        assert displayed(shown).strip() == html.unescape(text.replace("\ud800", "?")).strip()
    apart = APART.sub("\0", shown)
    assert not re.search(r":[\w+-]+:|:material|:\w+\[|!\[", apart)
    assert not re.search(r"(?:^|[\s\0])(?:<->|->|<-|--|>=|<=|~=)(?:[\s\0]|$)", html.unescape(apart))


@given(of(*MARKS, *LINES, *FENCES, *CODE))
@example("text\n```\n:red[unclosed")
@example("`a\n[^1]: b`")
@example("```<b title='`'>")
@example("`![a](b)\n1. \n::: `")
@example("a](![b](c)d\\)")
@example("<https://\x01![a](b)>")
def test_blocks_of_code_stay_as_they_are_and_no_image_html_or_large_heading_is_left(text):
    stored = text.replace("\ud800", "?")
    shown = COMMONMARK.parse(safe_markdown(text))
    code = [(token.type, token.content) for token in COMMONMARK.parse(stored) if token.type in {"fence", "code_block"}]
    assert [(token.type, token.content) for token in shown if token.type in {"fence", "code_block"}] == code
    kinds = {token.type for token in shown} | {child.type for token in shown for child in token.children or []}
    assert not kinds & {"image", "html_block", "html_inline"}
    assert not {token.tag for token in shown if token.type == "heading_open"} & {"h1", "h2", "h3"}


@given(st.text() | of(*MARKS, *LINES, *FENCES, *CODE, *MATHS))
@example("&#1; &#0; &#x110000; &notin; \0 \ufeff")
@example("> \u00a0\n> :red[x]\r\n> - \r")
def test_any_text_can_be_sent_and_does_not_grow_beyond_its_escapes(text):
    shown = safe_markdown(text)
    shown.encode()
    # A line of HTML gets a blank line on either side, an opened formula two more markers.
    assert len(shown) <= LONGEST_ESCAPE * (len(text) + 4)


@pytest.mark.parametrize("length", [50_000, 200_000])
@pytest.mark.parametrize(
    "unit",
    [
        "`", "``` ` `` ", ":", "a:b:", "[", "![", "](", "](a \"", "<", "<!--", "<a ", "$", "$$\n", "$a ", "\\(", "\\[",
        "\\[\n", "-", "->", "--", "*", "&", "\\", "> ", "- ", "# \n", "a\n==\n", "|a\n|-\n", "~~~\n", "<div>\n",
        "www.", "https://", "[x]: ", "\t", "Words. ",
    ],
)  # fmt: skip
def test_long_and_hostile_texts_take_linear_time(unit, length):
    text = (unit * length)[:length]
    before = time.process_time()
    safe_markdown(text)
    assert time.process_time() - before < length / 10_000  # seconds; it takes a tenth of this, quadratic time minutes


def test_many_runs_of_backticks_of_different_lengths_take_linear_time():
    before = time.process_time()
    safe_markdown(" ".join("`" * length for length in range(600)))
    assert time.process_time() - before < 20


def draw(text: str, raw: bool) -> AppTest:
    """A page that shows nothing but this text."""

    def script(text: str, raw: bool) -> None:
        from pages.parts.markdown import show_text

        show_text(text, raw=raw)

    return AppTest.from_function(script, kwargs={"text": text, "raw": raw}).run()


def test_a_text_is_drawn_as_markdown():
    page = draw("# T\n\n:red[x]", raw=False)
    assert [element.value for element in page.markdown] == ["#### T\n\n:color[&#58;]{}red[x]"]


@pytest.mark.parametrize(
    ("text", "shown"), [(":red[x] \\(y\\)", ":red[x] \\(y\\)"), ("  a\n  b", "\u200b  a\n  b"), ("", "")]
)
def test_a_raw_text_is_drawn_character_by_character(text, shown):
    page = draw(text, raw=True)
    assert [element.value for element in page.text] == [shown]


@pytest.mark.parametrize("raw", [False, True])
def test_half_a_surrogate_pair_does_not_break_the_page(raw):
    page = draw("broken \ud83d emoji", raw)
    assert not page.exception
    assert [element.value for element in [*page.markdown, *page.text]] == ["broken ? emoji"]
