"""PrefRoute from a terminal: the same jobs as the pages. Every command has --help; with --json the last line of output
is one JSON value.

Exit code 0 for success, 1 for an error that is explained in one line on stderr, 2 for wrong usage.
"""

import logging
import sys
import uuid
from collections.abc import Callable

import typer

from commands import campaigns, data, decisions, generation, keys, llms, local, registry, routing, serving, training
from core.errors import PrefRouteError

COMMANDS: dict[str, Callable[..., None]] = {
    "run": serving.run,
    "serve": serving.serve,
    "local": local.local,
    "keys": keys.keys,
    "decisions": decisions.decisions,
    "demo": data.demo,
    "import": data.import_ratings,
    "generate": generation.generate,
    "export": data.export,
    "dataset": data.dataset,
    "users": data.users,
    "gold": data.gold,
    "campaign": campaigns.campaign,
    "backup": data.backup,
    "llms": llms.llms,
    "train": training.train,
    "schedule": training.schedule,
    "routers": registry.routers,
    "worker": training.worker,
    "evaluate": training.evaluate,
    "route": routing.route,
}

app = typer.Typer(
    help="Learn each person's taste in LLMs from ratings, and route queries by it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for name, command in COMMANDS.items():
    app.command(name)(command)


def main() -> None:
    """The door: errors meant for people become one line on stderr and exit code 1; anything else is logged under a
    reference id.
    """
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for noisy in ("httpx", "httpx2", "openai", "sentence_transformers", "alembic", "transformers"):
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
