"""The README is held to the code: what it names exists, and what exists it names."""

import re
import tomllib
from pathlib import Path

import pytest

from core.importers import IMPORTERS
from core.routers import ROUTERS
from core.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def commands() -> list[str]:
    from cli import app

    return [
        str(command.name or (command.callback and command.callback.__name__)) for command in app.registered_commands
    ]


@pytest.mark.parametrize("command", commands())
def test_every_command_is_in_the_readme(command: str) -> None:
    assert f"python cli.py {command}" in README


def test_the_readme_names_no_command_that_does_not_exist() -> None:
    assert set(re.findall(r"python cli\.py (\w+)", README)) == set(commands())


@pytest.mark.parametrize("router", ROUTERS)
def test_every_router_is_in_the_readme(router: str) -> None:
    assert any(f"`{router}`" in line.split("|")[1] for line in README.splitlines() if line.startswith("| `"))


@pytest.mark.parametrize("importer", IMPORTERS)
def test_every_importer_is_in_the_readme(importer: str) -> None:
    assert f"| `{importer}` |" in README


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_in_the_readme_with_its_default(name: str) -> None:
    variable = "DATABASE_URL" if name == "database_url" else f"PREFROUTE_{name.upper()}"
    row = next(line for line in README.splitlines() if line.startswith(f"| `{variable}`"))
    default = Settings.model_fields[name].default
    if name != "database_url":
        assert ("| empty |" if default == "" else f"`{str(default).lower()}`") in row


def test_every_benchmark_has_its_figures_told() -> None:
    from benchmarks.__main__ import app

    told = set(re.findall(r"python -m benchmarks ([a-z]+)", (ROOT / "benchmarks" / "README.md").read_text("utf-8")))
    assert told == {command.name for command in app.registered_commands}


def test_every_page_is_in_the_readme_by_its_title() -> None:
    source = (ROOT / "app.py").read_text(encoding="utf-8")
    for script in (ROOT / "pages").glob("*/*.py"):
        if script.parent.name != "parts":
            title = re.search(rf'"{script.stem}": "([^"]+)"', source)
            assert title, f"{script.stem} is not in app.py"
            assert f"**{title[1]}**" in README


def test_every_requirement_has_its_reason_and_is_used() -> None:
    for line in (ROOT / "requirements.txt").read_text().splitlines():
        name = re.match(r"[a-z0-9-]+", line)
        if name:
            assert f"`{name[0]}`" in README, name[0]


def test_the_two_commands_are_targets_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", README, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_every_file_it_links_to_is_there() -> None:
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / link).is_file(), link


def test_every_picture_is_there() -> None:
    for picture in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", README):
        assert (ROOT / picture).is_file(), picture


def test_the_python_it_asks_for_is_the_one_the_tools_check() -> None:
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "Python 3.11" in README
    assert tools["tool"]["ruff"]["target-version"] == "py311"
