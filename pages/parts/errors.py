"""What a person sees when something went wrong: a clear sentence, or a reference id that is also in the log. Never a
traceback.
"""

import logging
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec

import streamlit as st

from core.errors import PrefRouteError

log = logging.getLogger("prefroute.pages")

P = ParamSpec("P")
_PENDING = "errors.pending"


def describe(error: Exception) -> str:
    """The sentence to show. An error that is not meant for people goes to the log under a reference id, which is all
    that is shown.
    """
    if isinstance(error, PrefRouteError):
        return str(error)
    reference = uuid.uuid4().hex[:8]
    log.error("reference %s", reference, exc_info=error)
    return (
        "Something went wrong here. Nothing you saved is lost. "
        f"Reload the page; if it happens again, report reference {reference}."
    )


def show_error(error: Exception) -> bool:
    """Draw an error; True, so that it can serve as `st.App`'s `on_script_error`."""
    st.error(describe(error))
    return True


@contextmanager
def boundary() -> Iterator[None]:
    """Draw whatever the block raises instead of letting it through."""
    if message := st.session_state.pop(_PENDING, None):
        st.error(message)
    try:
        yield
    except Exception as error:  # noqa: BLE001 - the last place before the screen
        show_error(error)


def callback(function: Callable[P, None]) -> Callable[P, None]:
    """Wrap a widget's callback: what it raises is shown by the next `boundary`, on the page it happened on."""

    @wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            function(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - callbacks run outside the boundary
            st.session_state[_PENDING] = describe(error)

    return guarded
