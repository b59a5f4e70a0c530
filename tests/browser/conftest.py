"""A real server on a free port with a database of its own, for tests that drive the app in Chromium."""

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from core.settings import ROOT
from tests.ports import free_port

START_SECONDS = 180


@contextmanager
def serving(url: str, log: Path, **settings: str) -> Iterator[str]:
    """`cli.py run` on a free port; yields the app's address when it answers, and stops it at the end."""
    port = free_port()
    environment = {**os.environ, "DATABASE_URL": url, "PREFROUTE_PORT": str(port), **settings}
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "cli.py", "run"], cwd=ROOT, env=environment, stdout=output, stderr=output
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not answers(port):
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=1) as response:
            return bool(response.read() == b"ok")
    except OSError:
        return False


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Start servers: serve(name_of_database, **settings) gives the address; all stop at the end of the test."""
    with ExitStack() as stack:

        def start(name: str = "app.db", **settings: str) -> str:
            return stack.enter_context(serving(f"sqlite:///{tmp_path / name}", tmp_path / "server.log", **settings))

        yield start
