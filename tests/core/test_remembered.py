import gc

import numpy as np
import pytest

from core.domain import Query
from core.routers import remembered
from core.routers.remembered import remembered_queries


class Owner:
    """Works out two things of a query, and notes how often."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def make(self, queries):
        self.calls.append([query.text for query in queries])
        lengths = np.array([[len(query.text)] for query in queries], np.float32).reshape(-1, 1)
        return lengths, np.array([hash((query.text, query.task)) for query in queries])

    def ask(self, *texts: str, task: str = ""):
        queries = [Query.typed(text, task) for text in texts]
        found = remembered_queries(self, queries, self.make)
        for mine, made in zip(found, Owner().make(queries), strict=True):
            assert mine.shape == made.shape and mine.dtype == made.dtype and mine.tolist() == made.tolist()
        return found


def test_only_what_is_new_is_worked_out_all_in_one_call_and_in_the_order_asked():
    owner = Owner()
    owner.ask("one", "three")
    owner.ask("three", "two", "one", "two", "four")
    owner.ask("four", "three")
    assert owner.calls == [["one", "three"], ["two", "four"]]


def test_the_same_words_of_another_task_or_to_another_owner_are_worked_out_anew():
    owner = Owner()
    owner.ask("one")
    owner.ask("one", task="write")
    assert owner.calls == [["one"], ["one"]]
    other = Owner()
    other.ask("one")
    assert other.calls == [["one"]]


def test_of_no_query_there_is_nothing_and_repeats_alone_are_worked_out_once():
    owner = Owner()
    owner.ask()
    owner.ask("one", "one", "one")
    assert owner.calls == [[], ["one"]]


def test_only_so_many_are_kept_and_nothing_of_an_owner_that_is_gone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(remembered, "QUERIES_KEPT", 2)
    owner = Owner()
    owner.ask("one", "two", "three")
    owner.ask("two", "three")
    owner.ask("one")
    assert owner.calls == [["one", "two", "three"], ["one"]]
    place = id(owner)
    assert place in remembered._queries
    del owner
    gc.collect()
    assert place not in remembered._queries


def test_what_was_kept_is_not_changed_by_what_a_caller_does_with_it():
    owner = Owner()
    owner.ask("one", "two")[0][:] = 99
    owner.ask("one", "two")
