"""PrefRoute from a terminal: the same jobs as the pages. Every command has --help; with --json the last line of output
is one JSON value.

Exit code 0 for success, 1 for an error that is explained in one line on stderr, 2 for wrong usage.
"""

import json
import logging
import os
import signal
import socket
import sys
import threading
import time
import uuid
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from core.domain import Query, UserId
from core.encoders import SentenceEncoder
from core.errors import InvalidInput, NotEnoughData, PrefRouteError
from core.settings import ROOT, Settings, load_settings
from db.engine import Database

app = typer.Typer(
    help="Learn each person's taste in LLMs from ratings, and route queries by it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
Json = Annotated[bool, typer.Option("--json", help="Print one JSON value instead of text.")]


def opened(settings: Settings | None = None) -> Database:
    """The database that the settings name, migrated."""
    return Database.open((settings or load_settings()).database_url)


def say(text: str, *, as_json: bool, value: Any) -> None:
    """Print the value as JSON, or else the text."""
    print(json.dumps(value, ensure_ascii=False) if as_json else text)


@app.command()
def run() -> None:
    """Start the app: migrate the database, load the demo world on the first start, serve on
    PREFROUTE_HOST:PREFROUTE_PORT.
    """
    settings = load_settings()
    _check_port(settings)
    with Opened(settings) as database:
        from db.demo.loading import load_on_first_start

        if settings.demo and load_on_first_start(database):
            print(
                "Loaded the demo world: demo LLMs with written responses, and simulated users. "
                "Remove it with: python cli.py demo --remove"
            )
    print(f"PrefRoute: http://{settings.host}:{settings.port}  (Ctrl+C stops it)", flush=True)
    _serve(settings)


@app.command()
def demo(
    remove: Annotated[bool, typer.Option("--remove", help="Remove it instead; nobody else's data is touched.")] = False,
    as_json: Json = False,
) -> None:
    """Load the demo world: written queries and responses of demo LLMs, simulated users. Loading twice adds nothing."""
    from db.demo.loading import load
    from db.demo.loading import remove as take_away

    with Opened() as database:
        value = take_away(database) if remove else load(database)
    text = ", ".join(f"{count:,} {name}" for name, count in value.items())
    say(f"Demo world {'removed' if remove else 'loaded'}: {text}.", as_json=as_json, value=value)


@app.command("import")
def import_ratings(
    path: Annotated[Path, typer.Argument(help="A file in the arena schema: .parquet, .jsonl, .jsonl.gz or .json.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen; store nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Import ratings from a file, all valid rows in one transaction. Importing the same file again adds nothing."""
    from core.importers import read
    from db.preferences import PreferenceStore

    bundle = read(path)
    with Opened() as database:
        report = PreferenceStore(database).add_bundle(bundle, dry_run=dry_run)
    value = {**asdict(report), "rejected": [asdict(row) for row in bundle.rejected]}
    verb = "Would add" if dry_run else "Added"
    rejected = len(bundle.rejected)
    lines = [f"{verb} {report.added:,} ratings, {report.skipped:,} already here, {rejected:,} rejected."]
    lines += [f"  row {row.row}: {row.reason}" for row in bundle.rejected[:20]]
    lines += [f"  and {rejected - 20:,} more; --json lists them all"] * (rejected > 20)
    lines += [f"Note: {warning}" for warning in bundle.warnings]
    lines.append(
        f"Now here: {report.comparisons:,} ratings, {report.users:,} users, "
        f"{report.llms:,} LLMs, {report.queries:,} queries."
    )
    say("\n".join(lines), as_json=as_json, value=value)


@app.command()
def export(
    path: Annotated[Path, typer.Argument(help="The file to write: .jsonl, .jsonl.gz or .parquet.")],
    as_json: Json = False,
) -> None:
    """Export all ratings in the arena schema."""
    from core.exporters import write
    from db.preferences import PreferenceStore

    with Opened() as database:
        store = PreferenceStore(database)
        report = write(path, store.comparisons(), store.queries(), store.responses(), store.users())
    say(
        f"Wrote {report.rows:,} ratings to {path}, SHA-256 {report.sha256}.",
        as_json=as_json,
        value={"rows": report.rows, "sha256": report.sha256, "path": str(path)},
    )


@app.command()
def users(as_json: Json = False) -> None:
    """List everyone with the number of their ratings."""
    from db.people import People

    with Opened() as database:
        rows = [
            {"user": row.person.name, "ratings": row.ratings, "simulated": row.person.simulated}
            for row in People(database).list()
        ]
    text = "\n".join(
        f"{row['ratings']:>7,}  {row['user']}{'  (simulated)' if row['simulated'] else ''}" for row in rows
    )
    say(text or "No users yet.", as_json=as_json, value=rows)


@app.command()
def worker(once: Annotated[bool, typer.Option("--once", help="Execute what is queued, then end.")] = False) -> None:
    """Execute training runs as they are queued, here or from any app on the same database."""
    from db.embeddings import CachedEncoder
    from db.worker import Worker

    settings = load_settings()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    with Opened(settings) as database:
        here = Worker(database, CachedEncoder(SentenceEncoder(settings.encoder), database), settings)
        if once:
            here.run_once()
        else:
            print(f"Worker {here.name} waits for training runs. Ctrl+C stops it.", file=sys.stderr)
            here.run_forever(stop)


@app.command()
def train(as_json: Json = False) -> None:
    """Train a router on all ratings, wait for it, print its report. It is put in service when it is done."""
    from db.runs import TrainingRuns
    from db.worker import spawn_worker

    settings = load_settings()
    with Opened(settings) as database:
        runs = TrainingRuns(database, settings.heartbeat_timeout)
        runs.reap()
        requested = runs.request({"device": settings.device}, by="cli")
        if settings.spawn_worker:
            spawn_worker(settings)
        ended = _wait(runs, requested.id)
    if ended.status != "done":
        raise PrefRouteError(
            ended.error or f"Training run {ended.id} was {ended.status}. The router in service is unchanged."
        )
    say(_report_text(ended.report), as_json=as_json, value={"run": ended.id, **ended.report})


@app.command()
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


@app.command()
def route(
    user: Annotated[str, typer.Option(help="Whose taste decides.")],
    query: Annotated[str, typer.Option(help="The query to route.")],
    as_json: Json = False,
) -> None:
    """Say which LLM this person would like best for a query, with everything they have rated up to now."""
    from db.embeddings import CachedEncoder
    from db.people import People
    from db.routers import RouterRegistry
    from db.serving import Serving

    settings = load_settings()
    asked = Query.typed(query)
    with Opened(settings) as database:
        person = People(database).get(UserId(user))
        decision = Serving(database, CachedEncoder(SentenceEncoder(settings.encoder), database)).decide(
            person.name, asked, explained=False
        )
        if not decision.choices:
            raise NotEnoughData(
                "There are no LLMs to route to. Load the demo world with `python cli.py demo`, or import ratings."
            )
        probabilities = {choice.llm: choice.probability for choice in decision.choices}
        RouterRegistry(database).record_decision(
            person.name, asked, decision.choices[0].llm, probabilities,
            version=decision.version, propensity=1.0, history_count=decision.ratings, source="cli",
        )  # fmt: skip
    choices = [
        {"llm": c.llm, "probability": c.probability, "price": {"input": c.input_price, "output": c.output_price}}
        for c in decision.choices
    ]
    value = {"user": user, "router": decision.service, "history": decision.ratings, "choices": choices}
    text = "\n".join(f"{c.probability:6.1%}  (average user {c.average:.1%})  {c.name}" for c in decision.choices)
    say(f"{decision.service}, from {decision.ratings} ratings of {user}:\n{text}", as_json=as_json, value=value)


def _serve(settings: Settings) -> None:
    """Streamlit's own command, in this process: what the migration has imported need not be imported again."""
    from streamlit.web.cli import main as streamlit

    os.chdir(ROOT)
    arguments = ["--server.address", settings.host, "--server.port", str(settings.port)]
    streamlit(["run", str(ROOT / "server.py"), *arguments], prog_name="streamlit")


class Opened:
    """A database that is closed at the end, whatever happens."""

    def __init__(self, settings: Settings | None = None) -> None:
        self._database = opened(settings)

    def __enter__(self) -> Database:
        return self._database

    def __exit__(self, *_: object) -> None:
        self._database.dispose()


def _check_port(settings: Settings) -> None:
    with socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except PermissionError:
            raise InvalidInput(
                f"Port {settings.port} needs more rights than this user has. Set PREFROUTE_PORT to a port above 1023."
            ) from None
        except socket.gaierror:
            raise InvalidInput(f"PREFROUTE_HOST '{settings.host}' is no address of this machine.") from None
        except OSError as error:
            raise InvalidInput(
                f"Port {settings.port} on {settings.host} cannot be used ({error.strerror}). "
                "Stop what uses it, or set PREFROUTE_PORT to another port."
            ) from None


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


def _report_text(report: dict[str, Any]) -> str:
    ratings, users = report["ratings"]["test"], report["standings"][0]["gain"]["users"]
    lines = [f"{ratings} held-out ratings of {users} users, split by query; 95 % intervals over users:"]
    for standing in report["standings"]:
        accuracy, loss = standing["accuracy"], standing["log_loss"]
        lines.append(
            f"  {standing['router']:<20} "
            f"accuracy {accuracy['value']:.3f} ({accuracy['low']:.3f} to {accuracy['high']:.3f})"
            f"  log-loss {loss['value']:.3f} ({loss['low']:.3f} to {loss['high']:.3f})"
        )
    if "router_version" in report:
        lines.append(f"Router version {report['router_version']} is in service.")
    return "\n".join(lines)


def main() -> None:
    """The door: errors meant for people become one line on stderr and exit code 1; anything else is logged under a
    reference id.
    """
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for noisy in ("httpx", "sentence_transformers", "alembic", "transformers"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        app()
    except PrefRouteError as error:
        print(f"Error: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    except Exception:
        reference = uuid.uuid4().hex[:8]
        logging.getLogger("prefroute").exception("reference %s", reference)
        print(
            "Error: something went wrong that should not. "
            f"Nothing half-written was kept; report reference {reference}.",
            file=sys.stderr,
        )
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
