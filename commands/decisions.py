"""What live decisions have earned."""

import math
from typing import Any

from commands.terminal import Json, Opened, say
from core.errors import NotEnoughData
from core.evaluation import Estimate


def decisions(as_json: Json = False) -> None:
    """What rewarded decisions earned, and by inverse propensity what each LLM for everyone would have earned."""
    from core.off_policy import greedy, off_policy_value
    from db.decisions import Decisions

    with Opened() as database:
        logged = Decisions(database).logged()
    if not len(logged):
        raise NotEnoughData("No live decision has been rated yet: send thumbs or comparisons for some first.")
    targets = {"the best by the log's probabilities": greedy(logged.probability)}
    for i, llm in enumerate(logged.llms):
        targets[f"always {llm}"] = greedy((logged.probability * 0) + [float(i == j) for j in range(len(logged.llms))])
    lines = [f"{len(logged)} rewarded decisions, mean reward {float(logged.reward.mean()):.3f}"]
    value: dict[str, Any] = {"decisions": len(logged), "routers": {}}
    for name, target in targets.items():
        found = off_policy_value(logged, target)
        lines.append(
            f"{name}: {_shown(found.normalised)}, plain {_shown(found.plain)}, covered {found.covered:.0%}, "
            f"worth {found.effective:.0f} decisions"
        )
        value["routers"][name] = {
            "normalised": _plain(found.normalised), "plain": _plain(found.plain), "covered": found.covered,
            "effective": found.effective,
        }  # fmt: skip
    say("\n".join(lines), as_json=as_json, value=value)


def _shown(estimate: Estimate) -> str:
    if math.isnan(estimate.value):  # nothing in the log speaks of it
        return "unknown"
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f}, {estimate.users} users)"


def _plain(estimate: Estimate) -> dict[str, float | int | None]:
    return {name: None if math.isnan(value) else value for name, value in estimate._asdict().items()}
