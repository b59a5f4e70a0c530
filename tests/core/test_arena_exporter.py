"""What `core.exporters.arena` promises: what was said reads back equal, and no half-written file is ever left."""

import gzip
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core import exporters, importers
from core.domain import Comparison, LLMId, Outcome, Query, Response, User, UserId
from core.errors import InvalidInput
from core.exporters.arena import write
from core.exporters.files import ExportReport
from core.exporters.material import Material

LLMS = ("llm-1", "llm-2")
MAY = datetime(2024, 5, 1, tzinfo=UTC)
SUFFIXES = (".jsonl", ".jsonl.gz", ".parquet")


@dataclass(frozen=True)
class World:
    """The arguments of an exporter."""

    comparisons: tuple[Comparison, ...]
    queries: tuple[Query, ...]
    responses: tuple[Response, ...]
    users: tuple[User, ...]

    def write(self, path: Path) -> ExportReport:
        return write(path, iter(self.comparisons), self.material())

    def material(self) -> Material:
        return Material.of(self.queries, self.responses, self.users)


def a_world(n: int = 5) -> World:
    queries = tuple(Query(Query.id_of((f"Ask {i}", "And?")), (f"Ask {i}", "And?"), "chat") for i in range(2))
    responses = [
        Response(q.query_id, LLMId(m), (f"{m} says", "é\u2028🙂")) for q in queries for m in ("llm-1", "llm-2")
    ]
    users = (User(UserId("ann")), User(UserId("sim"), simulated=True))
    comparisons = tuple(
        a_comparison(responses[2 * (i % 2)], responses[2 * (i % 2) + 1], users[i % 2], f"key {i}") for i in range(n)
    )
    return World(comparisons, queries, tuple(responses), users)


def a_comparison(a: Response, b: Response, user: User, key: str) -> Comparison:
    ids = (a.response_id, b.response_id)
    return Comparison(
        user.user_id, a.query_id, a.llm_id, b.llm_id, Outcome.BOTH_BAD, *ids, key, datetime(2024, 5, 1, tzinfo=UTC)
    )


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
STORABLE = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=30)
NAMES = STORABLE.filter(str.strip)
MOMENTS = st.none() | st.integers(0, 7_000_000_000_000_000).map(lambda us: EPOCH + timedelta(microseconds=us))


@st.composite
def worlds(draw: st.DrawFn) -> World:
    asked = draw(st.lists(st.lists(NAMES, min_size=1, max_size=3).map(tuple), min_size=1, max_size=3, unique=True))
    tasks = st.just("") | NAMES
    queries = tuple(Query(Query.id_of(turns), turns, draw(tasks)) for turns in asked)
    names = st.lists(NAMES, min_size=1, max_size=3, unique=True)
    llms = draw(st.lists(NAMES, min_size=2, max_size=4, unique=True))
    users = tuple(User(UserId(name), draw(st.booleans())) for name in draw(names))
    comparisons, responses = [], {}
    for key in draw(st.lists(NAMES, min_size=1, max_size=6, unique=True)):
        query, pair = draw(st.sampled_from(queries)), draw(st.permutations(llms))[:2]
        replies = st.lists(STORABLE, min_size=len(query.turns), max_size=len(query.turns))
        sides = [Response(query.query_id, LLMId(m), tuple(draw(replies))) for m in pair]
        responses.update({side.response_id: side for side in sides})
        said = a_comparison(sides[0], sides[1], draw(st.sampled_from(users)), key)
        comparisons.append(replace(said, outcome=draw(st.sampled_from(Outcome)), rated_at=draw(MOMENTS)))
    return World(tuple(comparisons), queries, tuple(responses.values()), users)


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(world=worlds(), suffix=st.sampled_from(SUFFIXES))
def test_what_is_exported_is_imported_equal(world: World, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"x{suffix}"
    assert world.write(path).rows == len(world.comparisons)
    bundle = importers.read(path)
    assert bundle.rejected == ()
    assert bundle.comparisons == world.comparisons
    used = {c.query_id for c in world.comparisons}
    assert set(bundle.queries) == {q for q in world.queries if q.query_id in used}
    assert set(bundle.responses) == set(world.responses)
    assert set(bundle.users) == {u for u in world.users if u.user_id in {c.user_id for c in world.comparisons}}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_report_counts_the_rows_and_hashes_the_bytes_and_equal_rows_give_equal_bytes(
    suffix: str, tmp_path: Path
) -> None:
    first, again = tmp_path / f"first{suffix}", tmp_path / f"again{suffix}"
    report = a_world(450).write(first)
    assert report == ExportReport(450, hashlib.sha256(first.read_bytes()).hexdigest())
    assert a_world(450).write(again) == report
    assert len(importers.read(first).comparisons) == 450


def test_a_row_has_the_columns_of_the_arena_and_ours(tmp_path: Path) -> None:
    a_world(2).write(tmp_path / "x.jsonl")
    a_world(2).write(tmp_path / "x.jsonl.gz")
    a_world(2).write(tmp_path / "x.parquet")
    human, simulated = (json.loads(line) for line in (tmp_path / "x.jsonl").read_text().split("\n")[:2])
    turns = ["Ask 0", "llm-1 says", "And?", "é\u2028🙂"]
    roles = ["user", "assistant"] * 2
    assert human == {
        "question_id": Query.id_of(("Ask 0", "And?")), "model_a": "llm-1", "model_b": "llm-2", "judge": "ann",
        "turn": 2, "winner": "tie (bothbad)", "category": "chat", "tstamp": MAY.timestamp(),
        "comparison_key": "key 0", "simulated": False, "choice": None,
        "conversation_a": [{"role": r, "content": t} for r, t in zip(roles, turns, strict=True)],
        "conversation_b": [
            {"role": r, "content": t} for r, t in zip(roles, [turns[0], "llm-2 says", *turns[2:]], strict=True)
        ],
    }  # fmt: skip
    assert simulated["simulated"] is True
    assert gzip.decompress((tmp_path / "x.jsonl.gz").read_bytes()) == (tmp_path / "x.jsonl").read_bytes()
    assert pq.read_table(tmp_path / "x.parquet").to_pylist() == [human, simulated]


def test_what_is_unknown_is_null(tmp_path: Path) -> None:
    world = a_world(1)
    unknown = replace(world, comparisons=(replace(world.comparisons[0], rated_at=None),))
    replace(unknown, queries=tuple(replace(q, task="") for q in world.queries)).write(tmp_path / "x.jsonl")
    row = json.loads((tmp_path / "x.jsonl").read_text())
    assert row["tstamp"] is None
    assert row["category"] is None


def misfits() -> Iterator[tuple[str, World]]:
    world = a_world()
    short = tuple(replace(r, turns=r.turns[:1]) for r in world.responses)
    crossed = replace(world.comparisons[0], response_b=world.comparisons[0].response_a)
    ids = {r.response_id: s.response_id for r, s in zip(world.responses, short, strict=True)}
    shortened = replace(world.comparisons[0], response_a=ids[world.comparisons[0].response_a])
    yield "no query", replace(world, queries=world.queries[:1])
    yield "no user", replace(world, users=world.users[:1])
    yield "no response", replace(world, responses=world.responses[:3])
    yield "the response of the other side", replace(world, comparisons=(crossed,))
    yield "a response with too few turns", replace(world, comparisons=(shortened,), responses=short)
    yield "broken Unicode", replace(world, comparisons=(replace(world.comparisons[0], key="\ud800"),))


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("world", [pytest.param(world, id=name) for name, world in misfits()])
def test_comparisons_that_do_not_fit_leave_the_file_that_was_there(world: World, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"x{suffix}"
    path.write_bytes(b"what was there")
    with pytest.raises(InvalidInput, match="nothing was written"):
        world.write(path)
    assert path.read_bytes() == b"what was there"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("raised", [RuntimeError, KeyboardInterrupt])
def test_an_export_cut_short_leaves_nothing(suffix: str, raised: type[BaseException], tmp_path: Path) -> None:
    world = a_world(300)

    def breaking() -> Iterator[Comparison]:
        yield from world.comparisons
        raise raised

    with pytest.raises(raised):
        write(tmp_path / f"x{suffix}", breaking(), world.material())
    assert list(tmp_path.iterdir()) == []


def test_a_place_or_name_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.jsonl").mkdir()
    (tmp_path / "file").write_text("")
    for name in ("x.csv", "x", "absent/x.jsonl", "folder.jsonl", "file/x.jsonl", "x" * 300 + ".jsonl"):
        with pytest.raises(InvalidInput, match="nothing was"):
            a_world().write(tmp_path / name)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder.jsonl"]


def test_the_registry_writes_by_name(tmp_path: Path) -> None:
    world = a_world()
    parts = (world.comparisons, world.material())
    assert exporters.write(tmp_path / "x.jsonl", *parts) == world.write(tmp_path / "y.jsonl")
    with pytest.raises(InvalidInput, match=r"'xml'.*arena"):
        exporters.write(tmp_path / "z.jsonl", *parts, format="xml")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_real_mt_bench_votes_come_back_equal(shared_data: Path, suffix: str, tmp_path: Path) -> None:
    read = importers.read(shared_data / "mt_bench_human" / "human_judgments.parquet")
    write(tmp_path / f"x{suffix}", read.comparisons, Material.of(read.queries, read.responses, read.users))
    assert replace(importers.read(tmp_path / f"x{suffix}"), source=read.source) == read
