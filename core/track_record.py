"""How right a router was about one person: beside the average user, beside how often the person agrees with themselves,
and whether its probabilities mean what they say for this person.
"""

from math import sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.dataset import PreferenceDataset
from core.domain import UserId
from core.evaluation import EPSILON, Predictions, a_over_b
from core.habits import ENOUGH, Share, wilson
from core.routers.base import Router

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

MOST_QUERIES = 60  # the newest, each of which costs a prediction
SAID = 0.8  # the probability whose meaning is told
# Of the logarithm of a person's inverse temperature, around the 0 that validation gives everybody together: a priori
# nineteen people in twenty are between 0.4 and 2.7 times as predictable as the router thinks.
SPREAD = 0.5
_GRID = np.linspace(-2.5, 2.5, 501)


class Meant(NamedTuple):
    """What a probability `said` has meant for one person, drawn towards itself where little is known; 95 % interval
    of the posterior, from `n` ratings.
    """

    said: float
    value: float
    low: float
    high: float
    n: int


class TrackRecord(NamedTuple):
    """`right` is how often the router put the preferred response first, of a person's decisive ratings that no fit has
    seen; `usual` how often its answer to a stranger did, of the same. `meant` is None where there are too few (`n`).
    """

    right: Share
    usual: Share
    meant: Meant | None
    n: int


def track_record(router: Router, user: UserId, own: PreferenceDataset, unseen: Mask) -> TrackRecord:
    """Ask again about the newest queries among the `unseen` [N] of a person's `own` ratings, each time without what the
    person said in that conversation. An even call is not right.
    """
    column = {llm: i for i, llm in enumerate(router.llms)}
    to_column = np.array([column.get(llm.llm_id, -1) for llm in own.llms], int)
    a, b = to_column[own.llm_a], to_column[own.llm_b]
    talk_of = np.unique([query.turns[0] for query in own.queries] or [""], return_inverse=True)[1]
    talk = talk_of[own.query] if len(own) else own.query
    usable = np.flatnonzero(unseen & (a >= 0) & (b >= 0))
    newest = list(dict.fromkeys(own.query[usable][::-1].tolist()))[:MOST_QUERIES]
    asked = usable[np.isin(own.query[usable], newest)]
    told, usual = np.zeros((len(own.queries), len(column))), np.zeros((len(own.queries), len(column)))
    if newest:
        usual[newest] = router.predict_proba(user, [own.queries[q] for q in newest])
    for q in newest:
        told[q] = router.predict_proba(user, [own.queries[q]], own.where(talk != talk_of[q]))[0]
    label = own.label[asked]
    calls = [a_over_b(p[own.query[asked], a[asked]], p[own.query[asked], b[asked]]) for p in (told, usual)]
    predictions = Predictions(np.clip(calls[0], EPSILON, 1 - EPSILON), label, own.user[asked])
    right, by_average = (_right(p, label) for p in calls)
    return TrackRecord(right, by_average, personal_calibration(predictions), len(asked))


def _right(p: Floats, label: Floats) -> Share:
    decisive = label != 0.5
    return wilson(int((((p > 0.5) & (label == 1)) | ((p < 0.5) & (label == 0))).sum()), int(decisive.sum()))


def personal_calibration(predictions: Predictions, said: float = SAID) -> Meant | None:
    """What `said` has meant for the one person whom these predictions are about; None below `ENOUGH` ratings.

    The person's own inverse temperature, whose logarithm has a normal prior with the deviation `SPREAD` around 0: with
    few ratings the answer stays near `said`, with many it is the person's. A tie counts half for either side. The
    posterior is one-dimensional and worked out on a grid.
    """
    n = len(predictions.label)
    if n < ENOUGH:
        return None
    margin = np.log(predictions.probability) - np.log1p(-predictions.probability)
    inverse = np.exp(_GRID)
    scaled = inverse[:, None] * margin  # [grid, N]
    fit = -(predictions.label * np.logaddexp(0, -scaled) + (1 - predictions.label) * np.logaddexp(0, scaled)).sum(1)
    log_posterior = fit - _GRID**2 / (2 * SPREAD**2)
    weight = np.exp(log_posterior - log_posterior.max())
    weight /= weight.sum()
    means = 1 / (1 + np.exp(-inverse * np.log(said / (1 - said))))  # rising along the grid
    low, high = (float(means[min(int(np.searchsorted(weight.cumsum(), q)), len(means) - 1)]) for q in (0.025, 0.975))
    return Meant(said, float(weight @ means), low, high, n)


def ceiling(agreement: float) -> tuple[float, float]:
    """Between which bounds the best hit rate lies that any router can have about a person who, asked again, prefers the
    same response with probability `agreement`.

    Where a person says A with probability p, the best call is right with m = max(p, 1 - p), and two answers agree with
    m^2 + (1 - m)^2, which is at most m and convex in it. So over all pairs: agreement <= mean of m <=
    (1 + sqrt(2 agreement - 1)) / 2.
    """
    agreement = min(max(agreement, 0.5), 1.0)
    return agreement, (1 + sqrt(2 * agreement - 1)) / 2
