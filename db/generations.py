"""Generations: responses that registered LLMs are to write to imported queries, asked by a worker and kept one by one.

What is asked is what is missing when the run begins, so a run that ended early is simply asked again: nothing that was
answered is asked, or paid for, a second time.
"""

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.domain import LLM, Query, QueryId
from core.errors import DatabaseUnavailable, InvalidInput
from core.generation import Answered, Estimate, Limits, Missing, Unanswered, answers, check_prices, estimate, why_not
from core.providers import Providers
from db import bundles
from db.base import utc_now
from db.catalogue import Catalogue, find
from db.engine import Database
from db.events import APP
from db.execution import Execution
from db.models import FlagResolution, FlagRow, LLMRow, ProviderCallRow, QueryRow, ResponseRow, TaskRow
from db.pricing import USUAL_TOKENS, reply_tokens
from db.runs import Run, TrainingRuns

log = logging.getLogger(__name__)

GENERATION = "generation"
SOURCE = "generated in run "  # and the number of the run: what can be taken out again as one
PATIENCE = (0.0, 1.0, 5.0, 15.0)  # seconds before each try to keep a response that was paid for


class Generations:
    """What could be generated in one database, and asking a worker for it."""

    def __init__(self, database: Database, providers: Providers, runs: TrainingRuns) -> None:
        self._database, self._providers, self._runs = database, providers, runs

    def askable(self) -> list[tuple[LLM, str]]:
        """Every LLM, with why it cannot be asked; empty where it can."""
        return [(llm, why_not(self._providers, llm)) for llm in Catalogue(self._database).list()]

    def estimates(self, llms: Sequence[str], max_tokens: int, task: str = "", queries: int = 0) -> list[Estimate]:
        """What is missing of each of these LLMs, about one task or all, of the first so many queries (0: all).

        Raises NotFound for an LLM that is not here.
        """
        known = Catalogue(self._database).list()
        usual = reply_tokens(self._database)
        unknown = float(np.mean(list(usual.values()))) if usual else USUAL_TOKENS
        with self._database.read() as session:
            return [
                estimate(llm, _unanswered(session, llm, task, queries), usual.get(llm.llm_id, unknown), max_tokens)
                for llm in (find(known, name) for name in llms)
            ]

    def revision(self) -> str:
        """Changes with every query, response and LLM that comes or goes, and with every LLM's facts."""
        counted = [
            select(figure).scalar_subquery()
            for row in (QueryRow, ResponseRow)
            for figure in (func.coalesce(func.max(row.id), 0), func.count(row.id))
        ]
        with self._database.read() as session:
            figures = session.execute(select(*counted)).one()
        return "-".join(map(str, figures)) + str(Catalogue(self._database).list())

    def request(self, llms: Sequence[str], limits: Limits, by: str, task: str = "", queries: int = 0) -> Run:
        """Queue a run. Raises InvalidInput where nothing is missing, an LLM cannot be asked or a budget needs prices;
        NotFound, and RunActive.
        """
        if not llms:
            raise InvalidInput("Choose at least one LLM; nothing was asked.")
        found = self.estimates(llms, limits.max_tokens, task, queries)
        for one in found:
            if why := why_not(self._providers, one.llm):
                raise InvalidInput(f"{why} Nothing was asked.")
        if not sum(one.responses for one in found):
            raise InvalidInput("These LLMs have answered every one of these queries already; nothing was asked.")
        check_prices([one.llm for one in found], limits)
        config = {"llms": list(llms), "task": task, "queries": queries, "limits": limits.to_dict()}
        return self._runs.request(config, by, GENERATION)

    def resume(self, run_id: int, by: str) -> Run:
        """Ask for what is missing of a run that ended early, with what is left of its budget.

        Raises InvalidInput where nothing is left of either, and as `request` does.
        """
        run = self._runs.get(run_id)
        if run.kind != GENERATION or run.active:
            raise InvalidInput(f"Run {run_id} cannot be taken up again; nothing was asked.")
        limits = dict(run.config["limits"])
        if limits["budget"] is not None:
            left = limits["budget"] - self.spent(run)
            if left <= 0:
                raise InvalidInput("The budget of this run is used up; nothing was asked. Begin a new one.")
            limits["budget"] = left
        return self.request(run.config["llms"], Limits(**limits), by, run.config["task"], run.config["queries"])

    def spent(self, run: Run) -> float:
        """Dollars that its LLMs cost while it ran, whoever asked them: never less than what the run cost."""
        if run.started_at is None:
            return 0.0
        call = ProviderCallRow
        during = [call.llm_key.in_(run.config["llms"]), call.at >= run.started_at]
        if run.finished_at is not None:
            during.append(call.at <= run.finished_at)
        with self._database.read() as session:
            return float(session.scalar(select(func.sum(call.cost)).where(*during)) or 0.0)


def generate(execution: Execution) -> tuple[dict[str, Any], str]:
    """Ask for what is missing, keep each response as it comes, and tell what came of it. It rests on no ratings."""
    config, limits = execution.run.config, Limits(**execution.run.config["limits"])
    known = Catalogue(execution.database).list()
    llms = [find(known, name) for name in config["llms"]]
    check_prices(llms, limits)
    with execution.database.read() as session:
        missing = [
            Missing(llm, query)
            for llm in llms
            for query in _unanswered(session, llm, config["task"], config["queries"])
        ]
    tallies = {llm.llm_id: _Tally(llm) for llm in llms}
    execution.reach("asking", 0, len(missing))
    done = 0
    with closing(answers(execution.providers, missing, limits)) as outcomes:
        for outcome in outcomes:
            if outcome is None:
                execution.pulse.check()
                continue
            if isinstance(outcome, Answered):
                keep(execution.database, outcome, f"{SOURCE}{execution.run.id}")
            tallies[outcome.llm.llm_id].add(outcome)
            done += 1
            execution.reach("asking", done, len(missing))
    return {"llms": [tally.to_dict() for tally in tallies.values()]}, ""


def keep(database: Database, answered: Answered, source: str, clock: Callable[[], datetime] = utc_now) -> bool:
    """Store a response; False where this LLM's response to the query came by another way meanwhile, which stays.

    A database that is busy is asked again, for the response was paid for. Raises DatabaseUnavailable.
    """
    for pause in PATIENCE:
        time.sleep(pause)
        try:
            with database.write() as session:
                return bundles.add_response(session, answered.response, source, clock())
        except DatabaseUnavailable:
            log.warning("a response could not be kept yet")
            if pause == PATIENCE[-1]:
                raise
    raise AssertionError("unreachable")  # pragma: no cover


def _unanswered(session: Session, llm: LLM, task: str, most: int) -> list[Query]:
    """The imported queries that this LLM has not answered, in the order they came; of the first `most` alone.

    What people typed is their own and is sent to nobody else; what was retired is shown to nobody.
    """
    retired = select(FlagRow.query_id).where(FlagRow.resolution == FlagResolution.RETIRED)
    chosen = select(QueryRow.id).where(QueryRow.source != APP, QueryRow.id.not_in(retired)).order_by(QueryRow.id)
    if task:
        chosen = chosen.join(TaskRow, TaskRow.id == QueryRow.task_id).where(TaskRow.name == task)
    if most:
        chosen = chosen.limit(most)
    written = select(ResponseRow.query_id).join(LLMRow, LLMRow.id == ResponseRow.llm_id)
    rows = session.execute(
        select(QueryRow.key, QueryRow.turns, TaskRow.name)
        .outerjoin(TaskRow, TaskRow.id == QueryRow.task_id)
        .where(QueryRow.id.in_(chosen.subquery().select()))
        .where(QueryRow.id.not_in(written.where(LLMRow.key == llm.llm_id)))
        .order_by(QueryRow.id)
    )
    return [Query(QueryId(key), tuple(turns), name or "") for key, turns, name in rows]


class _Tally:
    """What came of one LLM."""

    def __init__(self, llm: LLM) -> None:
        self._llm = llm
        self._counts = dict.fromkeys(("answered", "cut", "failed", "not_asked", "input_tokens", "output_tokens"), 0)
        self._reasons: dict[str, int] = {}
        self._cost: float | None = 0.0

    def add(self, outcome: Answered | Unanswered) -> None:
        """Count one."""
        if isinstance(outcome, Answered):
            self._counts["answered"] += 1
            self._counts["cut"] += outcome.cut
        else:
            self._counts["failed" if outcome.asked else "not_asked"] += 1
            self._reasons[outcome.reason] = self._reasons.get(outcome.reason, 0) + 1
        for reply in outcome.replies:
            self._counts["input_tokens"] += reply.input_tokens
            self._counts["output_tokens"] += reply.output_tokens
            self._cost = None if self._cost is None or reply.cost is None else self._cost + reply.cost

    def to_dict(self) -> dict[str, Any]:
        """As JSON, the reasons from the most frequent on."""
        most = sorted(self._reasons.items(), key=lambda pair: -pair[1])
        named = {"llm": self._llm.llm_id, "name": self._llm.name or self._llm.llm_id}
        return {**named, **self._counts, "cost": self._cost, "reasons": [list(pair) for pair in most[:5]]}
