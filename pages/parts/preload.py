"""What the first decision of a server needs (PyTorch, the router in service, the text encoder, what it tells people),
loaded beside the pages before somebody waits for it.
"""

import logging
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from core.errors import PrefRouteError

log = logging.getLogger("prefroute.preload")

PATIENCE = 3.0  # seconds for the first page to come: who comes later finds most of it done
_seen = threading.Event()


@contextmanager
def first_page() -> Iterator[None]:
    """The run of a page. After the first one the loading may begin; before, it would take half its processor."""
    try:
        yield
    finally:
        _seen.set()


@asynccontextmanager
async def preloading(_app: object) -> AsyncIterator[None]:
    """For the life of a server: load once what decisions need, in a thread of its own."""
    threading.Thread(target=_wait_and_load, name="preload", daemon=True).start()
    yield


def _wait_and_load() -> None:
    _seen.wait(PATIENCE)
    try:
        preload()
    except PrefRouteError as error:  # whoever asks for a decision is told the same
        log.warning("nothing was loaded ahead: %s", error)
    except Exception:
        log.exception("nothing was loaded ahead")


def preload() -> bool:
    """Load the router in service and the text encoder, ask it about the first people, and sum up all ratings, unless
    that is done; whether there is a router. Before the first training none of it is needed: one ranking serves all.
    """
    from pages.parts.asked import load_once  # not at the top: a server that starts would wait for their imports
    from pages.parts.context import context
    from pages.parts.known import work_out

    active = context().registry.active()
    if active is None:
        return False
    load_once(active)
    context().surveys.of(active.id)
    work_out()
    return True
