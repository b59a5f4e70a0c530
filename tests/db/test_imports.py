"""An import in a thread of its own: what it would do, all or nothing, progress, cancel, and a way out of every end."""

import json
import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import select

from core.domain import LLMId, Outcome, Rejected
from core.errors import InvalidInput
from db.bundles import Preview
from db.engine import Database
from db.imports import Import, rejects_csv
from db.models import AuditEventRow, ResponseRow
from db.people import People
from db.preferences import PreferenceStore
from db.sources import sources
from tests.db.worlds import asked, world


@pytest.fixture
def store(database, clock):
    return PreferenceStore(database, clock)


def a_file(folder: Path, rows: int = 6, bad: int = 0, name: str = "x.csv") -> Path:
    path = folder / name
    good = [f"ann,Question {i}?,m1,m2,one {i},I am Claude {i},a" for i in range(rows)]
    lines = ["user,query,llm_a,llm_b,response_a,response_b,outcome", *good, *["ann,Q?,m1,m2,one,two,left"] * bad]
    path.write_text("\n".join(lines))
    return path


def begun(store: PreferenceStore, path: Path, format: str = "ratings") -> Import:
    job = Import(store, path, format, {}, "Ada")
    job.start()
    job.wait(60)
    return job


def previewed(job: Import) -> Preview:
    assert job.state.preview is not None
    return job.state.preview


def added(job: Import) -> int:
    report = job.wait(60).report
    assert report is not None
    return report.added


def ratings(store: PreferenceStore) -> int:
    return len(list(store.comparisons()))


def test_a_file_is_shown_as_it_would_be_then_stored_after_a_yes(store, database, tmp_path):
    job = begun(store, a_file(tmp_path))
    preview = previewed(job)
    assert job.state.stage == "ready" and ratings(store) == 0
    assert (preview.kind, preview.ready, preview.already, preview.rejected) == ("ratings", 6, 0, 0)
    assert (preview.users, preview.queries, preview.responses, preview.llms) == (1, 6, 12, ("m1", "m2"))
    assert [finding.kind for finding in job.state.findings] == ["identity"]
    job.confirm(valid_rows=False)
    state = job.wait(60)
    assert state.stage == "done" and added(job) == 6 and state.done == state.total
    with database.read() as session:
        tagged = session.scalars(select(ResponseRow.self_named).where(ResponseRow.self_named != "")).all()
        assert tagged == ["I am Claude"] * 6
        assert [row.actor for row in session.scalars(select(AuditEventRow))] == ["Ada"]
    again = begun(store, a_file(tmp_path))
    assert (previewed(again).ready, previewed(again).already) == (0, 6)


def test_one_bad_row_keeps_everything_out_unless_the_valid_ones_are_asked_for(store, tmp_path):
    job = begun(store, a_file(tmp_path, bad=2))
    assert previewed(job).rejected == 2
    with pytest.raises(InvalidInput, match=r"2 rows were rejected, so nothing was stored \(row 7: outcome"):
        job.confirm(valid_rows=False)
    assert ratings(store) == 0
    job.confirm(valid_rows=True)
    assert added(job) == 6
    with pytest.raises(InvalidInput, match="not waiting"):
        job.confirm(valid_rows=True)


def test_a_file_that_cannot_be_read_fails_with_its_sentence_and_stores_nothing(store, tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes(b"user,query\n\xff\xfe\n")
    job = begun(store, path)
    assert job.state.stage == "failed" and "so nothing was stored" in job.state.error
    assert ratings(store) == 0


def test_a_cancel_while_storing_leaves_nothing(store, database, tmp_path):
    job = begun(store, a_file(tmp_path, rows=1500))
    told = []
    real = store.add_bundle

    def slow(bundle, *, by, tell):
        def heard(rows):
            told.append(rows)
            if sum(told) > 2000:
                job.cancel()
            tell(rows)

        return real(bundle, by=by, tell=heard)

    store.add_bundle = slow
    job.confirm(valid_rows=False)
    assert job.wait(60).stage == "cancelled"
    assert ratings(store) == 0 and sources(database) == []
    assert len(told) >= 3


def test_llms_of_the_file_can_be_said_to_be_ones_that_are_here(store, tmp_path):
    first = begun(store, a_file(tmp_path))
    first.confirm(valid_rows=False)
    first.wait(60)
    path = tmp_path / "y.csv"
    path.write_text(a_file(tmp_path).read_text().replace("m2", "m-two").replace("ann", "ben"))
    job = begun(store, path)
    assert previewed(job).llms == ("m-two",)
    job.confirm(valid_rows=False, names={LLMId("m-two"): LLMId("m2")})
    assert added(job) == 6
    assert {llm.llm_id for llm in store.llms()} == {"m1", "m2"}


def test_responses_alone_queries_alone_and_llms_alone_can_come_in(store, database, tmp_path):
    kinds = {}
    for name, kind, text in (
        ("r.csv", "responses", "query,llm,response\nHi?,m1,one\nHi?,m2,two\n"),
        ("q.csv", "queries", "query\nWhat?\n"),
        ("l.csv", "llms", "llm_id,description,input_price\nm3,An LLM,0.5\n"),
    ):
        (tmp_path / name).write_text(text)
        job = begun(store, tmp_path / name, kind)
        kinds[previewed(job).kind] = previewed(job).ready
        job.confirm(valid_rows=False)
        assert job.wait(60).stage == "done"
    assert kinds == {"responses": 2, "queries": 1, "LLMs": 1}
    by_name = {source.name: source for source in sources(database)}
    assert (by_name["r.csv"].responses, by_name["q.csv"].queries, by_name["l.csv"].llms) == (2, 1, 1)
    assert all(source.removable for source in by_name.values())


def test_rejected_rows_are_a_file_that_no_spreadsheet_runs():
    rows = (Rejected(3, "outcome is no outcome ('left')."), Rejected(4, "=1+1"))
    lines = rejects_csv(rows).decode().splitlines()
    assert lines[0] == "row,column,reason"
    assert lines[1].startswith("3,outcome,") and lines[2] == "4,,'=1+1"


def test_an_unexpected_failure_is_logged_under_a_reference_and_stores_nothing(store, tmp_path, caplog):
    job = begun(store, a_file(tmp_path))
    store.add_bundle = lambda *_, **__: json.loads("{")
    job.confirm(valid_rows=False)
    state = job.wait(60)
    assert state.stage == "failed" and state.error.rstrip(".").split()[-1] in caplog.text


def test_two_files_of_one_name_are_two_sources_and_the_same_file_again_is_one(store, database, tmp_path):
    first, other = a_file(tmp_path), tmp_path / "elsewhere"
    other.mkdir()
    second = a_file(other, rows=2)
    second.write_text(second.read_text().replace("ann", "ben").replace("Question", "Other question"))
    for path in (first, second, first, second):
        job = begun(store, path)
        job.confirm(valid_rows=False)
        assert job.wait(60).stage == "done"
    assert {(s.name, s.ratings) for s in sources(database)} == {("x.csv", 6), ("x.csv (2)", 2)}
    store.remove_source("x.csv")
    assert {c.user_id for c in store.comparisons()} == {"ben"}


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_rating_that_is_given_during_a_long_import_waits_for_it_and_is_no_error(tmp_path, elsewhere):
    url, patience = f"sqlite:///{tmp_path / 'x.db'}", 0.1
    database = Database.open(url, patience=patience)
    raters = Database.open(url, patience=patience) if elsewhere else database  # as another process would open it
    store, theirs = PreferenceStore(database), PreferenceStore(raters)
    store.add_bundle(world())
    ada = People(database).sign_in("Ada").name
    token = asked(theirs, ada).token
    storing, go_on, said = threading.Event(), threading.Event(), []

    def held(_rows: int) -> None:
        storing.set()
        go_on.wait(60)

    importing = threading.Thread(
        target=store.add_bundle, args=(world(ratings=3, source="late"),), kwargs={"tell": held}
    )
    rating = threading.Thread(
        target=lambda: said.append(theirs.record(ada, token, Outcome.A, minimum_dwell=0).status)
    )  # fmt: skip
    importing.start()
    assert storing.wait(60)
    rating.start()
    time.sleep(6 * patience)  # beyond what a writer waits for any other
    assert theirs.history(ada) is not None and not said  # what is only read waits for nobody
    go_on.set()
    for thread in (importing, rating):
        thread.join(60)
    assert said == ["saved"] and len(list(store.comparisons())) == 4
    database.dispose()
    raters.dispose()
