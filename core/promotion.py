"""The gate before service: a router serves by itself only when the held-out ratings say that it is better.

The rule. Against a router in service: its log-loss must be lower than that router's and than the best baseline's, both
beyond the 95 % interval of the paired difference (bootstrap over users). The first router replaces one ranking for all:
it must be better than that beyond the interval, and not worse than the best baseline beyond the interval. Two routers
that are equal within the interval are not exchanged for each other without a person's reason. The best baseline is the
one with the lowest loss on these same ratings, which favours it; so does whatever an incumbent has seen of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from core.dataset import PreferenceDataset
from core.errors import NotEnoughData
from core.evaluation import Estimate, Predictions, evaluate, log_loss_gain, predict_pairs
from core.holdout import Holdout
from core.routers.base import Router

MINIMUM_USERS = 5  # an interval over fewer users is none


class Incumbent(NamedTuple):
    """The router in service when another is trained. `router` is None where it cannot be loaded; `holdout` is None on a
    card that does not say what its training held out.
    """

    version: int
    router: Router | None
    holdout: Holdout | None


@dataclass(frozen=True)
class Trial:
    """The candidate against one other on the same held-out ratings. `gain` is how much lower its log-loss is; None
    where there is too little to measure it, which `remark` says.
    """

    rival: str
    gain: Estimate | None
    ratings: int
    remark: str = ""

    @property
    def better(self) -> bool:
        """Whether the candidate is better beyond the interval."""
        return self.gain is not None and self.gain.low > 0

    @property
    def worse(self) -> bool:
        """Whether the candidate is worse beyond the interval."""
        return self.gain is not None and self.gain.high < 0

    def in_words(self) -> str:
        """One clause with the figures."""
        if self.gain is None:
            return f"it could not be compared with {self.rival} ({self.remark})"
        said = "better" if self.better else "worse" if self.worse else "neither better nor worse"
        figures = f"{self.gain.value:.3f} ({self.gain.low:.3f} to {self.gain.high:.3f})"
        return (
            f"it is {said} than {self.rival}: log-loss gain {figures} on {self.ratings:,} held-out ratings of "
            f"{self.gain.users:,} users{'; ' + self.remark if self.remark else ''}"
        )


@dataclass(frozen=True)
class Verdict:
    """Whether a router may serve without a person's reason, and the trials that say so. `incumbent` is the version it
    was measured against, None for one ranking for all.
    """

    incumbent: int | None
    allowed: bool
    trials: tuple[Trial, ...]

    @property
    def why(self) -> str:
        """One sentence with every figure."""
        head = "Better on held-out ratings" if self.allowed else "Promotion refused"
        return f"{head}: {'; '.join(trial.in_words() for trial in self.trials)}."

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a card."""
        trials = [{**asdict(t), "gain": t.gain._asdict() if t.gain else None} for t in self.trials]
        return {"incumbent": self.incumbent, "allowed": self.allowed, "why": self.why, "trials": trials}


def judge(
    candidate: Router, measured: Mapping[str, Predictions], baselines: Sequence[str], held_out: PreferenceDataset,
    history: PreferenceDataset, incumbent: Incumbent | None,
) -> Verdict:  # fmt: skip
    """The verdict on a candidate. `measured` has the predictions of it (by its kind) and of every baseline for
    `held_out`; "bradley_terry" must be among the baselines.
    """
    own = measured[candidate.kind]
    best = min(baselines, key=lambda kind: evaluate(measured[kind]).log_loss.value)
    baseline = _trial(f"the best baseline ({best})", own, measured[best])
    if incumbent is None:
        population = _trial("one ranking for all (bradley_terry)", own, measured["bradley_terry"])
        return Verdict(None, population.better and not baseline.worse, (population, baseline))
    if incumbent.router is None:
        named = f"version {incumbent.version} in service"
        unloaded = Trial(named, None, 0, "it cannot be loaded, so it cannot serve either")
        return Verdict(incumbent.version, baseline.better, (unloaded, baseline))
    served = against_incumbent(candidate, incumbent, held_out, history)
    return Verdict(incumbent.version, served.better and baseline.better, (served, baseline))


def against_incumbent(
    candidate: Router, incumbent: Incumbent, held_out: PreferenceDataset, history: PreferenceDataset
) -> Trial:
    """Both routers on the held-out ratings between LLMs that both know and, where its card tells, on queries that the
    incumbent's training held out too.
    """
    router, name = incumbent.router, f"version {incumbent.version} in service"
    if router is None:
        raise NotEnoughData(f"Version {incumbent.version} is not loaded, so nothing can be compared with it.")
    known = np.array([llm.llm_id in router.llms and llm.llm_id in candidate.llms for llm in held_out.llms], bool)
    fair = known[held_out.llm_a] & known[held_out.llm_b]
    remark = "it may have been fitted on some of them" if incumbent.holdout is None else ""
    if incumbent.holdout is not None:
        fair &= incumbent.holdout.unseen(held_out)
    common = held_out.where(fair)
    if not (common.label != 0.5).any():
        return Trial(name, None, len(common), "no held-out rating is new to both and between LLMs that both know")
    return _trial(name, predict_pairs(candidate, common, history), predict_pairs(router, common, history), remark)


def objection(card: Mapping[str, Any], in_service: int | None) -> str | None:
    """Why the version with this card may not replace what is in service without a reason; None where it may."""
    verdict = card.get("promotion")
    if not verdict:
        return "Promotion refused: this version was never measured against what is in service."
    if verdict["incumbent"] != in_service:
        then = f"version {verdict['incumbent']}" if verdict["incumbent"] else "one ranking for all"
        now = f"version {in_service}" if in_service else "one ranking for all"
        return f"Promotion refused: this version was measured against {then}, and {now} is in service now."
    return None if verdict["allowed"] else str(verdict["why"])


def _trial(rival: str, candidate: Predictions, other: Predictions, remark: str = "") -> Trial:
    n, users = len(candidate.label), len(np.unique(candidate.user))
    if users < MINIMUM_USERS:
        return Trial(rival, None, n, f"only {users} of the {MINIMUM_USERS} users that an interval needs")
    return Trial(rival, log_loss_gain(candidate, other), n, remark)
