"""LLMs with their descriptions and prices (dollars per million tokens). What is known here already stays."""

from core.domain import Bundle
from core.importers.gathering import LLM_FACTS, Cells, Gathering, llm_of
from core.importers.tables import SUFFIXES as ALL_SUFFIXES
from core.importers.tables import Table

ABOUT = "LLMs with descriptions and prices"
SUFFIXES = ALL_SUFFIXES
REQUIRED = frozenset({"llm_id", "description"})
OPTIONAL = LLM_FACTS - {"description"}
TEMPLATE = (
    "llms.csv",
    'llm_id,name,family,description,input_price,output_price\nllm-1,LLM One,ones,"A small and quick LLM.",0.2,0.6\n',
)


def read(table: Table) -> Bundle:
    """Every row is one LLM or one `Rejected`. Raises UnreadableFile."""
    gathered = Gathering()

    def add(_: int, given: Cells) -> None:
        llm = llm_of(given)
        gathered.repeats += llm.llm_id in gathered.llms
        gathered.keep_llm(llm)

    gathered.take(table, REQUIRED, OPTIONAL, add)
    return gathered.bundle(table.name)
