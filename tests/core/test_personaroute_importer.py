"""What `core.importers.personaroute` promises:

each best of N as comparisons, simulated users named so, repeated texts kept once.
"""

import csv
import json
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core import importers
from core.dataset import PreferenceDataset
from core.domain import Bundle, Outcome, Query
from core.errors import UnreadableFile

FOLDER = Path(__file__).parent / "golden" / "personaroute"
GOLDEN = sorted(FOLDER.glob("*.csv"))
FIRST = (
    "user_id",
    "performance_preference",
    "task_id",
    "query",
    "ground_truth",
    "metric",
    "llm",
    "effect",
    "cost",
    "response",
    "reward",
    "best_llm",
)


def best_and_others(bundle: Bundle) -> list[list[str]]:
    turns = {q.query_id: q.turns[0] for q in bundle.queries}
    said = []
    for c in bundle.comparisons:
        best, other = (c.llm_a, c.llm_b) if c.outcome is Outcome.A else (c.llm_b, c.llm_a)
        said.append([c.user_id, turns[c.query_id], best, other])
    return said


def outcome_of(path: Path) -> dict[str, Any]:
    try:
        bundle = importers.read(path)
    except UnreadableFile as error:
        return {"unreadable": str(error)}
    words = {q.query_id: q.turns[0] for q in bundle.queries}
    return {
        "users": [[u.user_id, u.simulated] for u in bundle.users],
        "tasks": [t.name for t in bundle.tasks],
        "llms": [m.llm_id for m in bundle.llms],
        "queries": [[q.turns[0], q.task] for q in bundle.queries],
        "responses": [[r.llm_id, words[r.query_id], r.text] for r in bundle.responses],
        "best over": best_and_others(bundle),
        "rejected": [[r.row, r.reason] for r in bundle.rejected],
        "warnings": list(bundle.warnings),
    }


def write(path: Path, rows: Sequence[Sequence[object]], header: Sequence[str] = FIRST) -> Path:
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([header, *rows])
    return path


def block(user: int, query: str, best: object, llms: int = 3, response: str = "reply") -> list[list[object]]:
    return [
        [user, 0.2, "task", query, "g", "m", f"llm-{i}", 0.5, 0.1, f"{response} {i}", 0.3, best] for i in range(llms)
    ]


def assert_whole(bundle: Bundle) -> None:
    assert all(u.simulated for u in bundle.users)
    assert {c.user_id for c in bundle.comparisons} == {u.user_id for u in bundle.users}
    assert {c.query_id for c in bundle.comparisons} == {q.query_id for q in bundle.queries}
    assert {r for c in bundle.comparisons for r in (c.response_a, c.response_b)} == {
        r.response_id for r in bundle.responses
    }
    assert {n for c in bundle.comparisons for n in (c.llm_a, c.llm_b)} == {m.llm_id for m in bundle.llms}
    assert len({c.key for c in bundle.comparisons}) == len(bundle.comparisons)
    assert {q.task for q in bundle.queries} - {""} == {t.name for t in bundle.tasks}
    assert all(r.reason.isprintable() and len(r.reason) < 240 for r in bundle.rejected)
    PreferenceDataset.from_comparisons(bundle.comparisons, bundle.queries, bundle.llms)


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case.stem)
def test_a_golden_file_gives_what_is_written_beside_it(case: Path) -> None:
    assert outcome_of(case) == json.loads(case.with_suffix(".json").read_text())


def test_every_choice_of_ten_is_nine_comparisons_on_both_sides(tmp_path: Path) -> None:
    rows = [row for user in range(9) for q in range(20) for row in block(user, f"Q{q}", (user + q) % 10, llms=10)]
    bundle = importers.read(write(tmp_path / "x.csv", rows))
    assert_whole(bundle)
    assert (len(bundle.comparisons), len(bundle.users), len(bundle.rejected)) == (9 * 20 * 9, 9, 0)
    assert len(bundle.responses) == 200
    on_a = sum(c.outcome is Outcome.A for c in bundle.comparisons) / len(bundle.comparisons)
    assert 0.4 < on_a < 0.6
    for user, query, best, _ in best_and_others(bundle):
        assert best == f"llm-{(int(user.rsplit('-')[-1]) + int(query[1:])) % 10}"


def test_other_suffixes_give_the_same(tmp_path: Path) -> None:
    rows = [dict(zip(FIRST, row, strict=True)) for user in (1, 2) for row in block(user, "Q", user)]
    write(tmp_path / "x.csv", [list(row.values()) for row in rows])
    (tmp_path / "x.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pq.write_table(
        pa.Table.from_pylist([{**row, "best_llm": float(str(row["best_llm"]))} for row in rows]), tmp_path / "x.parquet"
    )
    first, *others = (outcome_of(path) for path in sorted(tmp_path.iterdir()))
    assert len(first["best over"]) == 4
    assert all(other == first for other in others)


def test_a_row_that_is_missing_does_not_move_the_places(tmp_path: Path) -> None:
    rows = [*block(1, "Q", 2), *block(2, "Q", 2)[1:]]
    bundle = importers.read(write(tmp_path / "x.csv", rows))
    assert {u.user_id for u in bundle.users} == {"personaroute-cost-1"}
    assert [r.row for r in bundle.rejected] == [4, 5]
    assert "2 of 3 rows" in bundle.rejected[0].reason


def test_users_of_the_two_forms_are_not_the_same_people(tmp_path: Path) -> None:
    first = importers.read(write(tmp_path / "a.csv", block(1, "Q", 0)))
    rows = [["1", "Q", "llm-0", "r", "1"], ["1", "Q", "llm-1", "s", "0"]]
    second = importers.read(write(tmp_path / "b.csv", rows, ("user_id", "query", "llm", "response", "best_answer")))
    assert {u.user_id for u in first.users}.isdisjoint(u.user_id for u in second.users)


def test_memory_does_not_grow_with_repeated_texts(tmp_path: Path) -> None:
    long = "word " * 20_000  # 100 kB; 3 responses and a query of it, repeated for 60 users: 24 MB of file
    rows = [row for user in range(60) for row in block(user, "Why? " + long, 0, response=long)]
    path = write(tmp_path / "x.csv", rows)
    assert path.stat().st_size > 20_000_000
    tracemalloc.start()
    bundle = importers.read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(bundle.comparisons) == 120
    assert peak < 4_000_000


def test_text_that_is_not_utf8_and_a_bomb_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "x.csv", block(1, "Q", 0))
    path.write_bytes(path.read_bytes() + b"1,Jos\xe9\n")
    with pytest.raises(UnreadableFile, match="not UTF-8"):
        importers.read(path)
    from core.importers import csv_rows

    monkeypatch.setattr(csv_rows, "MAX_TEXT_BYTES", 10)
    with pytest.raises(UnreadableFile, match="2 GiB"):
        importers.read(path)


CELL = st.sampled_from(["0", "1", "2", "llm-0", "llm-1", "", "Q", "1.0", "x" * 130, "a\x00b"]) | st.text(max_size=6)
ROWS = st.lists(st.lists(CELL, min_size=5, max_size=6), max_size=8)


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(rows=ROWS, best=st.sampled_from(["best_llm", "best_answer"]))
def test_whatever_cells_come_the_bundle_is_whole(rows: list[list[str]], best: str, tmp_path: Path) -> None:
    header = ("user_id", "query", "llm", "response", "task_id", best)
    path = tmp_path / "x.json"  # any character, also lone surrogates
    path.write_text(
        json.dumps([dict(zip(header, row, strict=False)) for row in [["1", "Q", "llm-0", "r", "t", "0"], *rows]])
    )
    assert_whole(importers.read(path))


def test_queries_are_known_by_their_words() -> None:
    bundle = importers.read(FOLDER / "first_form_by_place.csv")
    assert [q.query_id for q in bundle.queries] == [Query.id_of(['Say "hi", please'])]
