"""A PostgreSQL server of the tests' own: in a temporary folder, for this machine alone, and gone afterwards."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.ports import free_port


class PostgresAbsent(Exception):
    """There is no PostgreSQL on this machine, or no account that may run it."""


class PostgresFailed(Exception):
    """PostgreSQL is there but did not start; the message holds the end of its log."""


@contextmanager
def throwaway_postgres() -> Iterator[str]:
    """Yield the SQLAlchemy URL of a fresh server, whose role `app` may do everything; stop and remove it at the end."""
    programs = _programs()
    # Directly under /tmp: the path of a Unix socket may have only 107 bytes, and the server's account must reach it.
    folder = Path(tempfile.mkdtemp(prefix="prefroute-pg-", dir="/tmp"))
    server = None
    try:
        become = _become_server_account(folder)
        _initialise(programs, folder, become)
        port = free_port()
        server = _start(programs, folder, port, become)
        _wait_until_ready(programs, folder, port, server)
        yield f"postgresql+psycopg://app@127.0.0.1:{port}/postgres"
    finally:
        if server is not None:
            _stop(server)
        shutil.rmtree(folder, ignore_errors=True)


def _programs() -> Path:
    """The folder with initdb and postgres, of the newest version; Debian keeps it off the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    on_path = shutil.which("initdb")
    if not found and not on_path:
        raise PostgresAbsent("PostgreSQL is not installed (sudo apt-get install postgresql)")
    return found[-1].parent if found else Path(str(on_path)).resolve().parent


def _become_server_account(folder: Path) -> list[str]:
    """The words that make a command run as another account where we are root, which PostgreSQL refuses to be."""
    # The server is told to end when this process does, even by SIGKILL; SIGINT is its fast way out.
    die_with_us = ["setpriv", "--pdeathsig", "INT"]
    if not shutil.which("setpriv"):
        raise PostgresAbsent("setpriv is not installed (sudo apt-get install util-linux)")
    if os.geteuid() != 0:
        return [*die_with_us, "--"]
    try:
        account = pwd.getpwnam("postgres")
    except KeyError:
        raise PostgresAbsent("there is no account 'postgres' to run the server as") from None
    os.chown(folder, account.pw_uid, account.pw_gid)
    return [*die_with_us, f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups", "--"]


def _initialise(programs: Path, folder: Path, become: list[str]) -> None:
    options = ["-U", "app", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions"]
    command = [*become, str(programs / "initdb"), "-D", str(folder / "data"), *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PostgresFailed(f"initdb failed: {done.stderr.strip()[-500:]}")


def _start(programs: Path, folder: Path, port: int, become: list[str]) -> "subprocess.Popen[bytes]":
    """Run the server as our child, without the guarantees that only a database to be kept needs."""
    quick = ["-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off"]
    place = ["-D", str(folder / "data"), "-h", "127.0.0.1", "-p", str(port), "-k", str(folder)]
    command = [*become, str(programs / "postgres"), *place, *quick]
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)


def _wait_until_ready(programs: Path, folder: Path, port: int, server: "subprocess.Popen[bytes]") -> None:
    give_up = time.monotonic() + 60
    asks = [str(programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
    while subprocess.run(asks, check=False).returncode:
        if server.poll() is not None or time.monotonic() > give_up:
            raise PostgresFailed(f"PostgreSQL did not start: {(folder / 'log').read_text(errors='replace')[-500:]}")
        time.sleep(0.05)


def _stop(server: "subprocess.Popen[bytes]") -> None:
    # SIGINT ends the sessions and closes; SIGTERM would wait for clients that forgot to disconnect.
    server.send_signal(signal.SIGINT)
    try:
        server.wait(timeout=20)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
