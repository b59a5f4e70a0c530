"""The rooms and the direction of imports, held by walking the syntax tree of every file."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = {"core", "db", "pages", "api", "commands", "benchmarks"}
DOORS = {"app.py", "server.py", "cli.py"}
MAY_IMPORT = {
    "core": {"core"},
    "db": {"db", "core"},
    "pages": {"pages", "db", "core"},
    "api": {"api", "db", "core"},
    "commands": {"commands", "api", "db", "core"},
    "benchmarks": {"benchmarks", "core", "db"},
}
FORBIDDEN = {
    "core": {"streamlit", "sqlalchemy", "alembic", "altair", "sqlite3"},
    "db": {"streamlit", "altair"},
    "pages": {"sqlalchemy", "torch", "torch_geometric"},
    "api": {"sqlalchemy", "torch", "torch_geometric", "streamlit"},
    "commands": {"sqlalchemy", "torch", "torch_geometric", "altair"},
}
TOP_LEVEL = {
    *DOORS, *ROOMS, "tests", "requirements.txt", "Dockerfile", "README.md", "CHANGELOG.md", "LICENSE", "Makefile",
    "pyproject.toml",
    "compose.yaml", ".streamlit", ".ci", ".gitignore", ".dockerignore", ".git",
}  # fmt: skip


def files(*rooms: str) -> list[Path]:
    return sorted(path for room in rooms for path in (ROOT / room).rglob("*.py"))


def imported(path: Path, *, top_only: bool = False) -> set[str]:
    """First names of the modules a file imports; with `top_only` those imported when the file itself is."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if top_only else list(ast.walk(tree))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    return {name.split(".")[0] for name in names}


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_a_room_imports_only_the_rooms_below_it(room: str) -> None:
    for path in files(room):
        assert (imported(path) & ROOMS) <= MAY_IMPORT[room], path


@pytest.mark.parametrize("room", sorted(FORBIDDEN))
def test_a_room_keeps_to_its_libraries(room: str) -> None:
    for path in files(room):
        assert not imported(path) & FORBIDDEN[room], path


def test_nothing_imports_a_door() -> None:
    for path in files(*ROOMS):
        assert not imported(path) & {"app", "server", "cli"}, path


def test_no_page_script_lies_directly_in_pages() -> None:
    assert not list((ROOT / "pages").glob("*.py"))  # streamlit would run it without app.py, and so without sign-in


def test_nothing_pickles() -> None:
    for path in files(*ROOMS) + [ROOT / door for door in DOORS]:
        assert not imported(path) & {"pickle", "joblib", "dill", "cloudpickle", "shelve", "marshal"}, path
        assert "torch.load(" not in path.read_text(encoding="utf-8"), path


def test_no_page_and_no_door_waits_for_torch_or_for_what_few_starts_need() -> None:
    """What the first page imports, followed through our own modules, never reaches torch or its kin."""
    seen: set[Path] = set()
    waiting = [ROOT / "app.py", ROOT / "server.py", *files("pages")]
    while waiting:
        path = waiting.pop()
        if path in seen or not path.exists():
            continue
        seen.add(path)
        assert not imported(path, top_only=True) & {
            "torch",
            "torch_geometric",
            "sentence_transformers",
            "transformers",
            "fastapi",
            "alembic",
        }, path
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = (
                [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else [a.name for a in node.names]
                if isinstance(node, ast.Import)
                else []
            )
            for name in names:
                if name.split(".")[0] in ROOMS:
                    target = ROOT / name.replace(".", "/")
                    waiting += [target.with_suffix(".py"), target / "__init__.py"]


def test_the_top_level_holds_what_was_agreed() -> None:
    import subprocess

    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    assert {name.split("/")[0] for name in tracked if name} <= TOP_LEVEL


def test_files_and_functions_stay_readable() -> None:
    for path in files(*ROOMS) + [ROOT / door for door in DOORS]:
        if "migrations" in path.parts:  # a migration is a list of tables, as long as the schema is
            continue
        text = path.read_text(encoding="utf-8")
        assert text.count("\n") <= 400, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert (node.end_lineno or 0) - node.lineno < 60, f"{path}: {node.name}"
