from core.changes import changed_picks
from core.dataset import PreferenceDataset
from core.routers.bradley_terry import BradleyTerryRouter
from core.routers.user_best import UserBestRouter
from tests.planted import HashEncoder, two_camps


def picks(router, ratings: PreferenceDataset) -> dict[tuple[str, str], str]:
    """What everyone gets on each query they rated, asked one by one."""
    return {
        (user, query.query_id): router.llms[router.predict_proba(user, [query], ratings)[0].argmax()]
        for user in ratings.users
        for query in {ratings.queries[i] for i in ratings.of_user(user).query}
    }


def test_exactly_the_users_whose_pick_changes_are_named_with_what_changes_for_them() -> None:
    ratings = two_camps(users=12, ratings=12, one_in=3)
    one, personal = (kind.fit(ratings, ratings, HashEncoder()) for kind in (BradleyTerryRouter, UserBestRouter))
    before, after = picks(one, ratings), picks(personal, ratings)
    truth = {user for (user, query), llm in before.items() if after[user, query] != llm}
    found = changed_picks(one, personal, ratings)
    assert {change.user for change in found} == truth and 0 < len(truth) < 12
    for change in found:
        own = [key for key in before if key[0] == change.user]
        assert change.queries == len(own)
        assert change.changed == sum(before[key] != after[key] for key in own) == sum(n for *_, n in change.moves)
    assert changed_picks(one, one, ratings) == []


def test_the_work_is_told_and_can_be_stopped() -> None:
    ratings, told = two_camps(users=4, ratings=4), []
    router = BradleyTerryRouter.fit(ratings, ratings, HashEncoder())
    changed_picks(router, router, ratings, lambda done, users: told.append((done, users)))
    assert told == [(0, 4), (1, 4), (2, 4), (3, 4)]
