"""Training a router, and the worker that does it."""

import os
import signal
import sys
import threading
import time
from typing import Annotated, Any

import typer

from commands.terminal import Json, Opened, say
from core.encoders import SentenceEncoder
from core.errors import PrefRouteError
from core.settings import load_settings

YIELDING = 10  # niceness: on a full machine who rates or asks is served first, and a training takes what is left


def worker(once: Annotated[bool, typer.Option("--once", help="Execute what is queued, then end.")] = False) -> None:
    """Execute training runs as they are queued, here or from any app on the same database."""
    from db.embeddings import CachedEncoder
    from db.worker import Worker

    settings = load_settings()
    if hasattr(os, "nice"):  # not on Windows
        os.nice(YIELDING)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    with Opened(settings) as database:
        here = Worker(database, CachedEncoder(SentenceEncoder(settings.encoder), database), settings)
        if once:
            here.run_once()
        else:
            print(f"Worker {here.name} waits for training runs. Ctrl+C stops it.", file=sys.stderr)
            here.run_forever(stop)


def train(
    promote: Annotated[
        bool, typer.Option(help="Put the result in service if the held-out ratings say that it is better.")
    ] = True,
    reason: Annotated[str, typer.Option(help="Put it in service whatever they say, for this reason; it is kept.")] = "",
    as_json: Json = False,
) -> None:
    """Train a router on all ratings, wait for it, print its report. It serves if the gate lets it, or with a reason."""
    from db.runs import TrainingRuns
    from db.trainings import wish
    from db.worker import spawn_worker

    settings = load_settings()
    with Opened(settings) as database:
        runs = TrainingRuns(database, settings.heartbeat_timeout)
        runs.reap()
        requested = runs.request({"device": settings.device, **wish(promote=promote, reason=reason)}, by="cli")
        if settings.spawn_worker:
            spawn_worker(settings)
        ended = _wait(runs, requested.id)
    if ended.status != "done":
        raise PrefRouteError(
            ended.error or f"Training run {ended.id} was {ended.status}. The router in service is unchanged."
        )
    say(_report_text(ended.report), as_json=as_json, value={"run": ended.id, **ended.report})


def schedule(
    ratings: Annotated[
        int, typer.Option(min=-1, show_default=False, help="Train after so many new ratings; 0 for never.")
    ] = -1,
    hours: Annotated[
        int, typer.Option(min=-1, show_default=False, help="Train every so many hours if anything is new; 0 for never.")
    ] = -1,
    as_json: Json = False,
) -> None:
    """Whether training starts by itself while the app runs, and when; change it. The same gate decides what serves."""
    from db.auto_training import AutoTraining, Plan

    settings = load_settings()
    with Opened(settings) as database:
        auto = AutoTraining(database, settings.heartbeat_timeout)
        before = auto.plan()
        plan = Plan(before.ratings if ratings < 0 else ratings or None, before.hours if hours < 0 else hours or None)
        if plan != before:
            auto.set(plan, by="cli")
        standing = auto.standing()
    when = [f"after {plan.ratings:,} new ratings"] if plan.ratings else []
    when += [f"every {plan.hours:,} hours if anything is new"] if plan.hours else []
    text = f"Trains by itself {', or '.join(when)}." if plan.on else "Never trains by itself."
    value = {"ratings": plan.ratings, "hours": plan.hours, "new": standing.new}
    say(f"{text} New ratings since the last training: {standing.new:,}.", as_json=as_json, value=value)


def evaluate(
    seed: Annotated[int, typer.Option(help="Seed of the split by query and of the fit.")] = 0, as_json: Json = False
) -> None:
    """Measure a fresh fit on ratings it has not seen, split by query, beside its baselines. Publishes nothing."""
    from core.optimisation import TrainConfig
    from core.training import train as fit
    from db.embeddings import CachedEncoder
    from db.preferences import PreferenceStore

    settings = load_settings()
    with Opened(settings) as database:
        dataset = PreferenceStore(database).snapshot()
        encoder = CachedEncoder(SentenceEncoder(settings.encoder), database)
        trained = fit(dataset, encoder, TrainConfig(seed=seed, device=settings.device), _show_epoch)
    value = trained.report.to_dict()
    say(_report_text(value), as_json=as_json, value=value)


def _wait(runs: Any, run: int) -> Any:
    shown = ""
    while True:
        runs.reap()
        now = runs.get(run)
        if now.status not in ("queued", "running"):
            return now
        line = f"{now.status}: {now.stage} {now.step}/{now.steps}" if now.steps else now.status
        if line != shown:
            print(line, file=sys.stderr, flush=True)
            shown = line
        time.sleep(0.3)


def _show_epoch(epoch: Any) -> None:
    print(
        f"epoch {epoch.number}/{epoch.epochs}: train {epoch.train_loss:.4f}, validation {epoch.validation_loss:.4f}",
        file=sys.stderr,
        flush=True,
    )


def _figures(accuracy: dict[str, float], loss: dict[str, float]) -> str:
    said = (f"{x['value']:.3f} ({x['low']:.3f} to {x['high']:.3f})" for x in (accuracy, loss))
    return "accuracy {}  log-loss {}".format(*said)


def _report_text(report: dict[str, Any]) -> str:
    ratings, users = report["ratings"]["test"], report["standings"][0]["gain"]["users"]
    lines = [f"{ratings} held-out ratings of {users} users, split by query; 95 % intervals over users:"]
    lines += [f"  {s['router']:<20} {_figures(s['accuracy'], s['log_loss'])}" for s in report["standings"]]
    trained = report["standings"][0]
    lines.append(f"Each user counting once: {_figures(trained['user_accuracy'], trained['user_log_loss'])}")
    if "router_version" in report:
        serves = "is in service" if report["in_service"] else "is published and not in service"
        lines.append(f"Router version {report['router_version']} {serves}.")
    lines.append(report.get("refused") or report["promotion"]["why"])
    return "\n".join(lines)
