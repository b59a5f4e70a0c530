"""Starting the app, and the endpoint alone."""

import os
import socket
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from commands.terminal import Opened
from core.errors import InvalidInput
from core.settings import ROOT, Settings, load_settings
from db.engine import Database
from db.people import has_admin

PAUSE = 20.0  # seconds after a start


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
        if settings.auth == "invite":
            _show_setup_link(settings, database)
        if settings.auth in ("proxy", "oidc"):
            _check_sign_in(settings, database)
    print(f"PrefRoute: http://{settings.host}:{settings.port}  (Ctrl+C stops it)", flush=True)
    with _timekeeping(settings):
        _serve(settings)


def _show_setup_link(settings: Settings, database: Database) -> None:
    """As long as nobody administers this PrefRoute, each start makes the one link that lets an administrator in."""
    from db.invites import SETUP_DAYS, Invites

    if token := Invites(database).setup():
        print(
            f"No administrator yet. Open this once, within {SETUP_DAYS} days, to become the first: "
            f"http://{settings.host}:{settings.port}/?invite={token}",
            flush=True,
        )


def _check_sign_in(settings: Settings, database: Database) -> None:
    """What sign-in by somebody else needs: for oidc the library and the provider's entry; and an administrator."""
    if settings.auth == "oidc":
        from importlib.util import find_spec

        if find_spec("authlib") is None:
            raise InvalidInput('Sign-in by oidc needs Authlib: pip install "streamlit[auth]". Nothing was started.')
        secrets = ROOT / ".streamlit" / "secrets.toml"
        if not secrets.is_file() or "auth" not in tomllib.loads(secrets.read_text(encoding="utf-8")):
            raise InvalidInput(f"Sign-in by oidc needs the section [auth] in {secrets}. Nothing was started.")
    with database.read() as session:
        nobody = not has_admin(session)
    if nobody and not settings.administrators:
        print("Nobody administers this PrefRoute yet: name somebody in PREFROUTE_ADMINS.", flush=True)


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on; PREFROUTE_HOST if left out.")] = "",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8600,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes; each holds the router in memory.")] = 1,
) -> None:
    """Serve the endpoint alone, without pages: /v1, /healthz and /metrics, under uvicorn."""
    import uvicorn

    settings = load_settings().model_copy(update={"port": port} | ({"host": host} if host else {}))
    _check_port(settings)
    with Opened(settings):
        pass  # migrated once, before several processes come
    os.chdir(ROOT)
    print(f"PrefRoute's endpoint: http://{settings.host}:{port}/v1  (Ctrl+C stops it)", flush=True)
    uvicorn.run(
        "api.app:serve_app", factory=True, host=settings.host, port=port, workers=workers, log_level="warning"
    )  # fmt: skip


def _serve(settings: Settings) -> None:
    """Streamlit's own command, in this process: what the migration has imported need not be imported again."""
    from streamlit.web.cli import main as streamlit

    os.chdir(ROOT)
    if settings.auth == "proxy":
        os.environ["FORWARDED_ALLOW_IPS"] = ""  # else uvicorn takes a visitor's address for that of the proxy itself
    arguments = ["--server.address", settings.host, "--server.port", str(settings.port)]
    streamlit(["run", str(ROOT / "server.py"), *arguments], prog_name="streamlit")


@contextmanager
def _timekeeping(settings: Settings) -> Iterator[None]:
    """See to it meanwhile that a training which is due is asked for; off until somebody turns it on."""
    stop = threading.Event()
    thread = threading.Thread(target=_keep_time, args=(settings, stop), name="timekeeper", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=10)


def _keep_time(settings: Settings, stop: threading.Event) -> None:
    if stop.wait(PAUSE):  # the first page comes first
        return
    from db.auto_training import Timekeeper

    with Opened(settings) as database:
        Timekeeper(database, settings).run(stop)


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
