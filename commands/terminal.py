"""What every command stands on: the database that the settings name, and one way to print."""

import json
from typing import Annotated, Any

import typer

from core.settings import Settings, load_settings
from db.engine import Database

Json = Annotated[bool, typer.Option("--json", help="Print one JSON value instead of text.")]


def say(text: str, *, as_json: bool, value: Any) -> None:
    """Print the value as JSON, or else the text."""
    print(json.dumps(value, ensure_ascii=False) if as_json else text)


class Opened:
    """The database, migrated; closed at the end, whatever happens."""

    def __init__(self, settings: Settings | None = None) -> None:
        self._database = Database.open((settings or load_settings()).database_url)

    def __enter__(self) -> Database:
        return self._database

    def __exit__(self, *_: object) -> None:
        self._database.dispose()
