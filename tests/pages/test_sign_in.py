"""Sign-in by somebody else: whose word counts, and what those see for whom nobody vouches."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.testing.v1 import AppTest
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from core.domain import UserId
from core.errors import InvalidInput
from core.settings import Settings, load_settings
from db.engine import Database
from db.models import Role
from db.people import People
from pages.parts.proxy import ProxyHeader
from tests.browser.conftest import serving
from tests.pages.test_pages import button, words

Open = Callable[..., AppTest]
HEADER = b"x-forwarded-user"
ADA = (HEADER, b"ada@example.org")


def behind(addresses: str) -> Settings:
    return Settings(_env_file=None, auth="proxy", proxy_addresses=addresses)  # type: ignore[call-arg]


def let_through(settings: Settings, client: tuple[str, int] | None, *headers: tuple[bytes, bytes], kind: str) -> Any:
    """The headers that the app sees."""
    seen: list[Any] = []

    async def app(scope: Any, *_: Any) -> None:
        seen.extend(scope["headers"])

    scope = {"type": kind, "client": client, "headers": [(b"host", b"here"), *headers]}
    asyncio.run(ProxyHeader(app, settings)(scope, None, None))  # type: ignore[arg-type]
    return seen[1:]


@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_the_header_counts_from_the_proxy_alone_and_only_once(kind: str) -> None:
    settings = behind("10.0.0.7, 192.168.1.0/24, 2001:db8::1")
    for proxy in ("10.0.0.7", "192.168.1.9", "2001:db8::1", "::ffff:10.0.0.7"):
        assert let_through(settings, (proxy, 1), ADA, kind=kind) == [ADA]
        assert let_through(settings, (proxy, 1), ADA, (b"X-Forwarded-User", b"eve"), kind=kind) == []
    for stranger in (("10.0.0.8", 1), ("127.0.0.1", 1), ("nonsense", 1), None):
        assert let_through(settings, stranger, ADA, kind=kind) == []


def test_sign_in_by_proxy_does_not_start_without_the_proxys_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFROUTE_AUTH", "proxy")
    with pytest.raises(InvalidInput, match="needs the proxy's address"):
        load_settings()
    monkeypatch.setenv("PREFROUTE_PROXY_ADDRESSES", "the proxy")
    with pytest.raises(InvalidInput, match="PREFROUTE_PROXY_ADDRESSES"):
        load_settings()


@pytest.fixture
def by_proxy(url: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[Mapping[str, str]], None]:
    """by_proxy(headers): what the proxy says from now on."""
    monkeypatch.setenv("PREFROUTE_AUTH", "proxy")
    monkeypatch.setenv("PREFROUTE_PROXY_ADDRESSES", "127.0.0.1")
    monkeypatch.setenv("PREFROUTE_ADMINS", "root@example.org, Boss")

    def says(headers: Mapping[str, str]) -> None:
        monkeypatch.setattr(type(st.context), "headers", property(lambda _: headers))

    says({})
    return says


def test_whom_the_proxy_names_is_in_as_a_rater_and_who_is_listed_as_an_administrator(
    open_page: Open, database: Database, by_proxy: Callable[[Mapping[str, str]], None]
) -> None:
    app = open_page("welcome")
    assert "a proxy, and it named nobody" in words(app) and not app.text_input and not app.button
    assert "Say who you are first" in words(open_page("rate"))
    by_proxy({"x-forwarded-user": " ada@example.org "})
    app = open_page("welcome")
    assert "What is stored, and who sees it" in words(app) and "Role: rater" in words(app)
    assert not any(found.label == "Sign out" for found in app.button)
    assert "This page is for people with the role 'admin'" in words(open_page("settings"))
    by_proxy({"x-forwarded-user": "Boss"})
    app.run()  # another person on the same socket is another person
    assert "Role: admin" in words(app) and People(database).get(UserId("Boss")).role == Role.ADMIN
    by_proxy({})
    assert "it named nobody" in words(app.run())
    assert [row.person.name for row in People(database).list()] == ["Boss", "ada@example.org"]


def test_a_provider_vouches_by_a_verified_address_or_by_the_claim_that_was_set(
    open_page: Open, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFROUTE_AUTH", "oidc")
    said: dict[str, Any] = {"is_logged_in": False}
    monkeypatch.setattr(st, "user", said)
    app = open_page("welcome")
    assert button(app, "Sign in") and "Not signed in" in words(app)
    said |= {"is_logged_in": True, "email": "ada@example.org", "sub": "4711"}
    for unverified in (None, False, "false"):
        said["email_verified"] = unverified
        assert "gives no name that counts here" in words(open_page("welcome"))
    assert People(database).list() == []
    said["email_verified"] = True
    assert "Signed in as" in words(open_page("welcome"))
    monkeypatch.setenv("PREFROUTE_OIDC_CLAIM", "sub")
    st.cache_resource.clear()
    said["email_verified"] = False
    assert "Signed in as" in words(open_page("welcome"))
    assert {row.person.name for row in People(database).list()} == {"ada@example.org", "4711"}


def told(address: str, *named: tuple[str, str]) -> bytes:
    """All that the server sends to a browser that opens the first page, over the socket on which pages come."""
    message, heard = BackMsg(), b""
    message.rerun_script.query_string = ""
    where = f"{address.replace('http', 'ws')}/_stcore/stream"
    with connect(where, additional_headers=list(named), subprotocols=[Subprotocol("streamlit")]) as socket:
        socket.send(message.SerializeToString())
        while not heard.endswith(b"the end"):
            frame = socket.recv(timeout=120)
            assert isinstance(frame, bytes)
            ended = ForwardMsg.FromString(frame).WhichOneof("type") == "script_finished"
            heard += frame + (b"the end" if ended else b"")
    return heard


def test_over_the_wire_the_proxys_word_reaches_the_page_and_a_forged_second_one_does_not(tmp_path: Path) -> None:
    settings = {"PREFROUTE_AUTH": "proxy", "PREFROUTE_PROXY_ADDRESSES": "127.0.0.1", "PREFROUTE_ADMINS": "Boss"}
    database = f"sqlite:///{tmp_path / 'app.db'}"
    with serving(database, tmp_path / "log", PREFROUTE_DEMO="false", **settings) as address:
        assert b"Role: admin" in told(address, ("X-Forwarded-User", "Boss"))
        assert b"it named nobody" in told(address)
        assert b"it named nobody" in told(address, ("X-Forwarded-User", "eve"), ("X-Forwarded-User", "Boss"))
        # The address that counts is the connection's own, whatever a header says of it.
        assert b"Role: admin" in told(address, ("X-Forwarded-User", "Boss"), ("X-Forwarded-For", "203.0.113.9"))
