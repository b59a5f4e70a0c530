"""`python -m benchmarks NAME --help`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from benchmarks.report import progress
from core.errors import PrefRouteError
from core.routers import ROUTERS

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Figures about routers: progress on stderr, a table on stdout, JSON on request.",
)


@app.callback()
def _() -> None:
    """Keep subcommand names even where there is only one."""


Folder = Annotated[
    Path, typer.Option("--data", help="A folder in the format of shared/data/personas (simulated users).")
]
Seeds = Annotated[int, typer.Option(min=1, help="How many seeds, from 0.")]
Routers = Annotated[str, typer.Option(help="Comma-separated kinds; every kind when left out.")]
Out = Annotated[Path | None, typer.Option("--json", help="Write the figures to this file.")]


@app.command("quality")
def quality_command(
    data: Folder,
    users: Annotated[int, typer.Option(min=1, help="The first N users.")] = 200,
    ratings: Annotated[
        str, typer.Option(help="The first K pairs of each user, or 'dense': best of N for every query.")
    ] = "50",
    seeds: Seeds = 1,
    routers: Routers = "",
    losers: Annotated[
        int | None,
        typer.Option(min=1, help="Dense only: how many of each best of N's losers are told; all by default."),
    ] = None,
    out: Out = None,
) -> None:
    """Every router: top-1, utility, log-loss, ECE on unseen queries; fit CPU, prediction time, peak memory."""
    from benchmarks.quality import quality

    if not quality(data, users, ratings_of(ratings), seeds, losers, listed(routers) or tuple(ROUTERS), out):
        raise typer.Exit(1)


@app.command("coldstart")
def coldstart_command(
    data: Folder,
    users: Annotated[int, typer.Option(min=2, help="The first N users; half of them are new.")] = 200,
    ratings: Annotated[int, typer.Option(min=1, help="The first K pairs of each user.")] = 50,
    seeds: Seeds = 1,
    routers: Routers = "",
    llms: Annotated[
        str, typer.Option(help="LLMs to leave out in turn, or 'all'; the two most liked when left out.")
    ] = "",
    parts: Annotated[str, typer.Option(help="'users' or 'llms', or both between commas.")] = "users,llms",
    out: Out = None,
) -> None:
    """New users after 0/5/10/20/50 ratings, and a new LLM after 0/20/100/500 comparisons with its recall; both drawn
    at random, and planned by the app's own rule.
    """
    from benchmarks.coldstart import Plan, coldstart

    kinds = listed(routers) or tuple(ROUTERS)
    coldstart(Plan(data, users, ratings, seeds, kinds, listed(llms), listed(parts)), out)


@app.command("ablation")
def ablation_command(
    data: Folder,
    users: Annotated[int, typer.Option(min=1, help="The first N users.")] = 200,
    ratings: Annotated[int, typer.Option(min=1, help="The first K pairs of each user.")] = 50,
    seeds: Seeds = 3,
    parts: Annotated[str, typer.Option(help="Comma-separated; every part when left out.")] = "",
    out: Out = None,
) -> None:
    """The network without each of its parts: what accuracy, utility and calibration each part is worth."""
    from benchmarks.ablation import Plan, ablation

    ablation(Plan(data, users, ratings, seeds, listed(parts)), out)


@app.command("matchmaking")
def matchmaking_command(
    data: Folder,
    users: Annotated[int, typer.Option(min=2, help="The first N users; half of them are new.")] = 200,
    ratings: Annotated[int, typer.Option(min=1, help="The first K pairs of each user the router is trained on.")] = 50,
    steps: Annotated[int, typer.Option(min=1, help="Ratings asked of each new user.")] = 50,
    seeds: Seeds = 3,
    router: Annotated[str, typer.Option(help="A router with a posterior: ladder or gat.")] = "ladder",
    out: Out = None,
) -> None:
    """Ratings of a new user that our pairs need to the top-1 accuracy of random pairs.

    Exit code 1 where fewer than 30 % are saved.
    """
    from benchmarks.matchmaking import Plan, matchmaking

    if not matchmaking(Plan(data, users, ratings, steps, seeds, router), out):
        raise typer.Exit(1)


@app.command("load")
def load_command(
    raters: Annotated[int, typer.Option(min=1, help="People who rate at the same time.")] = 50,
    ratings: Annotated[int, typer.Option(min=1, help="Ratings each of them gives.")] = 100,
    url: Annotated[str, typer.Option("--database", help="An empty database; a SQLite file when left out.")] = "",
    pause: Annotated[
        float, typer.Option(min=0, help="Seconds for which a pair is read at least, and three times that at most.")
    ] = 0.8,
    training: Annotated[bool, typer.Option(help="Train routers beside.")] = True,
    out: Out = None,
) -> None:
    """Ratings lost and doubled, and milliseconds for one with the next pair, beside training and two kills.

    Exit code 1 where a rating was lost, doubled or refused.
    """
    from benchmarks.load import Plan, load

    if not load(Plan(raters, ratings, url, pause, training), out):
        raise typer.Exit(1)


@app.command("cost")
def cost_command(
    data: Annotated[Path, typer.Option("--data", help="The folder that holds the sets.")] = SHARED,
    sets: Annotated[str, typer.Option(help="Comma-separated.")] = "llmrouter_quality,routellm",
    cache: Annotated[Path | None, typer.Option(help="A folder to keep text vectors in between runs.")] = None,
    limit: Annotated[
        int, typer.Option(min=0, help="At most so many queries of each set, drawn at random; 0 takes all.")
    ] = 0,
    routers: Annotated[
        str,
        typer.Option(help="Comma-separated kinds, fitted to who beats whom; 'none' for none, else all peers."),
    ] = "",
    out: Out = None,
) -> None:
    """PGR, APGR, CPT, deferral area, QNC, AIQ, V_B, E_p of routers that see only the query, on real scores."""
    from benchmarks.cost import PEERS, cost

    kinds = () if routers == "none" else listed(routers) or PEERS
    cost(data, listed(sets), cache, limit, out, routers=kinds)


@app.command("controls")
def controls_command(
    world: Annotated[Path, typer.Option(help="A folder in the format of personas.")] = SHARED / "personas",
    data: Annotated[Path, typer.Option("--data", help="The folder that holds the real sets.")] = SHARED,
    router: Annotated[str, typer.Option(help="The router to put to the test.")] = "",
    users: Annotated[int, typer.Option(min=2, help="The first N simulated users.")] = 200,
    ratings: Annotated[int, typer.Option(min=1, help="The first K pairs of each.")] = 50,
    folds: Annotated[int, typer.Option(min=3, help="Folds by question of the real sets.")] = 5,
    sets: Annotated[
        str, typer.Option(help="Comma-separated; 'none' for none.")
    ] = "mt_bench_human,tulu_human,prd_llm_judges",
    *,
    seed: int = 0,
    out: Out = None,
) -> None:
    """User swap, shuffled users, null sets and the positive control, each with its verdict.

    Exit code 1 where one fails.
    """
    from benchmarks.controls import Plan, controls
    from core.encoders import SentenceEncoder

    named = router or ("ladder" if "ladder" in ROUTERS else "gat")
    real = () if sets == "none" else listed(sets)
    plan = Plan(named, world, users, ratings, data, real, folds, seed)
    if not controls(plan, SentenceEncoder(), out):
        raise typer.Exit(1)


@app.command("latency")
def latency_command(
    router: Annotated[str, typer.Option(help="The kind of router that decides, fitted to the demo world.")] = "ladder",
    decisions: Annotated[int, typer.Option(min=20, help="Decisions from memory.")] = 500,
    clients: Annotated[int, typer.Option(min=1, help="Over HTTP at the same time.")] = 20,
    users: Annotated[int, typer.Option(min=1, help="People whose memory is measured, for 10,000.")] = 300,
    out: Out = None,
) -> None:
    """Decisions from memory, of unseen prompts, in batches and over HTTP, and what people take, beside bare figures."""
    from benchmarks.latency import latency

    latency(router, decisions, clients, users, out)


@app.command("imports")
def imports_command(
    data: Annotated[Path, typer.Option("--data", help="A folder of folders, one a set.")] = SHARED, out: Out = None
) -> None:
    """Every file of every set through the import page in Chromium: seconds per thousand rows, or why it is not taken.

    Exit code 1 where nothing of a set came in.
    """
    from benchmarks.imports import imports

    if not imports(data, out):
        raise typer.Exit(1)


@app.command("scale")
def scale_command(
    users: Annotated[int, typer.Option(min=2, help="Simulated users of the planted world.")] = 5_000,
    ratings: Annotated[int, typer.Option(min=2, help="Ratings of each.")] = 40,
    queries: Annotated[int, typer.Option(min=20, help="Queries, answered by ten planted LLMs.")] = 1_000,
    router: Annotated[str, typer.Option(help="The kind of router in service.")] = "ladder",
    database: Annotated[
        str, typer.Option(help="Measure this database instead: a SQLAlchemy URL. An SQLite file is copied first.")
    ] = "",
    keep: Annotated[
        Path | None, typer.Option(help="Keep the planted world in this new SQLite file, to be measured again.")
    ] = None,
    out: Out = None,
) -> None:
    """Every page in Chromium at size: seconds until painted, and the server's CPU, statements, rows and memory.

    Exit code 1 where a page takes 3 seconds or more (2 with --database).
    """
    from benchmarks.scale import Plan, scale

    if keep is not None and keep.exists():
        raise typer.BadParameter(f"'{keep}' is there already; measure it with --database sqlite:///{keep}")
    if not scale(Plan(users, ratings, queries, router, keep), database, out):
        raise typer.Exit(1)


def listed(text: str) -> tuple[str, ...]:
    """Names between commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def ratings_of(text: str) -> int | Literal["dense"]:
    """A number of ratings, or the word dense."""
    if text == "dense":
        return "dense"
    if text.isascii() and text.isdigit() and int(text) > 0:
        return int(text)
    raise typer.BadParameter(f"'{text}' is neither a number of ratings nor 'dense'")


def main() -> None:
    """Run a command; an error that people may read ends it with that one sentence."""
    try:
        app()
    except PrefRouteError as error:
        progress(f"Error: {error}")
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
