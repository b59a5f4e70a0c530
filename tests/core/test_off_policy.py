import numpy as np
import pytest

from core.errors import NotEnoughData
from core.off_policy import LoggedChoices, greedy, off_policy_value

LLMS = ("a", "b", "c")
WORTH = np.array([0.2, 0.5, 0.8])  # how often each LLM is liked: the known truth


def log(n: int, exploration: float, seed: int = 0) -> LoggedChoices:
    """A router that believes in "a", explores a little, and is rewarded by WORTH."""
    random = np.random.default_rng(seed)
    said = np.tile([0.6, 0.3, 0.1], (n, 1))
    behaviour = (1 - exploration) * greedy(said) + exploration * said
    chosen = np.array([random.choice(3, p=row) for row in behaviour])
    reward = (random.random(n) < WORTH[chosen]).astype(float)
    return LoggedChoices(
        LLMS, np.arange(n) % 200, said, chosen, behaviour[np.arange(n), chosen], reward
    )  # fmt: skip


@pytest.mark.parametrize("always", [0, 1, 2])
def test_the_known_worth_of_every_router_is_found_from_decisions_of_another(always):
    logged = log(20_000, exploration=0.5)
    found = off_policy_value(logged, np.tile(np.eye(3)[always], (len(logged), 1)))
    for estimate in (found.plain, found.normalised):
        assert estimate.low < WORTH[always] < estimate.high and estimate.high - estimate.low < 0.2
    assert found.covered == pytest.approx(1, abs=0.1) and found.decisions == 20_000


def test_averaging_the_rewards_of_the_log_would_have_been_wrong():
    logged = log(20_000, exploration=0.5)
    best = off_policy_value(logged, np.tile(np.eye(3)[2], (len(logged), 1)))
    assert logged.reward.mean() < 0.4 < best.normalised.low


def test_what_was_never_explored_is_not_covered_and_has_no_worth():
    logged = log(500, exploration=0.0)
    found = off_policy_value(logged, np.tile(np.eye(3)[2], (len(logged), 1)))
    assert found.covered == 0 and np.isnan(found.normalised.value) and found.effective == 0
    same = off_policy_value(logged, greedy(logged.probability))
    assert same.plain.value == pytest.approx(logged.reward.mean()) and same.effective == pytest.approx(500)


def test_same_log_same_numbers_and_nothing_from_nothing():
    logged = log(300, exploration=0.3)
    assert off_policy_value(logged, logged.probability) == off_policy_value(logged, logged.probability)
    with pytest.raises(NotEnoughData, match="rated"):
        off_policy_value(LoggedChoices.of([]), np.zeros((0, 0)))


def test_rows_become_columns_whatever_llms_each_router_knew():
    logged = LoggedChoices.of([(1, {"a": 0.7, "b": 0.3}, "a", 0.9, 1.0), (2, {"b": 0.4, "c": 0.6}, "c", 0.5, 0.0)])
    assert logged.llms == LLMS and logged.chosen.tolist() == [0, 2]
    assert logged.probability.tolist() == [[0.7, 0.3, 0], [0, 0.4, 0.6]]
