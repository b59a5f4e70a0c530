"""What goes out: DPO pairs, rankings, flat ratings, edges; formulas disarmed; a card that tells what a file is."""

import csv
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from core import importers
from core.dataset import PreferenceDataset, fingerprint_of
from core.domain import LLM, Comparison, LLMId, Outcome, Query, Response, User, UserId
from core.errors import InvalidInput
from core.exporters import EXPORTERS, exporter, write
from core.exporters.files import escaped, unescaped
from core.exporters.material import Material
from core.exporters.rankings import tiers
from core.exporters.selection import Counting, Selection

MAY = datetime(2024, 5, 1, tzinfo=UTC)
QUERY = Query(Query.id_of(["Hi?"]), ("Hi?",), "chat")
TALK = Query(Query.id_of(["Hi?", "And?"]), ("Hi?", "And?"))
NAMES = ("m1", "m2", "m3")


def said(query: Query, llm: str) -> Response:
    words = [f"{llm} says {i}" for i in range(len(query.turns) - 1)]
    return Response(query.query_id, LLMId(llm), (*words, f"=SUM({llm})"))


def rated(key: str, query: Query, a: str, b: str, outcome: Outcome, user: str = "ann") -> Comparison:
    ids = said(query, a).response_id, said(query, b).response_id
    return Comparison(UserId(user), query.query_id, LLMId(a), LLMId(b), outcome, *ids, key=key, rated_at=MAY)


MATERIAL = Material.of(
    (QUERY, TALK), [said(q, m) for q in (QUERY, TALK) for m in NAMES],
    (User(UserId("ann")), User(UserId("bot"), simulated=True)), {UserId("ann"): "rater-1"},
)  # fmt: skip
RATED = (
    rated("k1", QUERY, "m1", "m2", Outcome.A), rated("k2", TALK, "m2", "m3", Outcome.B),
    rated("k3", QUERY, "m1", "m3", Outcome.TIE), rated("k4", QUERY, "m2", "m3", Outcome.BOTH_BAD, "bot"),
)  # fmt: skip


def rows(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_dpo_has_what_was_preferred_over_what(tmp_path: Path) -> None:
    assert write(tmp_path / "x.jsonl", RATED, MATERIAL, "dpo").rows == 2
    first, second = rows(tmp_path / "x.jsonl")
    assert first["prompt"] == [{"role": "user", "content": "Hi?"}]
    assert first["chosen"] == [{"role": "assistant", "content": "=SUM(m1)"}]
    assert (first["rejected_model"], first["weight"], first["user"]) == ("m2", 1.0, "rater-1")
    assert second["chosen_model"] == "m3"
    assert [turn["role"] for turn in second["chosen"]] == ["assistant", "user", "assistant"]  # type: ignore[attr-defined]


def test_a_tie_is_left_out_of_dpo_or_written_both_ways_at_half_the_weight(tmp_path: Path) -> None:
    assert write(tmp_path / "x.jsonl", RATED, MATERIAL, "dpo", ties="both").rows == 4
    ties = [row for row in rows(tmp_path / "x.jsonl") if row["weight"] == 0.5]
    assert {(row["chosen_model"], row["rejected_model"]) for row in ties} == {("m1", "m3"), ("m3", "m1")}
    assert all(row["comparison_key"] is None for row in ties)
    with pytest.raises(InvalidInput, match="nothing was written"):
        write(tmp_path / "y.jsonl", RATED, MATERIAL, "dpo", ties="coin")


def test_dpo_comes_back_as_the_same_preferences(tmp_path: Path) -> None:
    write(tmp_path / "x.jsonl", RATED, MATERIAL, "dpo")
    back = importers.read(tmp_path / "x.jsonl")
    won = [(c.llm_a, c.llm_b) if c.outcome is Outcome.A else (c.llm_b, c.llm_a) for c in back.comparisons]
    assert won == [("m1", "m2"), ("m3", "m2")] and {c.key for c in back.comparisons} == {"k1", "k2"}
    assert {q.turns for q in back.queries} == {QUERY.turns, TALK.turns} and {u.user_id for u in back.users} == {
        "rater-1"
    }


def test_rankings_put_equals_together_and_say_when_the_ratings_go_in_a_circle(tmp_path: Path) -> None:
    write(tmp_path / "x.jsonl", RATED, MATERIAL, "rankings")
    first, second, third = rows(tmp_path / "x.jsonl")
    assert first["ranking"] == [["m1"], ["m3"], ["m2"]] and first["consistent"] is False  # m1 and m3 were a tie
    assert second["ranking"] == [["m3"], ["m2"]] and second["consistent"] is True
    assert third["unacceptable"] == ["m2", "m3"] and third["simulated"] is True
    a, b, c = (LLMId(name) for name in NAMES)
    key = RATED[0].response_a
    circle = [(a, b, Outcome.A, key, key), (b, c, Outcome.A, key, key), (c, a, Outcome.A, key, key)]
    assert tiers(circle) == ([[a, b, c]], False)
    assert tiers(circle[:2]) == ([[a], [b], [c]], True)


def test_edges_are_those_of_the_graph_that_the_network_is_trained_on(tmp_path: Path) -> None:
    from core.graph import RATED_BY, SIDE_A, build_graph

    class Encoder:
        id, dim = "none", 2

        def encode(self, texts):
            import numpy as np

            return np.zeros((len(texts), 2), np.float32)

    write(tmp_path / "x.csv", RATED, MATERIAL, "edges")
    with (tmp_path / "x.csv").open(newline="") as stream:
        edges = list(csv.DictReader(stream))
    dataset = PreferenceDataset.from_comparisons(RATED, (QUERY, TALK), [LLM(LLMId(name)) for name in NAMES])
    graph = build_graph(dataset, Encoder())
    users = {"rater-1": 0, "bot": 1}
    mine = sorted((users[e["user"]], NAMES.index(e["llm_a"]), float(e["label"])) for e in edges)
    llm, user = graph.data[SIDE_A].edge_index.tolist()
    assert mine == sorted(zip(user, llm, graph.data[RATED_BY].label.tolist(), strict=True))
    assert [float(e["sign"]) for e in edges] == [1, -1, 0, 0]


def test_a_csv_file_holds_no_formula_and_comes_back_as_it_was(tmp_path: Path) -> None:
    single = [c for c in RATED if c.query_id == QUERY.query_id]
    write(tmp_path / "x.csv", single, replace(MATERIAL, pseudonyms={}), "ratings")
    assert "'=SUM(m1)" in (tmp_path / "x.csv").read_text() and ",=SUM" not in (tmp_path / "x.csv").read_text()
    back = importers.read(tmp_path / "x.csv")
    assert back.comparisons == tuple(single)


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@x", "'=1", "''=1", "plain", "'quoted'", "", "\t=1"])
def test_what_is_disarmed_can_be_told_apart_again(text: str) -> None:
    assert unescaped(escaped(text)) == text
    assert not escaped(text).startswith(("=", "+", "-", "@", "\t", "\r"))


@pytest.mark.parametrize("name", EXPORTERS)
def test_every_format_writes_each_of_its_suffixes_and_the_same_bytes_twice(name: str, tmp_path: Path) -> None:
    for suffix in exporter(name).SUFFIXES:
        first, again = (write(tmp_path / f"{i}{suffix}", RATED, MATERIAL, name) for i in range(2))
        assert first == again and first.rows > 0
    if ".csv" not in exporter(name).SUFFIXES:
        with pytest.raises(InvalidInput, match="nothing was written"):
            write(tmp_path / "x.csv", RATED, MATERIAL, name)


def test_a_selection_picks_by_task_kind_of_user_and_time() -> None:
    def keys(selection: Selection) -> list[str]:
        assert Selection.from_dict(json.loads(json.dumps(selection.to_dict()))) == selection
        return [c.key for c in selection.of(RATED, MATERIAL)]

    assert keys(Selection()) == ["k1", "k2", "k3", "k4"]
    assert keys(Selection(task="chat")) == ["k1", "k3", "k4"]
    assert keys(Selection(task="")) == ["k2"]
    assert keys(Selection(simulated=False)) == ["k1", "k2", "k3"]
    assert keys(Selection(since=MAY)) == ["k1", "k2", "k3", "k4"] and keys(Selection(until=MAY)) == []
    unknown = replace(RATED[0], rated_at=None)
    assert list(Selection(since=MAY).of([unknown], MATERIAL)) == []


def test_what_went_out_is_counted_under_the_fingerprint_of_the_dataset() -> None:
    counting = Counting(RATED, MATERIAL)
    assert list(counting) == list(RATED)
    facts = counting.facts()
    assert (facts["ratings"], facts["people"], facts["simulated_users"], facts["queries"]) == (4, 1, 1, 2)
    assert facts["outcomes"] == {"a": 1, "b": 1, "tie": 1, "both_bad": 1} and facts["llms"] == list(NAMES)
    dataset = PreferenceDataset.from_comparisons(RATED, (QUERY, TALK), [LLM(LLMId(name)) for name in NAMES])
    assert facts["dataset_fingerprint"] == dataset.fingerprint() != fingerprint_of([])
