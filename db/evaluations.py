"""An evaluation run: a kind of router put to every honest test, on all ratings there are now."""

from typing import Any

from core.examination import check_kind, examine
from db.execution import Execution
from db.preferences import PreferenceStore

EVALUATION = "evaluation"


def of_kind(kind: str) -> dict[str, Any]:
    """The config of an evaluation run. Raises InvalidInput for a kind of router that is not known."""
    return {"router": check_kind(kind)}


def evaluate_honestly(execution: Execution) -> tuple[dict[str, Any], str]:
    """The report and the fingerprint of the ratings it rests on. Publishes nothing. Raises NotEnoughData."""
    ratings = PreferenceStore(execution.database).snapshot()
    execution.encode(ratings)
    found = examine(ratings, execution.encoder, execution.run.config["router"], execution.reach)
    return found, ratings.fingerprint()
