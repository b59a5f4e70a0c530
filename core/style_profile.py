"""What a person likes in how answers are written, apart from which LLM wrote them."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# In the order of `core.traits.STYLE`: what one step of each is, and how it is called.
STEPS = (100.0, 1.0, 5.0, 5.0)
NAMES = ("100 more words", "one more header", "five more list items", "five more bold passages")
ENOUGH = 20  # ratings whose answers differ in a trait, before anything is said of it
LLM_PRECISION = 1.0  # of what a person thinks of an LLM beside the average person, in logits
STEP_PRECISION = 1.0  # of a step's worth
NEWTON_STEPS = 30


class StyleEffect(NamedTuple):
    """What one step of a trait is worth to a person: `points` of chance (-0.5..0.5) that it adds to an answer in an
    even pair, with its 95 % interval, from `n` ratings whose answers differ in it. `logits` is the same on the scale of
    scores.
    """

    name: str
    points: float
    low: float
    high: float
    n: int
    logits: float

    @property
    def clear(self) -> bool:
        """Whether the interval leaves nothing out."""
        return self.low > 0 or self.high < 0


def style_profile(
    a: NDArray[np.integer], b: NDArray[np.integer], label: Floats, style: Floats, usual: Floats
) -> tuple[StyleEffect, ...]:
    """The effect of each trait that differs in at least `ENOUGH` of N ratings.

    `a`, `b` [N] are the LLMs' columns, `label` [N] 1 where a was preferred (0, 1/2), `style` [N, 4] the traits of a's
    answer minus b's (`core.traits.style`), `usual` [N] the average person's score of a minus b for that query. A
    Bradley-Terry fit: usual + (liking of a - liking of b) + worth of the traits, both with a normal prior, so that what
    an LLM's name explains as well as its length is shared between them and the interval says so (Laplace).
    """
    differing = (np.abs(style) > 0).sum(0)
    if not len(label) or not (differing >= ENOUGH).any():
        return ()
    llms = int(max(a.max(), b.max())) + 1
    x = np.zeros((len(label), llms + style.shape[1]))
    rows = np.arange(len(label))
    x[rows, a] += 1
    x[rows, b] -= 1
    x[:, llms:] = style / np.array(STEPS)
    prior = np.diag(np.concatenate([np.full(llms, LLM_PRECISION), np.full(style.shape[1], STEP_PRECISION)]))
    w, covariance = _laplace(x, usual, label, prior)
    found = []
    for k, name in enumerate(NAMES):
        if differing[k] >= ENOUGH:
            worth, sd = float(w[llms + k]), float(np.sqrt(covariance[llms + k, llms + k]))
            points, low, high = (
                float(1 / (1 + np.exp(-logits)) - 0.5) for logits in (worth, worth - 1.96 * sd, worth + 1.96 * sd)
            )
            found.append(StyleEffect(name, points, low, high, int(differing[k]), worth))
    return tuple(found)


def _laplace(x: Floats, offset: Floats, label: Floats, prior: Floats) -> tuple[Floats, Floats]:
    """Mode and covariance of ridge logistic regression, by damped Newton."""

    def objective(w: Floats) -> float:
        margin = offset + x @ w
        return float((np.logaddexp(0, margin) - label * margin).sum() + w @ prior @ w / 2)

    w = np.zeros(x.shape[1])
    for _ in range(NEWTON_STEPS):
        p = 1 / (1 + np.exp(-(offset + x @ w)))
        step = np.linalg.solve(x.T @ ((p * (1 - p))[:, None] * x) + prior, x.T @ (p - label) + prior @ w)
        size, before = 1.0, objective(w)
        while objective(w - size * step) > before + 1e-12 and size > 1e-6:
            size /= 2
        w = w - size * step
        if np.abs(step).max() < 1e-9:
            break
    p = 1 / (1 + np.exp(-(offset + x @ w)))
    return w, np.asarray(np.linalg.inv(x.T @ ((p * (1 - p))[:, None] * x) + prior), np.float64)
