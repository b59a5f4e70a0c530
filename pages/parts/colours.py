"""One colour for each LLM, the same on every page, in both themes."""

from collections.abc import Iterable, Sequence

from core.domain import LLM

# Okabe and Ito's colours, told apart with every common colour vision: those that show on a white and on a near black
# ground alike, so that an LLM keeps its colour when the theme changes. Yellow and black do not, and stand back.
OKABE_ITO = ("#E69F00", "#56B4E9", "#009E73", "#CC79A7", "#D55E00", "#0072B2")
DARKER = tuple(f"#{int(c[1:3], 16) * 6 // 10:02x}{int(c[3:5], 16) * 6 // 10:02x}{int(c[5:], 16) * 6 // 10:02x}"
               for c in OKABE_ITO)  # fmt: skip
QUIET = "#8a9096"


def colours(names: Sequence[str]) -> dict[str, str]:
    """The colour of each name by its place, which for LLMs is that in the database: it never changes when another
    joins. Past the sixth come darker shades, then grey: charts label LLMs directly and never by colour alone.
    """
    palette = (*OKABE_ITO, *DARKER)
    return {name: palette[i] if i < len(palette) else QUIET for i, name in enumerate(names)}


def llm_colours(llms: Iterable[LLM]) -> dict[str, str]:
    """The colour of every LLM by the name that is shown of it; `llms` are all there are, as the database has them."""
    return colours([llm.name or llm.llm_id for llm in llms])
