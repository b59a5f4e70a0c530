"""The files by which PrefRoute is started elsewhere: Makefile, Dockerfile and its ignored files, the scripts of CI."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PLANS = [("run", "cli.py run"), ("test", "--no-loadscope-reorder -k one"), ("check", "hadolint Dockerfile")]


@pytest.mark.parametrize(("target", "last"), PLANS)
def test_make_sets_up_first(target: str, last: str) -> None:
    planned = subprocess.check_output(["make", "-n", target, "PYTEST_ARGS=-k one"], cwd=ROOT, text=True).splitlines()
    assert planned[0].startswith("bash .ci/setup ")
    assert planned[-1].endswith(last)


def test_make_alone_only_lists_what_can_be_made() -> None:
    listed = subprocess.check_output(["make"], cwd=ROOT, text=True)
    assert [line.split()[1] for line in listed.splitlines()] == ["help", "run", "test", "check", "screenshots", "clean"]


def test_make_clean_names_neither_ratings_nor_settings() -> None:
    planned = subprocess.check_output(["make", "-n", "clean"], cwd=ROOT, text=True)
    assert " data" not in planned.replace("-path ./data -prune", "")
    assert ".env" not in planned.replace(".venv", "")


def test_the_dockerfile_has_no_findings_of_hadolint() -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([hadolint, "Dockerfile"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_image_holds_what_is_named_and_no_secrets() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    named = {line.removeprefix("!") for line in lines if line.startswith("!")}
    assert {"app.py", "server.py", "cli.py", "commands", "core", "db", "pages", "requirements.txt"} <= named
    assert not named & {".env", "data", ".streamlit", ".streamlit/secrets.toml"}


@pytest.mark.parametrize("script", [".ci/setup", ".ci/run"])
def test_the_scripts_are_executable_and_parse(script: str) -> None:
    assert (ROOT / script).stat().st_mode & 0o111
    subprocess.run(["bash", "-n", script], cwd=ROOT, check=True)
