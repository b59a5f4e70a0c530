from collections import Counter

import numpy as np

from core.dataset import PreferenceDataset
from core.domain import UserId
from core.strengths import bradley_terry
from db.demo import LLMS, MANNERS, RATINGS_PER_USER, TASTES, USERS_PER_TASTE, demo_bundle


def test_every_query_has_a_written_response_by_every_demo_llm() -> None:
    world = demo_bundle()
    assert len(world.queries) >= 48
    assert {task.name for task in world.tasks} == {"explain", "write", "code", "summarise", "advise", "reason"}
    assert len(world.responses) == len(world.queries) * len(LLMS)
    assert len({response.text for response in world.responses}) == len(world.responses)
    assert all(len(response.text.split()) >= 8 for response in world.responses)


def test_nothing_in_the_demo_passes_for_real() -> None:
    world = demo_bundle()
    assert len(world.users) == 60 and all(user.simulated and "simulated" in user.user_id for user in world.users)
    assert all("demo" in llm.llm_id and "Demo" in llm.name and "demo LLM" in llm.description for llm in world.llms)
    assert len({llm.output_price for llm in world.llms}) == len(LLMS)


def test_no_response_names_its_writer() -> None:
    for response in demo_bundle().responses:
        words = response.text.lower()
        assert "demo" not in words.split() and "as an ai" not in words and "language model" not in words, response


def test_everyone_rated_forty_different_queries_and_no_side_is_favoured() -> None:
    world = demo_bundle()
    rated = Counter(comparison.user_id for comparison in world.comparisons)
    assert set(rated.values()) == {RATINGS_PER_USER}
    assert len({(c.user_id, c.query_id) for c in world.comparisons}) == len(world.comparisons)
    on_a = Counter(comparison.llm_a for comparison in world.comparisons)
    assert max(on_a.values()) < 1.25 * min(on_a.values())


def test_each_planted_taste_can_be_read_off_its_users_ratings() -> None:
    world = demo_bundle()
    dataset = PreferenceDataset.from_comparisons(world.comparisons, world.queries, world.llms)
    for number, (taste, liking) in enumerate(TASTES.items()):
        if "" not in liking:
            continue
        users = [user.user_id for user in world.users[number * USERS_PER_TASTE : (number + 1) * USERS_PER_TASTE]]
        own = dataset.where(np.isin(dataset.user, [dataset.user_row[UserId(user)] for user in users]))
        fitted = bradley_terry(own.llm_a, own.llm_b, own.label, np.zeros(len(LLMS)), 0.1).value
        assert MANNERS[int(fitted.argmax())] == MANNERS[int(np.argmax(liking[""]))], taste


def test_the_same_world_every_time() -> None:
    assert demo_bundle() == demo_bundle()
