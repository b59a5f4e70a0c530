"""Preference pairs for training LLMs: `prompt, chosen, rejected`, as text or as lists of `{role, content}`.

A pair says nothing about LLMs unless it names them, so `chosen_model` and `rejected_model` are needed. Optional: `user`
(else everyone is "unknown rater"), `task`, `rated_at`, `comparison_key`, `simulated`. The content decides which
response stands on side A, since the file does not tell what people saw.
"""

from core.domain import Bundle, Rejected, content_hash
from core.errors import InvalidInput
from core.importers import arena
from core.importers.gathering import Cells, cells, flag, moment, name, printable, text
from core.importers.tables import Table

ABOUT = "chosen and rejected responses as for DPO, with the names of their LLMs"
SUFFIXES = (".jsonl", ".jsonl.gz", ".json", ".parquet")
REQUIRED = frozenset({"prompt", "chosen", "rejected", "chosen_model", "rejected_model"})
OPTIONAL = frozenset({"user", "task", "rated_at", "comparison_key", "simulated"})
TEMPLATE = (
    "dpo.jsonl",
    """{"prompt": "What is a tide?", "chosen": "Water pulled by the Moon.", "rejected": "The sea.", \
"chosen_model": "llm-1", "rejected_model": "llm-2", "user": "ann"}
""",
)
UNKNOWN = "unknown rater"


def read(table: Table) -> Bundle:
    """Every row is one comparison or one `Rejected`. Raises UnreadableFile."""
    reading, unnamed = arena.Reading(), 0
    for number, record in table.rows(REQUIRED, OPTIONAL):
        try:
            given = cells(record)
            reading.add(number, _as_arena(given))
            unnamed += "user" not in given
        except InvalidInput as error:
            reading.rejected.append(Rejected(number, printable(str(error))))
    said = f"{unnamed:,} {'row names' if unnamed == 1 else 'rows name'} no user; kept under '{UNKNOWN}'."
    return reading.bundle(table.name, *([said] if unnamed else []))


def _as_arena(given: Cells) -> dict[str, object]:
    prompt = _messages(given, "prompt", "user")
    sides = [
        (name(given, f"{word}_model"), _conversation(prompt, _messages(given, word, "assistant")))
        for word in ("chosen", "rejected")
    ]
    turned = int(content_hash(*(str(side) for side in sides))[:8], 16) % 2 == 1
    (model_a, talk_a), (model_b, talk_b) = reversed(sides) if turned else sides
    row: dict[str, object] = {
        "judge": name(given, "user") if "user" in given else UNKNOWN, "model_a": model_a, "model_b": model_b,
        "conversation_a": talk_a, "conversation_b": talk_b, "winner": "b" if turned else "a",
        "category": text(given, "task", ""), "simulated": flag(given, "simulated", False),
    }  # fmt: skip
    if rated_at := moment(given, "rated_at"):
        row["tstamp"] = rated_at
    if key := text(given, "comparison_key", ""):
        row["comparison_key"] = key
    return row


def _messages(given: Cells, column: str, role: str) -> list[object]:
    value = given.get(column)
    if isinstance(value, list):
        return [m for m in value if not (isinstance(m, dict) and m.get("role") == "system")]
    return [{"role": role, "content": text(given, column)}]


def _conversation(prompt: list[object], reply: list[object]) -> list[object]:
    """Some files repeat the prompt in both replies."""
    return reply if reply[: len(prompt)] == prompt else prompt + reply
