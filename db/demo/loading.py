"""Putting the demo world into a database and taking it out again, without touching anyone else's rows."""

from dataclasses import asdict

from db.demo import SOURCE, demo_bundle
from db.engine import Database
from db.preferences import PreferenceStore


def load(database: Database) -> dict[str, int]:
    """Add the demo world; what is there already is kept. Returns how many ratings were added or were there."""
    report = PreferenceStore(database).add_bundle(demo_bundle())
    return {"ratings added": report.added, "already here": report.skipped}


def load_on_first_start(database: Database) -> bool:
    """Load it if nothing was ever stored here; True if it was. Once removed it does not come back by itself."""
    if not PreferenceStore(database).pristine():
        return False
    load(database)
    return True


def remove(database: Database) -> dict[str, int]:
    """Remove what the demo world brought; a person's ratings of demo pairs stay, with the texts they rated."""
    return asdict(PreferenceStore(database).remove_source(SOURCE))
