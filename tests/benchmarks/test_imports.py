"""The benchmark of imports on three tiny sets: a real app, a real Chromium, and no file passed over in silence."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from core.settings import ROOT


def said(answer: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": answer}]


VOTE = {
    "question_id": 1,
    "conversation_a": said("Hello"),
    "conversation_b": said("Hey"),
    "model_a": "x",
    "model_b": "y",
    "winner": "model_a",
    "turn": 1,
}


@pytest.mark.browser
def test_every_file_of_every_set_is_imported_through_the_page_or_told_why_not(tmp_path: Path, chromium_path) -> None:
    for name in ("votes", "by_id"):
        (tmp_path / name).mkdir()
    good = [
        {**VOTE, "judge": f"user {i}", "conversation_a": said("Hello"), "conversation_b": said("Hey")} for i in (1, 2)
    ]
    bad = {**good[0], "winner": "model_c"}
    (tmp_path / "votes/votes.jsonl").write_text("\n".join(json.dumps(row) for row in [*good, bad]))
    (tmp_path / "votes/truth.npz").write_bytes(b"no table")
    (tmp_path / "by_id/pairs.csv").write_text("user_id,query_id,llm_a,llm_b,outcome\n1,q,x,y,a\n2,q,y,x,tie\n")
    (tmp_path / "by_id/queries.csv").write_text("query_id,text,task\nq,What is a tide?,explain\n")
    (tmp_path / "by_id/costs.csv").write_text("query_id,llm_id,cost\nq,x,0.1\n")
    command = [sys.executable, "-m", "benchmarks", "imports", "--data", str(tmp_path), "--json", str(tmp_path / "out")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    files = {f"{row['set']}/{row['file']}": row for row in json.loads((tmp_path / "out").read_text())["files"]}
    assert set(files) == {
        "votes/votes.jsonl", "votes/truth.npz", "by_id/pairs.csv", "by_id/queries.csv", "by_id/costs.csv",
    }  # fmt: skip
    votes, pairs = files["votes/votes.jsonl"], files["by_id/pairs.csv"]
    assert (votes["format"], votes["rows"], votes["rejected"]) == ("arena", 3, 1)
    assert "2 ratings added" in votes["said"] and "2 ratings added" in pairs["said"]
    assert (pairs["format"], pairs["rows"]) == ("choices", 2) and pairs["s_per_1000"] > 0
    assert files["by_id/queries.csv"]["why"] == "goes in beside pairs.csv"
    assert "no table" in files["votes/truth.npz"]["why"] and "quality" in files["by_id/costs.csv"]["why"]
