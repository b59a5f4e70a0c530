"""The terminal as people and scripts use it: exit codes, one clear line of error, JSON."""

import hashlib
import io
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest import mock

import pytest
from sqlalchemy import create_engine, text

from core.settings import ROOT

ARENA = "mt_bench_human/human_judgments.parquet"


Done = subprocess.CompletedProcess[str]


def process(url: str, *arguments: str, **settings: str) -> Done:
    """`python cli.py ...` as a process of its own, which takes seconds to import what it needs."""
    return subprocess.run(
        [sys.executable, "cli.py", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=600, check=False,
        env={**os.environ, "DATABASE_URL": url, **settings},
    )  # fmt: skip


def cli(url: str, *arguments: str, **settings: str) -> Done:
    """The same through the same door, in this process."""
    from cli import main

    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.dict(os.environ, {"DATABASE_URL": url, **settings}),
        mock.patch.object(sys, "argv", ["cli.py", *arguments]),
        redirect_stdout(out),
        redirect_stderr(err),
        pytest.raises(SystemExit) as end,
    ):
        main()
    return Done(arguments, int(end.value.code or 0), out.getvalue(), err.getvalue())


def answer(url: str, *arguments: str, run: Callable[..., Done] = cli) -> object:
    done = run(url, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """One clear line on stderr, exit code 1, and no traceback."""
    assert done.returncode == 1, done.stdout + done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert len(lines) == 1 and "Traceback" not in done.stderr, done.stderr
    for word in words:
        assert word in lines[0], lines[0]


def events(url: str) -> int:
    engine = create_engine(url)
    with engine.connect() as connection:
        count = connection.execute(text("SELECT count(*) FROM comparisons")).scalar_one()
    engine.dispose()
    return int(count)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'cli.db'}"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo world with a router trained on it by the real encoder, once for all tests of this file."""
    path = tmp_path_factory.mktemp("trained") / "demo.db"
    address = f"sqlite:///{path}"
    assert process(address, "demo").returncode == 0
    report = answer(address, "train", run=process)  # it leaves a worker behind
    assert isinstance(report, dict) and report["router_version"] == 1
    return path


@pytest.fixture
def world(trained: Path, tmp_path: Path) -> str:
    """A copy of the trained demo world to change at will."""
    copy = tmp_path / "world.db"
    shutil.copy(trained, copy)
    for suffix in ("-wal", "-shm"):
        if Path(f"{trained}{suffix}").exists():
            shutil.copy(f"{trained}{suffix}", f"{copy}{suffix}")
    return f"sqlite:///{copy}"


def route(url: str, user: str, query: str) -> dict[str, float]:
    value = answer(url, "route", "--user", user, "--query", query)
    assert isinstance(value, dict) and value["user"] == user
    return {choice["llm"]: choice["probability"] for choice in value["choices"]}


@pytest.mark.parametrize(
    "command",
    ["run", "demo", "import", "export", "dataset", "users", "train", "routers", "worker", "route", "evaluate"],
)
def test_every_command_explains_itself(command: str) -> None:
    done = cli("sqlite://", command, "--help")
    assert done.returncode == 0 and len(done.stdout) > 100


def test_wrong_usage_exits_with_two(url: str) -> None:
    assert cli(url, "route", "--user", "Ada").returncode == 2
    assert process(url, "nonsense").returncode == 2


def test_the_arena_file_gives_the_counts_that_its_description_states_and_adds_nothing_twice(
    url: str, shared_data: Path
) -> None:
    first, second = (answer(url, "import", str(shared_data / ARENA)) for _ in range(2))
    assert first == {
        "comparisons": 3355,
        "users": 65,
        "llms": 6,
        "queries": 160,
        "added": 3355,
        "skipped": 0,
        "rejected": [],
    }
    assert second == {**first, "added": 0, "skipped": 3355}


def test_a_dry_run_counts_and_stores_nothing(url: str, shared_data: Path) -> None:
    report = answer(url, "import", str(shared_data / ARENA), "--dry-run")
    assert isinstance(report, dict) and report["added"] == 3355
    assert events(url) == 0


def test_what_is_exported_comes_back_as_the_same_ratings(world: str, tmp_path: Path) -> None:
    path = tmp_path / "all.jsonl.gz"
    report = answer(world, "export", str(path))
    card = json.loads(path.with_name(path.name + ".card.json").read_text())
    assert report == {
        "rows": 2400, "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "path": str(path),
        "dataset_fingerprint": card["dataset_fingerprint"],
    }  # fmt: skip
    frozen = answer(world, "dataset", "freeze", "all of it")
    assert isinstance(frozen, list) and frozen[0]["fingerprint"] == card["dataset_fingerprint"]
    assert answer(world, "import", str(path))["added"] == 0  # type: ignore[index]
    fresh = f"sqlite:///{tmp_path / 'fresh.db'}"
    again = answer(fresh, "import", str(path))
    assert isinstance(again, dict) and (again["added"], again["users"], again["llms"]) == (2400, 60, 5)
    assert {row["user"] for row in answer(fresh, "users")} == {row["user"] for row in answer(world, "users")}  # type: ignore[attr-defined]


def test_a_worker_lets_those_who_rate_go_first(url: str) -> None:
    with mock.patch("os.nice") as nice, mock.patch("commands.training.signal.signal"):
        assert cli(url, "worker", "--once").returncode == 0
    nice.assert_called_once_with(10)


def test_users_are_listed_with_their_ratings_and_simulated_ones_are_marked(world: str) -> None:
    rows = answer(world, "users")
    assert isinstance(rows, list) and len(rows) == 60
    assert all(row == {"user": row["user"], "ratings": 40, "simulated": True} for row in rows)


def test_opposed_tastes_get_different_first_choices_on_most_unseen_queries(trained: Path) -> None:
    """On queries that neither has rated, and on typed ones, which nobody has."""
    from core.domain import Query, UserId
    from core.encoders import SentenceEncoder
    from db.embeddings import CachedEncoder
    from db.engine import Database
    from db.reports import unrated_queries
    from db.serving import Serving

    database = Database.open(f"sqlite:///{trained}")
    serving = Serving(database, CachedEncoder(SentenceEncoder(), database))
    for one, other in (("brief", "learner"), ("engineer", "companion"), ("joker", "engineer")):
        users = [UserId(f"simulated-{taste}-03") for taste in (one, other)]
        common = {q.query_id for q in unrated_queries(database, users[0], 99)} & {
            q.query_id for q in unrated_queries(database, users[1], 99)
        }
        asked = [q for q in unrated_queries(database, users[0], 99) if q.query_id in common] + [
            Query.typed("How do tides work?")
        ]
        picks = [[serving.decide(user, query).choices[0].llm for query in asked] for user in users]
        different = sum(a != b for a, b in zip(*picks, strict=True))
        assert different >= len(asked) / 2, (one, other, different, len(asked))
    database.dispose()


def test_two_users_with_identical_ratings_get_equal_probabilities(world: str, tmp_path: Path) -> None:
    path = tmp_path / "twin.jsonl"
    answer(world, "export", str(path))
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    twin = [
        {**row, "judge": "twin", "comparison_key": f"twin-{i}"}
        for i, row in enumerate(r for r in rows if r["judge"] == "simulated-joker-04")
    ]
    path.write_text("\n".join(json.dumps(row) for row in twin))
    assert answer(world, "import", str(path))["added"] == 40  # type: ignore[index]
    first, second = (route(world, user, "Write a limerick about rain") for user in ("simulated-joker-04", "twin"))
    assert all(abs(first[llm] - second[llm]) < 1e-6 for llm in first)


def test_ten_more_ratings_change_their_author_without_training_and_nobody_else(world: str, tmp_path: Path) -> None:
    query = "Explain inflation to me"
    before = {user: route(world, user, query) for user in ("simulated-brief-02", "simulated-companion-01")}
    path = tmp_path / "more.jsonl"
    answer(world, "export", str(path))
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    pairs = [row for row in rows if {row["model_a"], row["model_b"]} == {"demo-terse", "demo-tutor"}][:10]
    said = [
        {
            **row,
            "judge": "simulated-brief-02",
            "winner": "model_a" if row["model_a"] == "demo-tutor" else "model_b",
            "comparison_key": f"more-{i}",
        }
        for i, row in enumerate(pairs)
    ]
    path.write_text("\n".join(json.dumps(row) for row in said))
    assert answer(world, "import", str(path))["added"] == 10  # type: ignore[index]
    after = route(world, "simulated-brief-02", query)
    assert after["demo-tutor"] > before["simulated-brief-02"]["demo-tutor"] + 0.01
    assert route(world, "simulated-companion-01", query) == before["simulated-companion-01"]


def test_a_person_without_ratings_gets_a_distribution_and_history_zero(world: str) -> None:
    from db.engine import Database
    from db.people import People

    database = Database.open(world)
    People(database).sign_in("Newcomer")
    database.dispose()
    value = answer(world, "route", "--user", "Newcomer", "--query", "Hello")
    assert isinstance(value, dict) and value["history"] == 0 and value["router"] == "ladder-1"
    assert sum(choice["probability"] for choice in value["choices"]) == pytest.approx(1)
    assert set(value["choices"][0]) == {"llm", "probability", "price"}


def test_removing_the_demo_takes_it_all_and_it_does_not_come_back(world: str) -> None:
    assert answer(world, "demo", "--remove")["users"] == 60  # type: ignore[index]
    assert answer(world, "users") == []
    from db.demo.loading import load_on_first_start
    from db.engine import Database

    database = Database.open(world)
    assert not load_on_first_start(database)
    database.dispose()
    assert answer(world, "demo")["ratings added"] == 2400  # type: ignore[index]


def test_bad_names_and_bad_queries_are_explained(world: str) -> None:
    refused(cli(world, "route", "--user", "nobody", "--query", "Hello"), "nobody")
    refused(cli(world, "route", "--user", "simulated-brief-01", "--query", ""), "empty")
    refused(cli(world, "route", "--user", "simulated-brief-01", "--query", "x" * 100_000), "100,000")


@pytest.mark.parametrize(
    ("name", "content", "word"),
    [
        ("missing.parquet", None, "nothing was stored"),
        ("truncated.parquet", b"PAR1\x00\x00", "nothing was stored"),
        ("broken.jsonl", b"{not json\n", "nothing was stored"),
        ("columns.jsonl", b'{"a": 1}\n', "column"),
        ("latin.jsonl", '{"model_a": "é"}\n'.encode("latin-1"), "UTF-8"),
    ],
)
def test_a_file_that_cannot_be_read_is_explained_and_stores_nothing(
    url: str, tmp_path: Path, name: str, content: bytes | None, word: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    refused(cli(url, "import", str(path)), word)


def test_bad_rows_are_named_and_good_ones_kept(url: str, tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    good = {"question_id": 1, "model_a": "x", "model_b": "y", "winner": "model_a", "judge": "Ada",
            "conversation_a": turns,
            "conversation_b": [turns[0], {"role": "assistant", "content": "Hey"}], "turn": 1}  # fmt: skip
    bad = [{**good, "winner": "model_c"}, {**good, "conversation_b": turns[:1]}, {**good, "model_b": "x"}]
    path = tmp_path / "mixed.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in [good, *bad]))
    refused(cli(url, "import", str(path)), "3 rows were rejected", "row 2", "model_c")
    assert events(url) == 0
    rejects = tmp_path / "rejects.csv"
    report = answer(url, "import", str(path), "--valid-rows", "--rejects", str(rejects))
    assert isinstance(report, dict) and report["added"] == 1
    assert len(rejects.read_text().splitlines()) == 4
    assert [row["row"] for row in report["rejected"]] == [2, 3, 4]
    assert "model_c" in report["rejected"][0]["reason"]


def test_a_database_of_a_newer_release_is_refused_and_untouched(world: str) -> None:
    engine = create_engine(world)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    refused(process(world, "users"), "newer release", "nothing was changed")


def test_a_corrupt_artifact_is_refused_with_what_to_do(world: str) -> None:
    engine = create_engine(world)
    with engine.begin() as connection:
        connection.execute(text("UPDATE router_versions SET artifact = x'00'"))
    engine.dispose()
    refused(cli(world, "route", "--user", "simulated-brief-01", "--query", "Hello"), "SHA-256", "untouched")


def test_training_on_too_little_says_what_is_missing(url: str) -> None:
    refused(process(url, "train"), "0 of 60 ratings")
    refused(cli(url, "evaluate"), "0 of 60 ratings")


def test_a_taken_port_is_one_clear_line_and_starts_nothing(url: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused(process(url, "run", PREFROUTE_PORT=str(port)), str(port), "PREFROUTE_PORT")


def test_a_wrong_setting_is_named(url: str) -> None:
    refused(cli(url, "users", PREFROUTE_PORT="99999"), "PREFROUTE_PORT")
    refused(cli("nonsense", "users"), "DATABASE_URL")


def test_missing_prices_are_filled_in_from_the_shipped_list(url: str) -> None:
    answer(url, "llms", "add", "claude-2.1")
    found = answer(url, "llms", "prices")
    assert isinstance(found, list) and [(llm["input_price"], llm["output_price"]) for llm in found] == [(8.0, 24.0)]
    assert "2023-11, Anthropic" in cli(url, "llms", "prices").stdout


def test_campaigns_are_created_edited_closed_and_listed(url: str) -> None:
    made = answer(url, "campaign", "create", "pilot", "--overlap", "3", "--quota", "50", "--scale", "five")
    assert isinstance(made, dict) and (made["overlap"], made["quota"], made["open"]) == (3, 50, True)
    changed = answer(url, "campaign", "edit", "pilot", "--overlap", "0", "--mode", "detailed", "--criterion", "Tone")
    assert isinstance(changed, dict)
    assert (changed["overlap"], changed["quota"], changed["criteria"], changed["version"]) == (None, 50, ["Tone"], 2)
    assert answer(url, "campaign", "close", "pilot") == {**changed, "open": False, "version": 3}
    listed = answer(url, "campaign", "list")
    assert isinstance(listed, list)
    assert [(row["name"], row["open"]) for row in listed] == [("pilot", False), ("Everything", True)]
    refused(cli(url, "campaign", "edit", "pilot", "--options", "4"), "A pair has two responses")


def test_training_by_itself_is_off_and_is_turned_on_and_off(url: str) -> None:
    assert answer(url, "schedule") == {"ratings": None, "hours": None, "new": 0}
    assert answer(url, "schedule", "--ratings", "500", "--hours", "24") == {"ratings": 500, "hours": 24, "new": 0}
    assert "after 500 new ratings, or every 24 hours" in cli(url, "schedule").stdout
    assert answer(url, "schedule", "--ratings", "0") == {"ratings": None, "hours": 24, "new": 0}
    refused(cli(url, "schedule", "--ratings", "3"), "must be from 20")
    assert "Never trains by itself" in cli(url, "schedule", "--hours", "0").stdout
