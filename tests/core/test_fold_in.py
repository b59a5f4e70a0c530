"""Folding a person in: the mode is a mode, whichever way it is solved for."""

import numpy as np
import pytest

from core.routers import fold_in as module
from core.routers.fold_in import Contrast, best_precision, crowds, fold_in, fold_in_each
from core.routers.win_rates import sigmoid
from core.strengths import bradley_terry


def said(n: int, size: int, seed: int = 0) -> Contrast:
    random = np.random.default_rng(seed)
    return Contrast(random.normal(size=(n, size)), random.normal(size=n), random.choice([0, 0.5, 1], n))


@pytest.mark.parametrize(("n", "size"), [(60, 5), (5, 60), (7, 7), (1, 3)])
def test_the_gradient_is_nothing_at_the_mode(n, size):
    given = said(n, size)
    w = fold_in(given, precision=0.7)
    gradient = given.delta.T @ (sigmoid(given.offset + given.delta @ w) - given.label) + 0.7 * w
    np.testing.assert_allclose(gradient, 0, atol=1e-6)


@pytest.mark.parametrize("size", [3, 30])
def test_many_people_are_folded_in_as_each_alone_however_much_each_said(size, monkeypatch):
    persons = [said(n, size, seed=n) for n in (5, 0, 12, 1, 40, 5)]
    alone = np.stack([fold_in(person, 0.3) for person in persons])
    np.testing.assert_allclose(fold_in_each(persons, 0.3, size), alone, atol=1e-8)
    assert len(list(crowds(persons))) == 1
    monkeypatch.setattr(module, "AT_ONCE", 12 * size)
    assert [sorted(some) for some, _ in crowds(persons)] == [[4], [2], [0, 5], [1, 3]]
    np.testing.assert_allclose(fold_in_each(persons, 0.3, size), alone, atol=1e-8)
    assert fold_in_each([], 0.3, size).shape == (0, size)


@pytest.mark.parametrize(("n", "size"), [(60, 5), (5, 60)])
def test_the_mode_is_the_same_from_wherever_it_is_sought(n, size):
    given = said(n, size)
    near = fold_in(given, 0.7)
    np.testing.assert_allclose(fold_in(given, 0.3, start=near), fold_in(given, 0.3), atol=1e-8)


def test_weights_are_repetitions():
    given = said(12, 4)
    often = np.array([1.0, 2.0, 3.0] * 4)
    times = often.astype(int)
    delta, offset, label = (np.repeat(column, times, axis=0) for column in (given.delta, given.offset, given.label))
    repeated = Contrast(delta, offset, label)
    np.testing.assert_allclose(fold_in(given, 1.0, often), fold_in(repeated, 1.0), atol=1e-8)


def test_bradley_terry_is_a_special_case():
    random = np.random.default_rng(1)
    a, b = np.array([random.permutation(4)[:2] for _ in range(40)]).T
    label = random.integers(0, 2, 40).astype(float)
    delta = np.eye(4)[a] - np.eye(4)[b]
    expected = bradley_terry(a, b, label, np.zeros(4), 0.5).value
    np.testing.assert_allclose(fold_in(Contrast(delta, np.zeros(40), label), 0.5), expected, atol=1e-8)


def test_nothing_said_leaves_the_population():
    np.testing.assert_array_equal(fold_in(said(0, 4), 1.0), 0)


def test_the_precision_that_people_need_is_found():
    random = np.random.default_rng(2)
    persons = []
    for _ in range(40):
        w = random.normal(size=3) * 2  # precision 1/4
        delta = random.normal(size=(80, 3))
        label = (random.random(80) < sigmoid(delta @ w)).astype(float)
        said_first, later = (Contrast(delta[part], np.zeros(40), label[part]) for part in (slice(40), slice(40, 80)))
        persons.append((said_first, later))
    assert best_precision(persons, (100.0, 0.25, 0.001))[0] == 0.25


def test_the_first_precision_is_the_default():
    assert best_precision([], (3.0, 1.0)) == (3.0, 0.0)


def test_equal_ratings_count_once_each_whatever_their_weight():
    random = np.random.default_rng(3)
    a, b = np.array([random.permutation(4)[:2] for _ in range(300)]).T
    label, weight = random.choice([0, 0.5, 1], 300), random.integers(1, 4, 300).astype(float)
    often = np.repeat(np.arange(300), weight.astype(int))
    each = bradley_terry(a[often], b[often], label[often], np.zeros(4), 0.5)
    weighed = bradley_terry(a, b, label, np.zeros(4), 0.5, weight)
    np.testing.assert_allclose(weighed.value, each.value, atol=1e-9)
    delta = np.eye(4)[a] - np.eye(4)[b]
    gradient = delta.T @ (weight * (sigmoid(delta @ weighed.value) - label)) + 0.5 * weighed.value
    np.testing.assert_allclose(gradient, 0, atol=1e-8)
