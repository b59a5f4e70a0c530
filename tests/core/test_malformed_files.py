"""Files that are broken in every way: a clear sentence each, nothing to store, and memory that stays bounded."""

import csv
import gzip
import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core import importers
from core.domain import Bundle
from core.errors import InvalidInput, PrefRouteError, UnreadableFile
from core.settings import ROOT
from db.imports import check_whole

HEADER = ["user", "query", "llm_a", "llm_b", "response_a", "response_b", "outcome"]
ROWS = [["ann", f"Was ist Nr. {i}, José?", "m1", "m2", f"eins {i}", "zwei €", "a"] for i in range(12)]
RECORDS = [dict(zip(HEADER, row, strict=True)) for row in ROWS]


def as_csv(header: list[str] = HEADER, rows: list[list[str]] = ROWS) -> bytes:
    out = io.StringIO()
    csv.writer(out).writerows([header, *rows])
    return out.getvalue().encode()


def as_parquet() -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(RECORDS), sink)
    return bytes(sink.getvalue())


def as_lines() -> bytes:
    return b"".join(json.dumps(record, ensure_ascii=False).encode() + b"\n" for record in RECORDS)


@cache
def gzip_bomb(of: bytes) -> bytes:
    return gzip.compress(of * 250_000_000, 1)


@cache
def zipped(size: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("x.csv", as_csv() + b" " * size)
    return out.getvalue()


GOOD: dict[str, bytes] = {
    ".csv": as_csv(), ".jsonl": as_lines(), ".json": json.dumps(RECORDS, ensure_ascii=False).encode(),
    ".jsonl.gz": gzip.compress(as_lines(), mtime=0), ".parquet": as_parquet(),
}  # fmt: skip
HUGE = "x" * 10_500_000

CORPUS: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "UTF-16 from a spreadsheet": ("x.csv", lambda: as_csv().decode().encode("utf-16"), "UTF-8"),
    "Windows-1252": ("x.csv", lambda: as_csv().decode().encode("cp1252"), "UTF-8"),
    "Latin-1 lines": ("x.jsonl", lambda: as_lines().replace("€".encode(), b"EUR").decode().encode("latin-1"), "UTF-8"),
    "a zip file called CSV": ("x.csv", lambda: zipped(10), ""),
    "a zip bomb called CSV": ("x.csv", lambda: zipped(250_000_000), ""),
    "a zip bomb called gzip": ("x.jsonl.gz", lambda: zipped(250_000_000), "not gzip"),
    "a zip bomb called parquet": ("x.parquet", lambda: zipped(250_000_000), "not parquet"),
    "a gzip bomb": ("x.jsonl.gz", lambda: gzip_bomb(b" "), "over 200 times"),
    "a gzip bomb of empty lines": ("x.jsonl.gz", lambda: gzip_bomb(b"\n"), "more than 100,000 empty lines"),
    "truncated parquet": ("x.parquet", lambda: as_parquet()[:-9], "truncated"),
    "the head of parquet": ("x.parquet", lambda: as_parquet()[:400], "truncated"),
    "a column twice": ("x.csv", lambda: as_csv([*HEADER, "user"], [[*r, "x"] for r in ROWS]), "more than one column"),
    "a cell over 10 MB": ("x.csv", lambda: as_csv(rows=[*ROWS, [HUGE, *ROWS[0][1:]]]), "longer than 10 MB"),
    "an unclosed quote": ("x.csv", lambda: as_csv() + b'"never closed', "truncated or no CSV"),
    "a binary": ("x.jsonl", lambda: bytes(range(256)) * 50, ""),
    "an HTML page": ("x.json", lambda: b"<!doctype html><title>404</title>", "does not hold a list"),
    "nothing but white space": ("x.jsonl", lambda: b" \n\t\n" * 99, "No line of the file is a JSON row"),
}  # fmt: skip


@pytest.mark.parametrize("case", CORPUS)
def test_a_broken_file_is_refused_with_one_clear_sentence(case: str, tmp_path: Path) -> None:
    name, content, words = CORPUS[case]
    path = tmp_path / name
    path.write_bytes(content())
    for named in ("ratings", None):
        with pytest.raises(UnreadableFile) as caught:
            importers.read(path, named)
        message = str(caught.value)
        assert words in message and "nothing was stored" in message and message.isprintable()
        assert str(tmp_path) not in message


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".parquet", ".csv"])
def test_a_text_over_the_limit_costs_its_row_and_keeps_the_file_out(suffix: str, tmp_path: Path) -> None:
    records = [*RECORDS, {**RECORDS[0], "response_a": "y" * 2_000_000}]
    path = tmp_path / f"x{suffix}"
    if suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(records), path)
    elif suffix == ".csv":
        path.write_bytes(as_csv(rows=[list(record.values()) for record in records]))
    else:
        lines = [json.dumps(record) for record in records]
        path.write_text("\n".join(lines) if suffix == ".jsonl" else f"[{','.join(lines)}]")
    bundle = importers.read(path)
    assert [r.row for r in bundle.rejected] == [13] and "2,000,000 characters" in bundle.rejected[0].reason
    with pytest.raises(InvalidInput, match="nothing was stored"):
        check_whole(bundle, valid_rows=False)


def spoilt(content: bytes, how: str, where: float, byte: int) -> bytes:
    at = min(int(where * len(content)), len(content) - 1)
    match how:
        case "cut":
            return content[:at]
        case "flip":
            return content[:at] + bytes([content[at] ^ (byte or 1)]) + content[at + 1 :]
        case "insert":
            return content[:at] + bytes([byte]) * 7 + content[at:]
        case "swap halves":
            return content[at:] + content[:at]
        case "double":
            return content + content[at:]
        case _:
            return content.replace(b"outcome", b"result").replace(b'"a"', b'"maybe"')


HOW = st.sampled_from(["cut", "flip", "insert", "swap halves", "double", "rename"])


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    made=st.sampled_from(sorted(GOOD)), called=st.sampled_from(sorted(GOOD)) | st.none(),
    damage=st.lists(st.tuples(HOW, st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=3),
)  # fmt: skip
def test_whatever_is_spoilt_is_refused_in_words_or_read_without_losing_a_row(
    made: str, called: str | None, damage: list[tuple[str, float, int]], tmp_path: Path
) -> None:
    content = GOOD[made]
    for how, where, byte in damage:
        content = spoilt(content, how, where, byte) or b" "
    path = tmp_path / f"x{called or made}"
    path.write_bytes(content)
    try:
        bundle = importers.read(path, "ratings")
    except PrefRouteError as refusal:
        said = str(refusal)
    else:
        said = "nothing was stored" * bool(bundle.comparisons or bundle.rejected)
        assert_told(bundle)
    assert "nothing was stored" in said and said.isprintable()


def assert_told(bundle: Bundle) -> None:
    """Every rejected row has its reason, and one is enough to keep the file out."""
    assert all(r.reason and r.reason.isprintable() and len(r.reason) < 240 for r in bundle.rejected)
    if bundle.rejected:
        with pytest.raises(InvalidInput, match="nothing was stored"):
            check_whole(bundle, valid_rows=False)


WITHIN = """
import resource, sys
from pathlib import Path
from core import importers
from core.errors import UnreadableFile
from core.importers import ratings
size = int(next(line for line in open('/proc/self/status') if line.startswith('VmSize')).split()[1]) * 1024
resource.setrlimit(resource.RLIMIT_AS, (size + int(sys.argv[2]), -1))
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        importers.read(path, "ratings")
        print("read", path.name)
    except UnreadableFile:
        print("refused", path.name)
"""


def test_no_bomb_goes_off_in_memory(tmp_path: Path) -> None:
    """In a process that may grow by 200 MB: unpacked, each of the bombs holds 250 MB."""
    if not Path("/proc/self/status").exists():
        pytest.skip("the size of a process is read from /proc")
    bombs = [CORPUS[case] for case in CORPUS if "bomb" in case]
    for i, (name, content, _) in enumerate(bombs):
        (tmp_path / f"{i:02d}{name.removeprefix('x')}").write_bytes(content())
    done = subprocess.run(
        [sys.executable, "-c", WITHIN, str(tmp_path), str(200 * 1024**2)], cwd=ROOT, capture_output=True, text=True,
        timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["refused"] * len(bombs)
