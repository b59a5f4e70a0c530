"""Real votes, split by question: does knowing who votes help, and is what helps that person or just more votes?"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.world import GivenVectors
from core import importers
from core.dataset import PreferenceDataset
from core.encoders import TextEncoder
from core.errors import InvalidInput
from core.evaluation import Estimate, Predictions, log_loss_gain, predict_pairs
from core.routers import router_class

FEWEST_USERS = 10  # below that, users cannot be drawn anew: questions are
GLOBAL = "bradley_terry"


@dataclass(frozen=True)
class Difference:
    """Log-loss of the router with the users' own ratings minus that of a rival; below 0 the router is better."""

    rival: str
    figure: Estimate
    over: str


def personal_differences(path: Path, router: str, folds: int, encoder: TextEncoder, seed: int) -> list[Difference]:
    """Against two rivals, every vote predicted once, with intervals over users (over questions where users are few).

    *The global router* (Bradley-Terry, one strength an LLM): does the personal one hurt? *The same router shown others'
    ratings*, as many as the user's own: is what helps the person? Against the same router shown nothing, any set would
    show a gain, since every vote also tells which LLM is good for everyone.
    """
    bundle = importers.read(path)
    data = PreferenceDataset.from_comparisons(bundle.comparisons, bundle.queries, bundle.llms)
    encoder = _read_once(data, encoder)
    fold = fold_by_question(data, folds, seed)
    parts: list[tuple[Predictions, Predictions, Predictions]] = []
    for test in range(folds):
        held_out, validation = data.where(fold == test), data.where(fold == (test + 1) % folds)
        train = data.where((fold != test) & (fold != (test + 1) % folds))
        fitted = router_class(router).fit(train, validation, encoder, seed=seed)
        overall = router_class(GLOBAL).fit(train, validation, encoder, seed=seed)
        others = of_others(train, seed)
        parts.append((
            predict_pairs(fitted, held_out, train),
            predict_pairs(overall, held_out, train),
            predict_pairs(fitted, held_out, others),
        ))  # fmt: skip
    questions = np.concatenate([first_turns(data.where(fold == test)) for test in range(folds)])
    by_user = len(np.unique(data.user)) >= FEWEST_USERS
    own, *rivals = (_grouped([part[i] for part in parts], None if by_user else questions) for i in range(3))
    names = ("global router", "same router with others' ratings")
    return [_difference(n, own, rival, by_user) for n, rival in zip(names, rivals, strict=True)]


def _difference(name: str, own: Predictions, rival: Predictions, by_user: bool) -> Difference:
    gain = log_loss_gain(own, rival)
    return Difference(
        name, Estimate(-gain.value, -gain.high, -gain.low, gain.users), "users" if by_user else "questions"
    )


def _grouped(parts: Sequence[Predictions], group: NDArray[np.int32] | None) -> Predictions:
    """All folds as one, drawn by user or by the given groups."""
    columns = (np.concatenate([getattr(p, name) for p in parts]) for name in ("probability", "label", "user"))
    whole = Predictions(*columns)
    return whole if group is None else replace(whole, user=group)


def of_others(part: PreferenceDataset, seed: int) -> PreferenceDataset:
    """For each user as many ratings as their own, drawn from those of all others and put under their name."""
    random = np.random.default_rng(seed)
    picked, owner = [], []
    for user in np.unique(part.user):
        foreign, wanted = np.flatnonzero(part.user != user), int((part.user == user).sum())
        rows = np.sort(random.permutation(foreign)[:wanted])
        picked.append(rows)
        owner.append(np.full(len(rows), user, np.int32))
    if not picked:
        return part
    return replace(part.where(np.concatenate(picked)), user=np.concatenate(owner))


def fold_by_question(data: PreferenceDataset, folds: int, seed: int) -> NDArray[np.int64]:
    """[N], the fold of each rating. Queries with the same first turn (two turns of one question) lie in one fold."""
    question = first_turns(data)
    several = int(question.max(initial=0)) + 1
    if folds < 3 or several < folds:
        raise InvalidInput(f"{several} questions cannot be split into {folds} folds; from 3 to {several} are possible.")
    return (np.random.default_rng(seed).permutation(several) % folds)[question]


def first_turns(data: PreferenceDataset) -> NDArray[np.int32]:
    """[N], the number of each rating's question, told by the first turn of its query."""
    number = np.unique([q.turns[0] for q in data.queries], return_inverse=True)[1]
    return number[data.query].astype(np.int32)


def _read_once(data: PreferenceDataset, encoder: TextEncoder) -> GivenVectors:
    """The vectors of all texts, since a router may ask for them again with every prediction."""
    texts = [*dict.fromkeys([q.text for q in data.queries] + [m.text for m in data.llms])]
    return GivenVectors(dict(zip(texts, encoder.encode(texts), strict=True)), encoder.id)
