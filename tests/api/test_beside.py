"""The endpoint beside the pages: made at its first request, once, and not for a page."""

import asyncio
import threading

import httpx2
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp

from api.beside import PATHS, Beside


class Made:
    """Makes the endpoint slowly, and counts."""

    def __init__(self) -> None:
        self.times, self.threads = 0, set[int]()

    def __call__(self) -> ASGIApp:
        self.times += 1
        self.threads.add(threading.get_ident())
        return PlainTextResponse("endpoint")


def asked(app: ASGIApp, *paths: str) -> list[str]:
    """What the app answers to requests that come at once."""

    async def ask() -> list[str]:
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://here") as client:
            return [answer.text for answer in await asyncio.gather(*(client.get(path) for path in paths))]

    return asyncio.run(ask())


def test_pages_never_wait_for_the_endpoint() -> None:
    make = Made()
    app = Beside(PlainTextResponse("page"), make)
    assert asked(app, "/", "/rate", "/v1x", "/static/v1") == ["page"] * 4
    assert make.times == 0


@pytest.mark.parametrize("path", [*PATHS, "/v1/chat/completions"])
def test_the_first_requests_make_the_endpoint_once_beside_the_pages_thread(path: str) -> None:
    make = Made()
    app = Beside(PlainTextResponse("page"), make)
    assert asked(app, path, path, "/", path) == ["endpoint", "endpoint", "page", "endpoint"]
    assert make.times == 1 and make.threads != {threading.get_ident()}
