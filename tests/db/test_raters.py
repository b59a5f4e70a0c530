"""What the database sums up of everyone who rates is what rating by rating says."""

from collections import Counter, defaultdict
from dataclasses import replace
from itertools import combinations
from math import log
from random import Random
from statistics import median

import pytest

from core.domain import Comparison, Outcome, UserId
from db.preferences import PreferenceStore
from db.raters import raters
from tests.db.worlds import asked, rating, response, world

NAMES = ("ann", "bob", "cay", "dan")


def disputed():
    """Four simulated users who rate pairs of eight queries on either side and agree now and then. Some responses are
    longer, some of equal length.
    """
    random, pack = Random(1), world(queries=8, llms=4, ratings=1)
    said, replies = [], {}
    for query in pack.queries:
        for i, llm in enumerate(pack.llms):
            replies[query.query_id, llm.llm_id] = response(query, llm, "word " * (1 + i // 2) + str(i))
    for name in NAMES:
        for i in range(30):
            llms = random.sample(pack.llms[:3] if i % 2 else pack.llms, 2)
            query = random.choice(pack.queries)
            one = rating(f"{name}-{i}", query, llms, name, random.choice(list(Outcome)))
            ids = [replies[query.query_id, llm.llm_id].response_id for llm in llms]
            said.append(replace(one, response_a=ids[0], response_b=ids[1]))
    users = tuple(replace(pack.users[0], user_id=UserId(name)) for name in NAMES)
    return replace(pack, users=users, responses=tuple(replies.values()), comparisons=tuple(said))


def seen_from(first: str, one: Comparison, matter: tuple[str, str]) -> Outcome:
    swapped = {Outcome.A: Outcome.B, Outcome.B: Outcome.A}
    return one.outcome if first == matter[0] else swapped.get(one.outcome, one.outcome)


def test_sides_and_lengths_are_counted_as_they_were_shown(database):
    bundle = disputed()
    PreferenceStore(database).add_bundle(bundle)
    length = {r.response_id: len(r.text) for r in bundle.responses}
    for rater in raters(database).raters:
        mine = [one for one in bundle.comparisons if one.user_id == rater.user]
        decisive = [one for one in mine if one.outcome in (Outcome.A, Outcome.B)]
        uneven = [one for one in decisive if length[one.response_a] != length[one.response_b]]
        longer = [(length[one.response_a] > length[one.response_b]) == (one.outcome == Outcome.A) for one in uneven]
        assert (rater.ratings, rater.seconds, rater.gold.n, rater.repeats.n) == (30, None, 0, 0)
        assert rater.left == (sum(one.outcome == Outcome.A for one in mine), len(decisive))
        assert rater.longer == (sum(longer), len(uneven)) and 0 < len(uneven) < len(decisive)


def test_agreement_is_that_of_every_two_answers_to_the_same_pair(database):
    bundle = disputed()
    PreferenceStore(database).add_bundle(bundle)
    stored = [str(reply.response_id) for reply in bundle.responses]  # the side of a pair that was stored first is A
    units = defaultdict(list)
    for one in bundle.comparisons:
        first, second = sorted((str(one.response_a), str(one.response_b)), key=stored.index)
        pair = (first, second)
        units[pair].append((one.user_id, seen_from(str(one.response_a), one, pair)))
    shared = [said for said in units.values() if len({user for user, _ in said}) > 1]
    values = [value for said in shared for _, value in said]
    apart = sum(2 * (a[1] != b[1]) / (len(said) - 1) for said in shared for a, b in combinations(said, 2)) / len(values)
    by_chance = sum(a != b for a, b in combinations(values, 2)) / (len(values) * (len(values) - 1) / 2)
    found = raters(database).overlap
    assert found.units == len(shared) > 5
    assert found.alpha == pytest.approx(1 - apart / by_chance)
    assert sum(n for _, n in found.by_user.values()) == len(values)
    assert sum((1 - alpha) * n for alpha, n in found.by_user.values()) == pytest.approx(len(values) * apart / by_chance)


def test_an_answer_is_as_surprising_as_everybodys_answers_about_the_two_llms_make_it(database):
    bundle = disputed()
    PreferenceStore(database).add_bundle(bundle)

    def about(one: Comparison) -> tuple[tuple[str, str], Outcome]:
        first, second = sorted((str(one.llm_a), str(one.llm_b)))
        matter = (first, second)
        return matter, seen_from(one.llm_a, one, matter)

    counts: defaultdict[tuple[str, str], Counter[Outcome]] = defaultdict(Counter)
    for one in bundle.comparisons:
        matter, answer = about(one)
        counts[matter][answer] += 1
    for rater in raters(database).raters:
        expected = 0.0
        for matter, answer in (about(one) for one in bundle.comparisons if one.user_id == rater.user):
            everyone = counts[matter]
            expected += log(sum(n for n in everyone.values() if n <= everyone[answer]) / sum(everyone.values()))
        assert rater.surprise.n == 30
        assert rater.surprise.log_p == pytest.approx(expected)


def test_the_pace_is_the_median_and_pairs_that_came_back_are_compared(database, clock, ada):
    store = PreferenceStore(database, clock, Random(3))
    store.add_bundle(world(queries=60))
    took = []
    for i in range(60):
        shown = asked(store, ada)
        took.append(1 + i % 7)
        clock.wait(took[-1])
        same = Outcome.A if shown.response_a.llm_id < shown.response_b.llm_id else Outcome.B
        store.record(ada, shown.token, same, minimum_dwell=0)
    store.edit(ada, next(store.comparisons(ada)).key, Outcome.TIE)  # takes no time of its own
    (rater,) = raters(database).raters
    assert rater.seconds == median(took)
    assert rater.ratings == 60 and rater.overlap == 0
    assert rater.repeats.n > 0 and rater.repeats.times >= rater.repeats.n - 1
    assert rater.surprise.n == 60 - rater.repeats.n
