import numpy as np
import pytest

from core.errors import CorruptArtifact
from db.embeddings import CachedEncoder
from tests.db.worlds import at_once, statements


class Counting:
    """An encoder that remembers what it was asked."""

    def __init__(self, id="e", dim=3, broken=False):
        self.id, self.dim, self.broken, self.asked = id, dim, broken, []

    def encode(self, texts):
        self.asked += texts
        rows = [[len(t), sum(map(ord, t)), float("nan") if self.broken else 1.0][: self.dim] for t in texts]
        return np.array(rows, np.float32).reshape(-1, self.dim)


def test_each_text_is_computed_once_and_comes_back_in_order(database):
    inner = Counting()
    texts = ["one", "two", "one", ""]
    first = CachedEncoder(inner, database).encode(texts)
    assert sorted(inner.asked) == ["", "one", "two"]
    again = CachedEncoder(fresh := Counting(), database).encode([*texts, "three"])
    assert fresh.asked == ["three"]
    assert np.array_equal(again[:4], first)
    assert np.array_equal(first, Counting().encode(texts))
    assert first.dtype == np.float32
    assert first.shape == (4, 3)


def test_no_text_gives_no_vector_and_no_statement(database):
    with statements(database) as sent:
        assert CachedEncoder(Counting(), database).encode([]).shape == (0, 3)
    assert sent == []


def test_vectors_of_two_encoders_are_kept_apart(database):
    CachedEncoder(Counting("e"), database).encode(["one"])
    other = Counting("f", dim=2)
    assert CachedEncoder(other, database).encode(["one"]).shape == (1, 2)
    assert other.asked == ["one"]


def test_five_hundred_texts_are_one_statement_to_read(database):
    texts = [f"text {i}" for i in range(1000)]
    CachedEncoder(Counting(), database).encode(texts)
    with statements(database) as sent:
        CachedEncoder(Counting(), database).encode(texts)
    assert len(sent) == 2


def test_what_is_no_vector_is_neither_stored_nor_returned(database):
    with pytest.raises(CorruptArtifact, match="did not give 3 finite numbers"):
        CachedEncoder(Counting(broken=True), database).encode(["one"])
    good = Counting()
    CachedEncoder(good, database).encode(["one"])
    assert good.asked == ["one"]


def test_an_encoder_that_changed_its_size_under_the_same_name_is_refused(database):
    CachedEncoder(Counting(dim=3), database).encode(["one"])
    with pytest.raises(CorruptArtifact, match="another name in PREFROUTE_ENCODER"):
        CachedEncoder(Counting(dim=2), database).encode(["one"])


def test_threads_that_store_the_same_text_do_not_disturb_each_other(database):
    results = at_once(8, lambda _: CachedEncoder(Counting(), database).encode(["one", "two"]))
    assert all(np.array_equal(result, results[0]) for result in results)
