"""Long writers of a SQLite file: an import holds its only writer for minutes, and announces that to those who wait.

The announcement is a lock on a file beside the database, which the system lets go of with the process, however it ends:
nobody waits for a writer that is gone.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy import URL

if sys.platform != "win32":  # there a long writer is waited for as any other is
    import fcntl

SUFFIX = "-long"


@contextmanager
def announced(address: URL) -> Iterator[None]:
    """Say for as long as the block lasts that a long writer is at work. Of others than SQLite nobody needs to know."""
    path = _beside(address)
    if path is None:
        yield
        return
    with suppress(OSError):  # a folder that cannot be written to: the write itself will say so
        path.touch()
    try:
        handle = os.open(path, os.O_RDWR)
    except OSError:
        yield
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def at_work(address: URL) -> bool:
    """Whether a long writer of this database is at work, in this process or another."""
    path = _beside(address)
    try:
        handle = os.open(path, os.O_RDWR) if path is not None else None
    except OSError:
        return False
    if handle is None:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    else:
        return False
    finally:
        os.close(handle)


def _beside(address: URL) -> Path | None:
    if sys.platform == "win32":
        return None
    if address.get_backend_name() != "sqlite" or not address.database:
        return None
    return Path(f"{address.database}{SUFFIX}")
