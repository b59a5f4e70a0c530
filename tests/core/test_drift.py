"""A change of taste on planted people: found where it is, and no more false alarms than were paid for."""

import numpy as np
import pytest

from core.dataset import PreferenceDataset
from core.domain import Outcome
from core.drift import ALPHA, FIRST_LOOK, Change, find_change, look, looked_at
from tests.planted import LLMS, TASKS, comparison, queries

ASKED = queries(40)
DAY = 86_400.0
LIKING = np.array([1.2, -0.8, 0.4, -0.8])


def person(
    n: int, seed: int, change: int | None = None, tasks: tuple[float, float] = (0.5, 0.5), adaptive: bool = False
) -> PreferenceDataset:
    """n decisive ratings, one a day, by someone whose liking of each LLM is LIKING and something of their own in each
    task, and turns into its opposite at rating `change`. `tasks` are the shares of code before and after the middle;
    an `adaptive` choice of pairs shows the LLM that won last far more often.
    """
    random = np.random.default_rng(seed)
    own = LIKING + random.normal(0, 0.7, (len(TASKS), 4))
    said, last = [], 0
    for i in range(n):
        code = random.random() < tasks[int(i >= n / 2)]
        query = ASKED[2 * int(random.integers(20)) + (0 if code else 1)]
        a, b = random.permutation(4)[:2]
        if adaptive and random.random() < 0.7:
            a, b = last, int(random.choice([m for m in range(4) if m != last]))
        liking = own[TASKS.index(query.task)] * (-1 if change is not None and i >= change else 1)
        wins = random.random() < 1 / (1 + np.exp(liking[b] - liking[a]))
        last = int(a if wins else b)
        said.append(comparison("ada", query, LLMS[a], LLMS[b], Outcome.A if wins else Outcome.B, f"{i}"))
    found = PreferenceDataset.from_comparisons(said, ASKED, LLMS)
    found.time[:] = DAY * (1 + np.arange(n))
    return found


def ever_alarmed(own: PreferenceDataset) -> bool:
    """Whether any look on the way to all these ratings finds a change."""
    sizes = sorted({look(n)[0] for n in range(FIRST_LOOK, len(own) + 1)})
    return any(find_change(own.where(np.arange(n))) is not None for n in sizes)


def test_looks_are_few_and_what_they_spend_adds_up_to_less_than_the_whole() -> None:
    assert look(FIRST_LOOK - 1) == (0, 0.0)
    spent = {look(n)[0]: look(n)[1] for n in range(FIRST_LOOK, 5000)}
    assert list(spent)[:4] == [40, 60, 90, 135] and len(spent) < 15
    assert 0.9 * ALPHA < sum(spent.values()) < ALPHA
    assert len(looked_at(person(59, 0))) == 40


@pytest.mark.parametrize(
    ("tasks", "adaptive"), [((0.5, 0.5), False), ((0.9, 0.1), False), ((0.5, 0.5), True)],
    ids=["steady", "other tasks later", "pairs chosen by what was said"],
)  # fmt: skip
def test_those_whose_taste_never_changes_are_left_alone(tasks: tuple[float, float], adaptive: bool) -> None:
    people = 60
    alarmed = sum(ever_alarmed(person(90, seed, tasks=tasks, adaptive=adaptive)) for seed in range(people))
    assert alarmed <= 7, alarmed  # 0.0375 of them are expected; more than 7 of 60 has a chance of 0.0006


def test_a_taste_that_turns_is_found_where_it_turned() -> None:
    found = [find_change(person(135, 1000 + seed, change=70)) for seed in range(20)]
    changes = [change for change in found if change is not None]
    assert len(changes) >= 18
    off = [abs(change.at / DAY - 71) for change in changes]
    assert np.median(off) <= 4
    assert sum(c.earliest <= 71 * DAY <= c.latest for c in changes) >= 0.8 * len(changes)
    assert all(c.p <= c.level and c.before + c.since == 135 for c in changes)


def test_the_evidence_is_what_was_preferred_before_and_since() -> None:
    own = person(135, 1003, change=70)
    change = find_change(own)
    assert isinstance(change, Change)
    first = change.won[0]
    assert abs(first.since.value - first.before.value) == max(abs(w.since.value - w.before.value) for w in change.won)
    row = own.llm_row[first.llm]
    earlier = own.time < change.at
    was_there = (own.llm_a == row) | (own.llm_b == row)
    assert first.before.n == (was_there & earlier).sum() and first.since.n == (was_there & ~earlier).sum()
    assert find_change(own) == change


def test_ties_and_ratings_of_unknown_time_have_no_part() -> None:
    own = person(100, 1, change=50)
    own.time[:60] = 0
    assert len(looked_at(own)) == 40 and (looked_at(own).time > 0).all()
    own.outcome[:] = 2
    assert len(looked_at(own)) == 0 and find_change(own) is None


def test_what_the_average_person_thinks_of_the_queries_is_no_change() -> None:
    own = person(90, 5)
    usual = np.where(np.arange(len(looked_at(own))) < 45, 1.0, -1.0)
    label = np.random.default_rng(5).random(90) < 1 / (1 + np.exp(-3 * usual))
    own.outcome[:] = np.where(label, 0, 1)
    own.llm_a[:], own.llm_b[:] = 0, 1
    assert find_change(own) is not None
    assert find_change(own, 3 * usual) is None
