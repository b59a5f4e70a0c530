"""What `core.importers.arena` promises: each row is a comparison or a reason, and a file is read whole or refused."""

import gzip
import json
import random
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core import importers
from core.domain import Bundle, Outcome, Query
from core.errors import InvalidInput, UnreadableFile
from core.importers import tables

FOLDER = Path(__file__).parent / "golden" / "arena"
GOLDEN = sorted([*FOLDER.glob("*.jsonl"), *FOLDER.glob("*.parquet")])


def a_row(**changes: object) -> dict[str, Any]:
    asked = {"role": "user", "content": "Hi"}
    row = {"question_id": 1, "model_a": "llm-1", "model_b": "llm-2", "winner": "model_a", "judge": "ann", "turn": 1}
    sides = {f"conversation_{s}": [asked, {"role": "assistant", "content": f"Hello from {s}"}] for s in "ab"}
    return {**row, **sides, **changes}


def lines(*rows: object) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def summary(bundle: Bundle) -> dict[str, Any]:
    """What the golden files pin: every value, and hashes only through what they tell apart."""
    turns = {q.query_id: list(q.turns) for q in bundle.queries}
    return {
        "users": [[u.user_id, u.simulated] for u in bundle.users],
        "tasks": [t.name for t in bundle.tasks],
        "llms": [m.llm_id for m in bundle.llms],
        "queries": [[list(q.turns), q.task] for q in bundle.queries],
        "responses": [[r.llm_id, turns[r.query_id], list(r.turns)] for r in bundle.responses],
        "comparisons": [
            [c.key, c.user_id, c.llm_a, c.llm_b, c.outcome, c.rated_at.isoformat() if c.rated_at else None]
            for c in bundle.comparisons
        ],
        "rejected": [[r.row, r.reason] for r in bundle.rejected],
        "warnings": list(bundle.warnings),
    }


def outcome_of(path: Path) -> dict[str, Any]:
    try:
        return summary(importers.read(path))
    except UnreadableFile as error:
        return {"unreadable": str(error)}


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case.stem)
def test_a_golden_file_gives_what_is_written_beside_it(case: Path) -> None:
    assert outcome_of(case) == json.loads(case.with_suffix(".json").read_text())


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case.stem)
def test_a_golden_file_keeps_its_count_and_only_refers_to_what_it_holds(case: Path) -> None:
    try:
        bundle = importers.read(case)
    except UnreadableFile:
        return
    assert len(bundle.comparisons) + len(bundle.rejected) == sum(bool(x.strip()) for x in case.read_text().splitlines())
    assert_whole(bundle)


def assert_whole(bundle: Bundle) -> None:
    users, llms = {u.user_id for u in bundle.users}, {m.llm_id for m in bundle.llms}
    queries, responses = {q.query_id: q for q in bundle.queries}, {r.response_id: r for r in bundle.responses}
    assert len(users) == len(bundle.users)
    assert len(llms) == len(bundle.llms)
    assert len(queries) == len(bundle.queries)
    assert len(responses) == len(bundle.responses)
    assert len({c.key for c in bundle.comparisons}) == len(bundle.comparisons)
    assert users == {c.user_id for c in bundle.comparisons}
    assert llms == {name for c in bundle.comparisons for name in (c.llm_a, c.llm_b)}
    assert all(q.query_id == Query.id_of(q.turns) for q in bundle.queries)
    assert queries.keys() == {c.query_id for c in bundle.comparisons}
    assert responses.keys() == {r for c in bundle.comparisons for r in (c.response_a, c.response_b)}
    assert {q.task for q in bundle.queries} - {""} <= {t.name for t in bundle.tasks}
    assert all(len(r.turns) == len(queries[r.query_id].turns) for r in bundle.responses)


def test_every_suffix_gives_the_same_bundle(tmp_path: Path) -> None:
    rows = [a_row(judge=f"user {i % 3}", question_id=i, tstamp=1.5e9 + i) for i in range(7)]
    (tmp_path / "x.jsonl").write_bytes(b"\xef\xbb\xbf" + lines(*rows).replace(b"\n", b"\r\n"))
    (tmp_path / "x.JSONL.GZ").write_bytes(gzip.compress(lines(*rows)))
    (tmp_path / "x.json").write_text(json.dumps(rows, indent=1))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "x.parquet")
    first, *others = (summary(importers.read(path)) for path in sorted(tmp_path.iterdir()))
    assert len(first["comparisons"]) == 7
    assert len(others) == 3
    assert all(other == first for other in others)


def test_the_same_rows_in_another_order_have_the_same_keys(tmp_path: Path) -> None:
    rows = [a_row(judge=f"user {i % 4}", winner=("a", "b", "tie")[i % 3], question_id=i % 2) for i in range(40)]
    rows.append(a_row(winner="nobody"))
    keys = []
    for seed in range(3):
        random.Random(seed).shuffle(rows)
        (tmp_path / "x.jsonl").write_bytes(lines(*rows))
        keys.append({c.key for c in importers.read(tmp_path / "x.jsonl").comparisons})
    assert len(keys[0]) == 40
    assert keys[0] == keys[1] == keys[2]


def test_each_part_of_the_content_makes_another_key(tmp_path: Path) -> None:
    other = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Bye"}]
    changes: list[dict[str, object]] = [
        {}, {"judge": "bob"}, {"question_id": 2}, {"turn": 2}, {"winner": "tie"}, {"model_a": "llm-3"},
        {"conversation_b": other},
    ]  # fmt: skip
    (tmp_path / "x.jsonl").write_bytes(lines(*(a_row(**change) for change in changes)))
    assert len({c.key for c in importers.read(tmp_path / "x.jsonl").comparisons}) == len(changes)


def test_times_are_utc_whatever_they_are_written_as(tmp_path: Path) -> None:
    moment = datetime(2023, 4, 24, 15, 53, 11, 131000, UTC)
    written = [moment.timestamp(), moment.isoformat(), "2023-04-24T15:53:11.131", "2023-04-24T17:53:11.131+02:00"]
    (tmp_path / "x.jsonl").write_bytes(lines(*(a_row(tstamp=stamp) for stamp in written)))
    assert [c.rated_at for c in importers.read(tmp_path / "x.jsonl").comparisons] == [moment] * 4
    pq.write_table(pa.Table.from_pylist([a_row(tstamp=moment)]), tmp_path / "x.parquet")
    (rated,) = importers.read(tmp_path / "x.parquet").comparisons
    assert rated.rated_at == moment
    assert type(rated.rated_at) is datetime


def test_text_kept_in_several_rows_is_one_object(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_bytes(lines(*(a_row(judge=f"user {i}") for i in range(50))))
    bundle = importers.read(tmp_path / "x.jsonl")
    assert (len(bundle.queries), len(bundle.responses), len(bundle.llms)) == (1, 2, 2)
    assert len({id(c.response_a) for c in bundle.comparisons}) == len({id(c.query_id) for c in bundle.comparisons}) == 1


def test_good_rows_after_many_broken_lines_are_still_found(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_bytes(b"{\n" * 2_000 + lines(a_row()))
    bundle = importers.read(tmp_path / "x.jsonl")
    assert (len(bundle.comparisons), len(bundle.rejected)) == (1, 2_000)


def test_a_line_over_ten_megabytes_is_refused_without_being_parsed(tmp_path: Path) -> None:
    huge = a_row(extra="x" * tables.MAX_LINE)
    (tmp_path / "x.jsonl").write_bytes(lines(a_row(), huge, a_row(judge="bob"), huge)[:-1])
    bundle = importers.read(tmp_path / "x.jsonl")
    assert [c.user_id for c in bundle.comparisons] == ["ann", "bob"]
    assert [(r.row, r.reason) for r in bundle.rejected] == [
        (2, "Line 2 is longer than 10 MB."), (4, "Line 4 is longer than 10 MB.")
    ]  # fmt: skip


def test_a_text_over_the_limit_is_refused_and_quoted_short(tmp_path: Path) -> None:
    reply = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "x" * 1_000_001}]
    (tmp_path / "x.jsonl").write_bytes(lines(a_row(), a_row(conversation_b=reply)))
    (refused,) = importers.read(tmp_path / "x.jsonl").rejected
    assert "conversation_b" in refused.reason
    assert "1,000,001 characters" in refused.reason
    assert len(refused.reason) < 240


def test_a_parquet_text_that_is_not_utf8_costs_its_row_only(tmp_path: Path) -> None:
    table = pa.Table.from_pylist([a_row(), a_row(judge="bad"), a_row(judge="bob")])
    broken = pa.array([b"ann", b"\xff\xfe", b"bob"], pa.binary()).view(pa.string())
    at = table.schema.get_field_index("judge")
    pq.write_table(table.set_column(at, "judge", broken), tmp_path / "x.parquet")
    bundle = importers.read(tmp_path / "x.parquet")
    assert [c.user_id for c in bundle.comparisons] == ["ann", "bob"]
    assert [r.row for r in bundle.rejected] == [2]


def parquet_bytes(rows: list[dict[str, Any]], first: int | None = None) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows).slice(0, first), sink)
    return bytes(sink.getvalue())


def twice_named() -> bytes:
    table, sink = pa.Table.from_pylist([a_row()]), pa.BufferOutputStream()
    pq.write_table(table.append_column("winner", table["winner"]), sink)
    return bytes(sink.getvalue())


UNREADABLE: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "empty": ("x.jsonl", lambda: b"", "empty"),
    "an empty list": ("x.json", lambda: b"[]", "no rows"),
    "a parquet file without rows": ("x.parquet", lambda: parquet_bytes([a_row()], 0), "no rows"),
    "truncated parquet": ("x.parquet", lambda: parquet_bytes([a_row()] * 9)[:-20], "truncated"),
    "half a parquet file": ("x.parquet", lambda: parquet_bytes([a_row()] * 9)[:700], "truncated"),
    "text called parquet": ("x.parquet", lambda: lines(a_row()), "not parquet"),
    "parquet called jsonl": ("x.jsonl", lambda: parquet_bytes([a_row()]), ""),
    "a column twice": ("x.parquet", twice_named, "more than one column 'winner'"),
    "parquet without a column": ("x.parquet", lambda: parquet_bytes([{"model_a": "x", "judge": "y"}]), "'winner'"),
    "a key twice in every line": ("x.jsonl", lambda: b'{"winner": 1, "winner": 2}\n', "'winner' more than once"),
    "UTF-16": ("x.jsonl", lambda: lines(a_row()).decode().encode("utf-16"), "not UTF-8"),
    "Latin-1 further down": ("x.jsonl", lambda: lines(a_row()) + b'{"judge": "Jos\xe9"}\n', "Line 2 is not UTF-8"),
    "truncated gzip": ("x.jsonl.gz", lambda: gzip.compress(lines(*[a_row()] * 99))[:-30], "truncated"),
    "text called gzip": ("x.jsonl.gz", lambda: lines(a_row()), "not gzip"),
    "a gzip bomb": ("x.jsonl.gz", lambda: gzip.compress(b" " * 60_000_000), "over 200 times"),
    "a bomb of rows": ("x.jsonl.gz", lambda: gzip.compress(lines(a_row(x="y" * 9_000)) * 6_000), "over 200 times"),
    "a truncated list": ("x.json", lambda: json.dumps([a_row()] * 3).encode()[:-9], "invalid after row 2"),
    "a list with more behind": ("x.json", lambda: json.dumps([a_row()]).encode() + b"]", "invalid after row 1"),
    "a list without a comma": ("x.json", lambda: b"[1 2]", "invalid"),
    "a deep list": ("x.json", lambda: b"[" * 100_000, "invalid"),
    "an object": ("x.json", lambda: json.dumps(a_row()).encode(), "does not hold a list"),
    "an unknown suffix": ("x.xml", lambda: lines(a_row()), "no known suffix"),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_a_file_that_cannot_be_read_is_refused_with_one_clear_sentence(case: str, tmp_path: Path) -> None:
    name, content, words = UNREADABLE[case]
    (tmp_path / name).write_bytes(content())
    for named in (None, "arena"):
        with pytest.raises(UnreadableFile) as caught:
            importers.read(tmp_path / name, named)
        message = str(caught.value)
        assert words in message
        assert "so nothing was stored: " in message
        assert message.endswith(".")
        assert str(tmp_path) not in message


def test_a_folder_and_an_absent_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.parquet").mkdir()
    for name, words in (("folder.parquet", "folder"), ("absent.jsonl", "does not exist"), ("a\x00.jsonl", "not exist")):
        with pytest.raises(UnreadableFile, match=words):
            importers.read(tmp_path / name)


def test_an_unknown_format_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"'csv'.*arena"):
        importers.read(tmp_path / "x.jsonl", "csv")


def test_more_text_or_rows_than_allowed_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.jsonl").write_bytes(lines(*[a_row()] * 20))
    pq.write_table(pa.Table.from_pylist([a_row()] * 20), tmp_path / "x.parquet")
    for limit, words in (("MAX_TEXT_BYTES", "2 GiB"), ("MAX_ROWS", "more than 10 rows")):
        with monkeypatch.context() as patched:
            patched.setattr(tables, limit, 10)
            for name in ("x.jsonl", "x.parquet"):
                with pytest.raises(UnreadableFile, match=words):
                    importers.read(tmp_path / name)


TEXT = st.text(st.characters(exclude_categories=()), max_size=8)  # with NUL and lone surrogates
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
TURNS = st.lists(
    st.fixed_dictionaries({}, optional={"role": st.sampled_from(["user", "assistant", "system"]), "content": JSON}),
    max_size=4,
)
COLUMN = st.sampled_from([*a_row(), "category", "tstamp", "comparison_key", "simulated"])
ROW = JSON | st.builds(lambda changes: a_row(**changes), st.dictionaries(COLUMN, JSON | TURNS, max_size=2))


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(rows=st.lists(ROW, max_size=6), suffix=st.sampled_from([".jsonl", ".json", ".jsonl.gz"]), led=st.booleans())
def test_whatever_json_comes_no_row_is_lost(rows: list[Any], suffix: str, led: bool, tmp_path: Path) -> None:
    rows = [a_row(), *rows] if led else rows  # a good first row, or most files would be refused as a whole
    path = tmp_path / f"x{suffix}"
    content = json.dumps(rows).encode() if suffix == ".json" else lines(*rows)
    path.write_bytes(gzip.compress(content) if suffix.endswith("gz") else content)
    try:
        bundle = importers.read(path)
    except UnreadableFile:
        assert not led
        return
    assert len(bundle.comparisons) + len(bundle.rejected) == len(rows)
    assert_whole(bundle)
    assert all(r.reason.isprintable() and len(r.reason) < 240 for r in bundle.rejected)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(damage=st.lists(st.tuples(st.floats(0, 0.9999), st.integers(0, 255)), min_size=1, max_size=3))
def test_damaged_parquet_is_read_or_refused_and_never_crashes(damage: list[tuple[float, int]], tmp_path: Path) -> None:
    content = bytearray(parquet_bytes([a_row(judge=f"user {i}") for i in range(3)]))
    for where, byte in damage:
        content[int(where * len(content))] = byte
    (tmp_path / "x.parquet").write_bytes(content)
    with suppress(UnreadableFile):
        assert_whole(importers.read(tmp_path / "x.parquet"))


def test_the_real_mt_bench_votes_are_all_read(shared_data: Path) -> None:
    bundle = importers.read(shared_data / "mt_bench_human" / "human_judgments.parquet")
    sizes = (len(bundle.comparisons), len(bundle.users), len(bundle.llms), len(bundle.queries), len(bundle.rejected))
    assert sizes == (3355, 65, 6, 160, 0)
    assert bundle.warnings == ("4 responses are empty.",)
    assert_whole(bundle)


@pytest.mark.parametrize(
    ("name", "comparisons", "users", "llms"), [("prd_llm_judges", 8000, 5, 5), ("tulu_human", 1150, 16, 4)]
)
def test_the_other_sets_are_all_read(shared_data: Path, name: str, comparisons: int, users: int, llms: int) -> None:
    bundle = importers.read(shared_data / name / "judgments.parquet")
    sizes = (len(bundle.comparisons), len(bundle.users), len(bundle.llms), len(bundle.rejected))
    assert sizes == (comparisons, users, llms, 0)
    assert (Outcome.BOTH_BAD in {c.outcome for c in bundle.comparisons}) == (name == "tulu_human")
