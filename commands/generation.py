"""Having registered LLMs write the responses that are missing."""

import sys
import time
from typing import Annotated, Any

import typer

from commands.terminal import Json, Opened, say
from core.encoders import SentenceEncoder
from core.errors import InvalidInput, PrefRouteError
from core.generation import Estimate, Limits
from core.providers import Providers
from core.settings import load_settings


def generate(  # noqa: PLR0917  options of a command
    llms: Annotated[str, typer.Option(help="Comma-separated ids; every LLM that can be asked when left out.")] = "",
    task: Annotated[str, typer.Option(help="Only queries of this task.")] = "",
    queries: Annotated[int, typer.Option(min=0, help="Only the first so many queries; 0 takes all.")] = 0,
    max_tokens: Annotated[int, typer.Option(help="Where a response is cut.")] = 1024,
    per_minute: Annotated[int, typer.Option(help="Calls begun to one LLM in a minute.")] = 60,
    at_once: Annotated[int, typer.Option(help="Calls to one LLM under way at the same time.")] = 4,
    budget: Annotated[float | None, typer.Option(help="US dollars that are never exceeded; needs prices.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Ask; without it only the estimate is shown.")] = False,
    as_json: Json = False,
) -> None:
    """Have LLMs respond to imported queries they have not answered. Shows the cost first, and asks only with --yes."""
    from db.answers import StoredResponses
    from db.calls import CallLedger
    from db.embeddings import CachedEncoder
    from db.generations import Generations
    from db.runs import TrainingRuns
    from db.worker import spawn_worker

    limits, settings = Limits(max_tokens, per_minute, at_once, budget), load_settings()
    with Opened(settings) as database:
        encoder = CachedEncoder(SentenceEncoder(settings.encoder), database)
        providers = Providers(settings.providers, StoredResponses(database, encoder), CallLedger(database))
        runs = TrainingRuns(database, settings.heartbeat_timeout)
        generations = Generations(database, providers, runs)
        named = [name.strip() for name in llms.split(",") if name.strip()]
        chosen = named or [llm.llm_id for llm, why in generations.askable() if not why]
        if not chosen:
            raise InvalidInput("No LLM here can be asked. Give one an endpoint: python cli.py llms edit ID --endpoint.")
        found = generations.estimates(chosen, limits.max_tokens, task, queries)
        if not yes:
            say(_estimate_text(found), as_json=as_json, value={"estimates": [_estimate(one) for one in found]})
            return
        print(_estimate_text(found), file=sys.stderr)
        runs.reap()
        requested = generations.request(chosen, limits, "cli", task, queries)
        if settings.spawn_worker:
            spawn_worker(settings)
        ended = _wait(runs, requested.id)
    if ended.status == "failed":
        raise PrefRouteError(ended.error or f"Run {ended.id} failed.")
    if ended.status != "done":
        raise PrefRouteError(
            f"Run {ended.id} was {ended.status} after {ended.step} of {ended.steps} responses. What was answered is "
            "kept; the same command asks for the rest."
        )
    say(_report_text(ended.report), as_json=as_json, value={"run": ended.id, **ended.report})


def _estimate(one: Estimate) -> dict[str, Any]:
    return {
        "llm": one.llm.llm_id, "responses": one.responses, "input_tokens": round(one.input_tokens),
        "output_tokens": round(one.output_tokens), "cost": one.cost, "at_most": one.at_most,
    }  # fmt: skip


def _estimate_text(found: list[Estimate]) -> str:
    lines = [
        f"{one.llm.llm_id}: {one.responses:,} responses are missing, about {one.input_tokens:,.0f} tokens in and "
        f"{one.output_tokens:,.0f} out, {_dollars(one.cost)}, at most {_dollars(one.at_most)}"
        for one in found
    ]
    return "\n".join([*lines, "Tokens are estimated from the length of texts. --yes asks for them."])


def _dollars(cost: float | None) -> str:
    return "price unknown" if cost is None else f"${cost:,.4f}"


def _report_text(report: dict[str, Any]) -> str:
    lines = []
    for one in report["llms"]:
        cut = f" ({one['cut']:,} cut at the limit of tokens)" if one["cut"] else ""
        lines.append(
            f"{one['llm']}: {one['answered']:,} responses{cut}, {one['failed']:,} failed, {one['not_asked']:,} not "
            f"asked, {_dollars(one['cost'])}"
        )
        lines += [f"  {count:,} times: {reason}" for reason, count in one["reasons"]]
    return "\n".join(lines)


def _wait(runs: Any, run: int) -> Any:
    shown = ""
    while True:
        runs.reap()
        now = runs.get(run)
        if not now.active:
            return now
        line = f"{now.status}: {now.step}/{now.steps} responses" if now.steps else now.status
        if line != shown:
            print(line, file=sys.stderr, flush=True)
            shown = line
        time.sleep(0.3)
