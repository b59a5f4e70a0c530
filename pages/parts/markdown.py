"""Show what an LLM wrote, as Markdown, without letting Streamlit rewrite it or fetch anything for it.

Streamlit's frontend changes a text three times: on the raw source (``:material/``), while parsing (``:red[x]``, ``$``),
and again on the parsed text, where a character reference has become a plain character (``:smile:``, ``->``). The first
two are stopped by writing a character as a reference (``&#58;``). The third sees one text node at a time, so `_apart`
gives a character a node of its own: ``:color[x]{}``, a custom colour without a colour, is drawn as a bare ``<span>``.

markdown-it finds the blocks (code, lists, tables, headings); within a block, one regular expression finds what to
rewrite. Its repetitions are possessive and stop at their own opening character: the work is linear in the text.
"""

from __future__ import annotations

import html
import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import zip_longest
from typing import Literal

import streamlit as st
from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.token import Token

from pages.parts.direction import isolated, right_to_left

_HEADING_DROP = 3  # pages use h1 to h3, so a response starts at h4
_UNDERLINES = {"=": 1, "-": 2}
_MATH_ENDS = {"$$": "$$", "\\[": "\\]"}
# A definition draws nothing. Before the text it keeps st.markdown from stripping and dedenting the first line, and it
# shows a formula to the frontend, which otherwise looks for one with a notion of code of its own, and may find none.
_PREAMBLE = "[start of response]: $$x$$\n\n"
_FORMULA = "\0"  # stands for a dollar that makes mathematics, until it is known whether there is any
_ZERO_WIDTH_SPACE = "\u200b"

_PUNCTUATION = r"[!-/:-@\[-`{-~]"
_REWRITTEN_BY_STREAMLIT = re.compile(r":[\w+-]+:|:material/|(?:^|\s)[-<>=~]{2,3}(?:\s|$)")
_BACKTICKS = re.compile(r"\\.|`++", re.DOTALL)  # or an escaped character, which may be a backtick
_TABLE_CELL = re.compile(r"\||(?:\\.|[^|\\]|\\$)++", re.DOTALL)
_TOKEN = re.compile(
    rf"""
    (?P<math> \\\( (?:[^\\]|\\[^()])++ \\\) | \\\[ (?:[^\\]|\\[^\[\]])++ \\\] (?!\()
            | \$\$(?!\$) (?:[^$\\]|\\.)++ \$\$(?!\$)
            | \$(?![\s$]) (?:[^$\\]|\\.)++ (?<!\s)\$(?![\d$]) )     # as pandoc: "$5 and $10" is no mathematics
  | (?P<given> \\{_PUNCTUATION} | &(?:\#\d{{1,7}}|\#[xX][\da-fA-F]{{1,6}}|[A-Za-z][A-Za-z\d]{{1,31}}); )
  | (?P<link> <(?:https?://|mailto:) [^\s\0-\x1f\x7f<>\[]++ >
            | \]\( (?: <[^<>\[\n]*+> | [^\s()<>\[\\]*+ (?:\([^\s()<>\[\\]*+\)[^\s()<>\[\\]*+)*+ )
              (?: \s++ (?:"[^"\[\n]*+"|'[^'\[\n]*+') )? \s*+ \)     # no "[": an image, if this is no link
            | (?i:https?://|www\.) [^\s<>\[\]()|\\*"]* [^\s<>\[\]()|\\*",.:;!?'_~] )
  | (?P<literal> !\[ (?: [^\[\]]*+ \] (?: \( [^()\s]*+ (?:\s++"[^"\n]*+")? \s*+ \) )? )? | </?[A-Za-z!][^<>]*+ >=*+ )
  | (?P<keep> ~~++ | -{{3,}}+(?![<>=]) | =++(?![-<>]) )
  | (?P<arrow> (?: ~(?==) | <(?![A-Za-z/!]) | [->=] ){{2,}}+ )
  | (?P<colon> :(?=[\w+\-\\&]) )
  | (?P<char> [:$<`]
            | ~                         # a single one: "3~5, 10~15" is not struck through
            | \](?=[-:<>=~&\\]) )       # lest a ":" put after it make a definition or a footnote
    """,
    re.VERBOSE | re.DOTALL,
)


def safe_markdown(text: str) -> str:
    r"""Return Markdown that makes ``st.markdown`` show `text` as the LLM wrote it, fetching nothing.

    Markdown, tables and mathematics (``$x$``, ``$$x$$``, ``\(x\)``, ``\[x\]``) are drawn; Streamlit's directives,
    shortcodes, icons and typographic symbols, images, HTML, footnotes and reference definitions appear literally, and
    headings start at h4. Code is unchanged, but a ``mermaid`` or ``math`` fence, which would be drawn as a picture or a
    formula, is labelled ``text``. Takes what an LLM wrote, not its own output: escaping again shows the escapes.
    """
    lines = _storable(text).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    blocks = _blocks(lines)
    shown: list[str] = []
    at = 0
    while at < len(lines):
        # A line that no block claims (too deeply nested, say) must not slip through unescaped.
        at, drawn = blocks.get(at, (at + 1, [_table_row(lines[at])]))
        shown += drawn
    result = "\n".join(shown)
    indented = result.lstrip("\n")[:1].isspace()
    obscured = _FORMULA in result and ("`" in result or "~~~" in result)
    return (_PREAMBLE if indented or obscured else "") + result.replace(_FORMULA, "$")


def show_text(text: str, *, raw: bool = False) -> None:
    """Draw an LLM's `text` on the page: as Markdown or, `raw`, character by character. In its own direction."""
    turned = right_to_left(text)
    alignment: Literal["left", "right"] = "right" if turned else "left"
    shown = isolated(text) if turned else text
    if raw:
        # st.text strips and dedents as well.
        st.text(_ZERO_WIDTH_SPACE * text[:1].isspace() + _storable(shown), text_alignment=alignment)
    else:
        st.markdown(safe_markdown(shown), anchors=False, text_alignment=alignment)


def show_marked(pieces: Iterable[tuple[str, bool]]) -> None:
    """Draw a text character by character, on a coloured ground where a piece is not `common`."""
    marked = "".join(_mark(text, common) for text, common in pieces)
    st.markdown("  \n".join(_kept_apart(line) for line in marked.split("\n")), anchors=False)


def _mark(text: str, common: bool) -> str:
    """The piece with nothing left in it that Markdown would read; of its lines each is marked by itself."""
    lines = _storable(text).replace("\r", "").split("\n")
    return "\n".join(
        _literal(line) if common or not line.strip() else f":blue-background[{_literal(line)}]" for line in lines
    )


def _kept_apart(line: str) -> str:
    """Without white space at the start, which would make it code."""
    words = line.lstrip(" \t")
    return "&nbsp;" * len(line[: len(line) - len(words)].expandtabs(4)) + words


def _storable(text: str) -> str:
    """Replace what JSON can carry and a page cannot: lone surrogates, and NUL as Markdown does."""
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", "\ufffd")


def _blocks(lines: list[str]) -> dict[int, tuple[int, list[str]]]:
    """Map the first line of each block to the line after it and the lines to show instead."""
    blocks: dict[int, tuple[int, list[str]]] = {}
    tokens = _PARSER.parse("\n".join(lines))
    quotations = 0
    for token, inner in zip_longest(tokens, tokens[1:]):
        quotations += {"blockquote_open": 1, "blockquote_close": -1}.get(token.type, 0)
        # The cells of a table lie in lines that the table already claims.
        if token.map and token.map[0] not in blocks:
            start, end = token.map
            block = lines[start:end]
            if token.type in {"fence", "code_block"} and _strays(block, quotations):
                drawn: list[str] | None = [_table_row(line) for line in block]
            else:
                drawn = _draw(token, inner.content if inner else "", block)
            if drawn is not None:
                blocks[start] = end, drawn
    return blocks


def _strays(lines: list[str], quotations: int) -> bool:
    """Whether a line may lie in its quotation for markdown-it alone: Streamlit allows three spaces before a ``>``."""
    markers = re.compile(rf"(?:\s*>){{,{quotations}}}")
    return any(re.search(r"(?: {4}|\t)\s*>", found[0]) for found in map(markers.match, lines) if found)


def _draw(token: Token, heading: str, lines: list[str]) -> list[str] | None:
    """The lines to show for the block that `token` stands for; None if it only holds other blocks."""
    drawn: list[str] | None = None
    match token.type:
        case "fence":
            drawn = [_plain_fence(lines[0], token), *lines[1:]]
        case "code_block" | "hr":
            drawn = lines
        case "table_open":
            # Without a bar or colon, Streamlit takes the line under the head for the underline of a heading.
            rule = lines[1] if {"|", ":"} & {*lines[1]} else lines[1] + "|"
            drawn = [_table_row(lines[0]), rule, *map(_table_row, lines[2:])]
        case "heading_open":
            drawn = [_heading(token.markup, heading, lines)]
        case "inline":
            prefixes, bodies = zip(*_split(lines, token.content), strict=True)
            shown = _inline("\n".join(bodies)).split("\n")
            # A formula over several lines has become one line.
            drawn = [prefix + body for prefix, body in zip(prefixes, shown, strict=False)]
        case "html_block":
            drawn = _html(_split(lines, token.content.removesuffix("\n")))
        case "math_block":
            prefix = lines[0][: lines[0].index(token.markup)]
            drawn = [prefix + _FORMULA * 2]
            drawn += (_continued(prefix) + line for line in [*token.content.split("\n"), _FORMULA * 2])
    return drawn


def _split(lines: list[str], content: str) -> list[tuple[str, str]]:
    """Split each line into the markers of its containers (``> ``, ``- ``) and its part of the block's content."""
    bodies = content.split("\n")
    pairs = []
    for line, body in zip(lines, bodies if len(bodies) == len(lines) else lines, strict=True):
        cut = max(len(line.rstrip()) - len(body.strip()), 0)
        pairs.append((line[:cut], line[cut:]) if line[cut:].strip() == body.strip() else ("", line))
    return pairs


def _continued(prefix: str) -> str:
    """The container markers of a block's first line, as its further lines carry them."""
    return re.sub(r"[^>\s]", " ", prefix)


def _plain_fence(line: str, fence: Token) -> str:
    language = html.unescape(fence.info).replace("\\", "").lower()
    drawn = "mermaid" in language or language.split()[:1] == ["math"]
    return line.replace(fence.markup, fence.markup + "text ", 1) if drawn else line


def _html(pairs: list[tuple[str, str]]) -> list[str]:
    # Now a paragraph: no blank line inside, as indented text after one is code, but one on either side.
    edge = _continued(pairs[0][0]).rstrip()
    return [edge, *(prefix + _literal(body.strip()) for prefix, body in pairs if body.strip()), edge]


def _heading(markup: str, content: str, lines: list[str]) -> str:
    level = _UNDERLINES.get(markup, len(markup))
    if markup in _UNDERLINES:
        prefix = _split(lines[:-1], content)[0][0]
        content = re.sub(r"#+$", lambda hashes: "\\#" * len(hashes[0]), " ".join(map(str.strip, content.split("\n"))))
    else:
        prefix, _, content = lines[0].partition(markup)
    return f"{prefix}{'#' * min(level + _HEADING_DROP, 6)} {_inline(content.strip())}"


def _table_row(line: str) -> str:
    """Rewrite the cells one by one: a cell ends at its bar, even within backticks."""
    return "".join(cell if cell == "|" else _inline(cell) for cell in _TABLE_CELL.findall(line))


def _inline(text: str) -> str:
    return "".join(_TOKEN.sub(_rewrite, plain) + code for plain, code in _code_spans(text))


def _code_spans(text: str) -> Iterator[tuple[str, str]]:
    """Yield each code span with the text before it; last, the rest with nothing."""
    runs: defaultdict[int, list[int]] = defaultdict(list)
    for run in re.finditer("`+", text):
        runs[len(run[0])].append(run.start())
    shown = at = 0
    while opening := _BACKTICKS.search(text, at):
        at, length = opening.end(), len(opening[0])
        later = bisect_left(runs[length], at)
        if opening[0][0] == "`" and later < len(runs[length]):
            at = runs[length][later] + length
            # Where Streamlit, unlike markdown-it, sees a line start another block, half a code span would come to life.
            yield text[shown : opening.start()], re.sub(r"\n(?![^\W\d_])", " ", text[opening.start() : at])
            shown = at
    yield text[shown:], ""


def _rewrite(found: re.Match[str]) -> str:
    text, after = found[0], found.string[found.end() : found.end() + 2]
    shown = text
    match found.lastgroup:
        case "math":
            shown = _math(text, after)
        case "given":
            character = html.unescape(text) if text[0] == "&" else text[1]
            shown = _apart(character) if character in {*":-=<>~"} else text
        case "link" if not _REWRITTEN_BY_STREAMLIT.search(html.unescape((text + after[:1]).replace("\\", ""))):
            special = {"<": "(?!)", "]": "[:$`~]"}.get(text[0], _PUNCTUATION)
            shown = re.sub(special, _reference, text)
        case "link" | "literal" | "arrow":
            shown = _literal(text)
        case "colon":
            shown = _apart(text)
        case "char":
            shown = _reference(found)
    return shown


def _math(text: str, after: str) -> str:
    width = 1 if text[0] == "$" != text[1] else 2
    body = _formula(text[width:-width])
    if not body or "$$" in body or re.search(r"(?<!\\)(?:\\\\)*\\$", body):
        return _literal(text)
    # Streamlit takes no "$x$1" for mathematics; within "$$" it allows a "$", except at the edge.
    marks = _FORMULA * (1 + (text[:2] in _MATH_ENDS or "$" in body or after[:1].isdigit()))
    padding = " " * ("$" in body)
    # The next formula's dollar must not touch this one's.
    return marks + padding + body + padding + marks + ":color[]{}" * after.startswith(("$", "\\(", "\\["))


def _formula(text: str) -> str:
    """On one line, without what is space to JavaScript only; TeX does not mind "! [", which can never be an image."""
    return " ".join(text.replace("\ufeff", " ").split()).replace("![", "! [")


def _literal(text: str) -> str:
    return re.sub(_PUNCTUATION, lambda found: _apart(found[0]) if found[0] in ":-=" else _reference(found), text)


def _reference(found: re.Match[str]) -> str:
    # A backtick stays one: its presence tells a line of text from the opening of a fence.
    return "\\`" if found[0] == "`" else f"&#{ord(found[0])};"


def _apart(character: str) -> str:
    return f":color[&#{ord(character)};]{{}}"


def _math_rule(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    r"""A markdown-it rule: ``$$`` or ``\[`` opens a line, its counterpart ends this or a later one; no blank line."""
    last = start
    content = [_line(state, start)]
    opening = content[0][:2]
    unended = f"no end of {opening} before line"  # asked at every line, the rule must not search again each time
    if opening not in _MATH_ENDS or state.is_code_block(start) or start < state.env.get(unended, 0):
        return False
    content[0] = content[0][2:]
    while _MATH_ENDS[opening] not in content[-1]:
        last += 1
        if last >= end or state.isEmpty(last) or state.sCount[last] < state.blkIndent:
            state.env[unended] = last
            return False
        content.append(_line(state, last))
    content[-1] = content[-1].removesuffix(_MATH_ENDS[opening])
    body = "\n".join(_formula(line) for line in content if line.strip())
    if not body or body[0] == "$" or "$$" in body or "\\]" in body:
        return False
    if not silent:
        state.line = last + 1
        token = state.push("math_block", "", 0)
        token.markup, token.content, token.map = opening, body, [start, state.line]
    return True


def _line(state: StateBlock, line: int) -> str:
    return state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]].rstrip()


# Without "reference", definitions stay visible lines, so no image or link can take its address from one.
_PARSER = MarkdownIt("commonmark").enable("table").disable(["reference", "inline"])
_PARSER.block.ruler.before("fence", "math_block", _math_rule, {"alt": ["paragraph", "blockquote", "list"]})
