"""What a rater really sees of an LLM's text: the DOM that Streamlit's frontend makes of it in Chromium."""

import json
import os
import random
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.ports import free_port

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

pytestmark = pytest.mark.browser

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """
import json
from pathlib import Path

import streamlit as st
from pages.parts.markdown import show_text

for name, text in json.loads((Path(__file__).parent / "texts.json").read_text()).items():
    with st.container(key=name):
        show_text(text, raw=name == "raw")
st.text("All is drawn")
"""

# As written, so shown: nothing here is Markdown.
LITERAL = [
    ":red[x] :blue-background[y] :orange-badge[z] :small[s] :shimmer[s] :help[h] :unknown[u]",
    ':color[x]{foreground="red"} :{foreground="red"} --{foreground="red"}',
    ":smile: :+1: :100: :streamlit: :material/home: :material_home:",
    "a -> b <- c <-> d -- e >= f <= g ~= h ->= i ---> j",
    "::leaf[x] :::red 12:30:45 std::vector::size key: value",
    "![alt](https://image.test/a.png) ![alt][image] ![image] ![a [b] c](https://image.test/b.png)",
    '<img src="https://image.test/c.png"> <!-- hidden --> <details><summary>s</summary>:smile:</details>',
    "costs $5 and $10, $1-$2, $HOME or $PATH",
    "3~5, 10~15",
    "note[1]: a note[^1]: b [image]-> c",
]
TEXTS = {
    **{f"literal-{i}": text for i, text in enumerate(LITERAL)},
    "given": r"\:smile: &#58;smile&#58; &colon;streamlit: -\> -&gt; \<img> **->** `:tada:`",
    "references": "[image]\n\n[image]: https://image.test/d.png\n[^1]: foot",
    "container": "before\n\n:::red\ninside\n:::\n\n::leaf[x]",
    "html": "<div>\n    :smile: ![x](https://image.test/e.png)\n</div>\n\n<pre>\n\n    # no heading\n</pre>",
    "inline-mathematics": r"\(x^2\) and $y$, \(a\)5, \(a\)\(b\), but $5 and $10",
    "display-mathematics": "We have\n\\[\n\\begin{aligned}a&=b\\\\\n- c\n\\end{aligned}\n\\]\nso\n\n1. a\n   \\[ z \\]",
    "mathematics-after-code": "```a``` and \\(x\\)\n\n    $5\n\n~~~\n\\(y\\)",
    "headings": "# One\n\n## Two\n\n### Three\n\nSet\nback\n===\n\n- # In a list",
    "fence": "```python\n:red[x] :smile: ![a](https://image.test/f.png) $x$ \\(y\\) a -> b\n# no heading\n```",
    "unclosed": "~~~\n:smile:\n# no heading -> here",
    "indented": "    def f():\n        return ':smile:'",
    "span": "`:red[x]` and ``a ` :smile:`` and `![a](b) -> $x$`",
    "mermaid": '```mermaid\ngraph TD\nA@{ img: "https://image.test/g.png" } --> B\n```',
    "icon-in-code": "`:material/home:`",
    "table": "| a | b |\n|--|:-:|\n| :red[x] | `c \\| :smile:` |\n| -> | $x$ |",
    "list": "1. one\n   - [x] **two** *three*\n\n> quoted -> :smile:",
    "links": "[label -> :smile:](https://link.test/a:b) https://link.test/?q=$1&r=_2_ <https://link.test/c>",
    "raw": "  :red[x] \\(y\\)\n  # H",
    "long": "A sentence of an LLM: **bold**, `code`, $x$ -> y. " * 1000,
}
MARKS = [
    *["a", "b ", " ", ":", "-", "->", "<-", "--", ">", "<", "=", "~=", " -> ", "smile:", ":smile:", ":streamlit:", "/"],
    *[
        ":material/home:",
        "material_home:",
        ":red[",
        "]",
        "[",
        "(",
        ") ",
        "!",
        "{",
        "}",
        "1",
        ":+1:",
        "www.x.y",
        "&",
        "+",
    ],
]


def awkward_line(chance: random.Random) -> str:
    """A line in which Markdown changes nothing, and Streamlit would change much."""
    while True:
        line = "x " + "".join(chance.choices(MARKS, k=12))
        if "](" not in line:
            return line


AWKWARD = {f"awkward-{i}": awkward_line(random.Random(i)) for i in range(200)}


@dataclass(frozen=True)
class Drawn:
    """The page with every text on it, and the addresses it has asked for."""

    page: "Page"
    origin: str
    requested: list[str]

    def __getitem__(self, name: str) -> "Locator":
        return self.page.locator(f".st-key-{name} [data-testid=stMarkdownContainer]")

    def text(self, name: str) -> str:
        """The text on the screen, with white space as a browser folds it."""
        return " ".join((self[name].text_content() or "").split())


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Streamlit server whose only page shows every text."""
    folder = tmp_path_factory.mktemp("markdown")
    (folder / "script.py").write_text(SCRIPT)
    (folder / "texts.json").write_text(json.dumps(TEXTS | AWKWARD))
    port = free_port()
    command = [sys.executable, "-m", "streamlit", "run", "script.py", "--server.headless=true", f"--server.port={port}"]
    command += ["--server.address=127.0.0.1", "--browser.gatherUsageStats=false"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log) as server,
    ):
        try:
            wait_until_healthy(f"http://127.0.0.1:{port}", server)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


def wait_until_healthy(origin: str, server: "subprocess.Popen[bytes]") -> None:
    for _ in range(900):
        assert server.poll() is None, "Streamlit ended before it was ready"
        try:
            with urllib.request.urlopen(f"{origin}/_stcore/health", timeout=5):  # noqa: S310  # our own http address
                return
        except urllib.error.URLError:
            time.sleep(0.2)
    pytest.fail("Streamlit was not ready within three minutes")


@pytest.fixture(scope="module")
def drawn(chromium: "Browser", origin: str) -> Iterator[Drawn]:
    page = chromium.new_page()
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    page.goto(origin)
    page.get_by_text("All is drawn").wait_for(timeout=180_000)
    page.wait_for_load_state("networkidle")  # KaTeX, emoji and the highlighter are loaded when first needed
    page.locator(".st-key-fence code").wait_for()
    page.locator(".st-key-table .katex").wait_for()
    yield Drawn(page, origin, requested)
    page.close()


def test_nothing_is_asked_of_any_other_host(drawn):
    own = (f"{drawn.origin}/", "data:", "blob:", drawn.origin.replace("http", "ws"))
    assert [url for url in drawn.requested if not url.startswith(own)] == []
    assert drawn.page.locator("[data-testid=stMarkdownContainer] :is(img, iframe, video, audio, object)").count() == 0


def test_nothing_is_coloured_resized_or_turned_into_an_icon(drawn):
    streamlit = "[class*=stMarkdownColored], [class*=stMarkdownBadge], [class*=stMarkdownShimmer]"
    decorated = f"{streamlit}, [role=img], [style*=font-size]"
    assert drawn.page.locator(f"[data-testid=stMarkdownContainer] :is({decorated}):not(.katex *)").count() == 0


@pytest.mark.parametrize("name", [name for name in TEXTS if name.startswith("literal")])
def test_what_is_no_markdown_is_shown_as_it_was_written(drawn, name):
    assert drawn.text(name) == TEXTS[name]


def test_awkward_lines_are_shown_as_they_were_written(drawn):
    shown = {name: drawn.text(name) for name in AWKWARD}
    assert shown == {name: " ".join(text.split()) for name, text in AWKWARD.items()}


def test_escaped_and_referenced_characters_are_rewritten_no_more_than_plain_ones(drawn):
    assert drawn.text("given") == ":smile: :smile: :streamlit: -> -> <img> -> :tada:"


def test_definitions_and_footnotes_stay_visible(drawn):
    assert drawn.text("references") == "[image] [image]: https://image.test/d.png [^1]: foot"
    assert drawn["references"].locator("sup, section").count() == 0


def test_container_and_leaf_directives_are_text(drawn):
    assert drawn.text("container") == "before :::red inside ::: ::leaf[x]"


def test_html_is_text_and_so_is_the_markdown_in_it(drawn):
    assert drawn.text("html") == "<div> :smile: ![x](https://image.test/e.png) </div> <pre> # no heading </pre>"
    assert drawn["html"].locator("code").count() == 0
    assert drawn["html"].locator("h1, h2, h3, h4, h5, h6").count() == 0


def test_mathematics_is_set_and_prices_are_not(drawn):
    inline, block = drawn["inline-mathematics"], drawn["display-mathematics"]
    assert inline.locator(".katex").count() == 5
    assert drawn.text("inline-mathematics").endswith("but $5 and $10")
    assert block.locator(".katex-display").count() == 2
    assert block.locator("li .katex-display").count() == 1
    assert drawn.page.locator(".katex-error").count() == 0


def test_mathematics_is_found_in_spite_of_code_and_code_in_spite_of_mathematics(drawn):
    assert drawn["mathematics-after-code"].locator(".katex").count() == 1
    assert drawn["mathematics-after-code"].locator("pre code").all_text_contents() == ["$5", r"\(y\)"]


def test_headings_start_below_those_of_the_page(drawn):
    headings = drawn["headings"].locator("h1, h2, h3, h4, h5, h6")
    levels = headings.evaluate_all("all => all.map(heading => [heading.tagName, heading.textContent])")
    assert levels == [["H4", "One"], ["H5", "Two"], ["H6", "Three"], ["H4", "Set back"], ["H4", "In a list"]]


@pytest.mark.parametrize("name", ["fence", "unclosed", "indented", "mermaid"])
def test_a_block_of_code_is_shown_verbatim(drawn, name):
    lines = TEXTS[name].split("\n")
    code = [line[4:] for line in lines] if name == "indented" else [line for line in lines[1:] if line != "```"]
    assert drawn[name].locator("pre code").text_content() == "\n".join(code)


def test_a_code_span_is_shown_verbatim(drawn):
    assert drawn["span"].locator("code").all_text_contents() == [":red[x]", "a ` :smile:", "![a](b) -> $x$"]


@pytest.mark.xfail(
    strict=True, reason="Streamlit replaces ':material/' in the whole source, code too: raw text shows it"
)
def test_an_icon_is_shown_verbatim_in_code(drawn):
    assert drawn.text("icon-in-code") == ":material/home:"


def test_tables_lists_and_quotations_remain(drawn):
    assert drawn["table"].locator("td").all_inner_texts()[:3] == [":red[x]", "c | :smile:", "->"]
    assert drawn["table"].locator("td .katex").count() == 1
    assert drawn["list"].locator("ol > li > ul > li > input[type=checkbox]").is_checked()
    assert drawn["list"].locator("strong").text_content() == "two"
    assert drawn["list"].locator("blockquote").inner_text().strip() == "quoted -> :smile:"


def test_links_remain_and_say_where_they_lead(drawn):
    links = drawn["links"].locator("a")
    assert links.evaluate_all("all => all.map(link => link.getAttribute('href'))") == [
        "https://link.test/a:b",
        "https://link.test/?q=$1&r=_2_",
        "https://link.test/c",
    ]
    assert links.first.text_content() == "label -> :smile:"


def test_raw_text_is_shown_character_by_character(drawn):
    shown = drawn.page.locator(".st-key-raw [data-testid=stText]").text_content()
    assert shown is not None
    assert re.sub("\u200b", "", shown) == TEXTS["raw"]


def test_a_text_of_fifty_thousand_characters_is_shown(drawn):
    assert len(TEXTS["long"]) >= 50_000
    assert drawn["long"].locator(".katex").count() == 1000
    assert drawn["long"].locator("strong").count() == 1000
