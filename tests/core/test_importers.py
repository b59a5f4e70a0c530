"""Every format: golden files found by glob, columns under other names, the real sets, and templates that read well."""

import json
from pathlib import Path
from typing import Any

import pytest

from core import importers
from core.dataset import PreferenceDataset
from core.domain import Bundle
from core.errors import InvalidInput, UnreadableFile

FOLDER = Path(__file__).parent / "golden"
CASES = sorted(path.parent for path in FOLDER.glob("*/*/main.*"))
OLDER = ("arena", "personaroute")  # their golden files lie flat, and have tests of their own


def main_of(case: Path) -> Path:
    return next(case.glob("main.*"))


def summary(bundle: Bundle) -> dict[str, Any]:
    """What the golden files pin: every value, and hashes only through what they tell apart."""
    words = {q.query_id: list(q.turns) for q in bundle.queries}
    said = {r.response_id: r.text for r in bundle.responses}
    return {
        "users": [[u.user_id, u.simulated] for u in bundle.users],
        "llms": [[m.llm_id, m.name, m.input_price, m.output_price] for m in bundle.llms],
        "queries": [[list(q.turns), q.task] for q in bundle.queries],
        "responses": [[r.llm_id, words[r.query_id], list(r.turns)] for r in bundle.responses],
        "comparisons": [
            [c.user_id, words[c.query_id], c.llm_a, c.llm_b, c.outcome, said[c.response_a], said[c.response_b]]
            if not c.rated_at
            else [c.user_id, c.llm_a, c.llm_b, c.outcome, c.rated_at.isoformat()]
            for c in bundle.comparisons
        ],
        "rejected": [[r.row, r.reason] for r in bundle.rejected],
        "warnings": list(bundle.warnings),
    }  # fmt: skip


def outcome_of(path: Path) -> dict[str, Any]:
    try:
        return {"format": importers.recognised(path).format, **summary(importers.read(path))}
    except UnreadableFile as error:
        return {"unreadable": str(error)}


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.parent.name}-{case.name}")
def test_a_golden_file_gives_what_is_written_beside_it(case: Path) -> None:
    assert outcome_of(main_of(case)) == json.loads((case / "expected.json").read_text())


def test_every_format_has_a_golden_case() -> None:
    assert {case.parent.name for case in CASES} | set(OLDER) == set(importers.IMPORTERS)


@pytest.mark.parametrize("name", importers.IMPORTERS)
def test_a_template_is_recognised_as_its_own_format_and_read_whole(name: str, tmp_path: Path) -> None:
    module = importers.importer(name)
    assert module.ABOUT and module.REQUIRED
    if module.TEMPLATE:
        path = tmp_path / module.TEMPLATE[0]
        path.write_text(module.TEMPLATE[1])
        assert importers.recognised(path).format == name
        bundle = importers.read(path)
        assert not bundle.rejected and (bundle.comparisons or bundle.responses or bundle.queries or bundle.llms)


def test_what_became_of_one_best_of_several_says_that_it_was_one_choice() -> None:
    bundle = importers.read(FOLDER / "best_of" / "best_of_three" / "main.csv")
    first, second = bundle.comparisons[:2], bundle.comparisons[2:]
    assert [len({c.choice for c in said}) for said in (first, second)] == [1, 1] and first[0].choice != second[0].choice
    said = PreferenceDataset.from_comparisons(bundle.comparisons, bundle.queries, bundle.llms)
    assert said.items == 2 and said.stage.tolist() == [0, 0, 1, 1]


def test_a_column_can_stand_for_another_and_a_wrong_one_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("frage,antwort,wer\nHi?,one,m1\n")
    with pytest.raises(UnreadableFile, match="no known format"):
        importers.read(path)
    named = {"query": "frage", "response": "antwort", "llm": "wer"}
    bundle = importers.read(path, "responses", named)
    assert [(r.llm_id, r.text) for r in bundle.responses] == [("m1", "one")]
    with pytest.raises(UnreadableFile, match="lacks the column 'nobody'"):
        importers.read(path, "responses", {**named, "llm": "nobody"})
    with pytest.raises(InvalidInput, match="'voter' is no column"):
        importers.read(path, "responses", {**named, "voter": "wer"})


def test_a_mapped_column_hides_one_of_the_same_name(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps({"query": "no", "frage": "Hi?", "llm": "m1", "response": "one"}))
    assert importers.read(path, "responses", {"query": "frage"}).queries[0].turns == ("Hi?",)


def test_progress_is_told_by_the_row(tmp_path: Path) -> None:
    path, told = tmp_path / "x.csv", list[int]()
    path.write_text("query\n" + "".join(f"Question {i}?\n" for i in range(1200)))
    assert len(importers.read(path, on_rows=told.append).queries) == 1200
    assert told == [500, 1000]


def test_simulated_users_of_two_sets_are_not_one(tmp_path: Path) -> None:
    names = []
    for folder, words in (("one", "Hi?"), ("two", "What?")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "queries.csv").write_text(f"query_id,text\nq1,{words}\n")
        pairs = tmp_path / folder / "pairs.csv"
        pairs.write_text("user_id,query_id,llm_a,llm_b,outcome\nu0,q1,a,b,a\n")
        names += [user.user_id for user in importers.read(pairs).users]
    assert len(set(names)) == 2 and all(name.endswith("-u0") for name in names)


SETS = [  # file, ratings, responses, queries, LLMs, users: what the description of the data states
    ("alpaca_eval/model_outputs.jsonl.gz", 0, 8050, 805, 10, 0),
    ("mt_bench_human/human_judgments.parquet", 3355, 960, 160, 6, 65),
    ("prd_llm_judges/judgments.parquet", 8000, 400, 80, 5, 5),
    ("tulu_human/judgments.parquet", 1150, 1328, 332, 4, 16),
    ("personas/val_pairs.parquet", 20_000, None, 237, 10, 1000),
]


@pytest.mark.parametrize(("name", "ratings", "responses", "queries", "llms", "users"), SETS)
def test_a_real_set_is_read_whole(
    shared_data: Path, name: str, ratings: int, responses: int | None, queries: int, llms: int, users: int
) -> None:
    bundle = importers.read(shared_data / name)
    found = (len(bundle.comparisons), len(bundle.queries), len(bundle.llms), len(bundle.users), len(bundle.rejected))
    assert found == (ratings, queries, llms, users, 0)
    assert responses is None or len(bundle.responses) == responses
