from random import Random

import pytest

from core.domain import Outcome
from db.models import AssignmentRow
from db.preferences import PreferenceStore
from tests.db.worlds import asked, world


@pytest.fixture
def many(database, clock, ada):
    """A store whose draws can be told in advance, with more queries than are rated here, and 60 ratings of Ada."""
    store = PreferenceStore(database, clock, Random(0))
    store.add_bundle(world(queries=70))
    for _ in range(60):
        clock.wait(10)
        store.record(ada, asked(store, ada).token, Outcome.A, minimum_dwell=0)
    return store


def assignments(database):
    with database.read() as session:
        return session.query(AssignmentRow).order_by(AssignmentRow.id).all()


def test_own_pairs_come_back_once_with_swapped_sides_after_twenty_others(many, database):
    rows = assignments(database)
    by_id = {row.id: row for row in rows}
    repeats = [row for row in rows if row.reason == "repeat"]
    assert repeats
    for row in repeats:
        first = by_id[row.repeats_id]
        assert (first.response_a_id, first.response_b_id) == (row.response_b_id, row.response_a_id)
        assert (first.llm_a_id, first.llm_b_id) == (row.llm_b_id, row.llm_a_id)
        assert row.id - first.id > 20
        assert 0 < row.probability <= 0.05
        assert row.uniform_probability is None
    assert len({row.repeats_id for row in repeats}) == len(repeats)
    assert all(row.repeats_id is None for row in rows if row.reason != "repeat")


def test_a_repeat_counts_for_progress_and_not_twice_in_what_is_learned_from(many, ada, database):
    repeats = [row for row in assignments(database) if row.reason == "repeat"]
    assert many.progress(ada).rated == 60
    assert len(many.snapshot()) == 60 - len(repeats)
    assert len(many.history(ada)) == 60 - len(repeats)
    assert len({(q, min(a, b)) for q, a, b in zip(*(getattr(many.snapshot(), name).tolist() for name in
               ("query", "llm_a", "llm_b")), strict=True)}) == 60 - len(repeats)  # fmt: skip
