"""What decisions need is loaded beside the pages, after the first of them."""

import asyncio
import re
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from core.encoders import SentenceEncoder, Vectors
from core.errors import CorruptArtifact
from db.engine import Database
from pages.parts import preload
from pages.parts.context import context
from tests.browser.conftest import serving

SOON = 120.0  # seconds: a busy machine is no failure


@pytest.fixture
def _nobody_came(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preload, "_seen", threading.Event())


def started() -> None:
    """Enter the server's life and leave it, as its event loop would."""

    async def live() -> None:
        async with preload.preloading(None):
            pass

    asyncio.run(live())


def test_the_router_and_the_encoder_are_in_memory_before_anybody_decides(
    trained: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[str] = []
    encode = SentenceEncoder.encode

    def listening(encoder: SentenceEncoder, texts: Sequence[str]) -> Vectors:
        encoded.extend(texts)
        return encode(encoder, texts)

    monkeypatch.setattr(SentenceEncoder, "encode", listening)
    assert preload.preload()
    # Words that nobody used before were read, so the encoder is loaded; those of every query are in the database.
    assert len(encoded) == 1 and encoded[0].startswith("Hello")
    monkeypatch.setattr("db.surveys._asked", lambda *_: pytest.fail("everybody was asked"))
    monkeypatch.setattr("db.serving.load_router", lambda *_: pytest.fail("it is loaded"))
    monkeypatch.setattr("pages.parts.known.raters", lambda *_: pytest.fail("they are known"))
    assert preload.preload() and len(encoded) == 1
    assert context().serving.service().version == 1


def test_before_the_first_training_nothing_is_loaded(demo: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pages.parts.asked.load_once", lambda _: pytest.fail("there is nothing to load"))
    assert not preload.preload()


@pytest.mark.usefixtures("_nobody_came")
def test_loading_waits_for_the_first_page_to_be_run(
    open_page: Callable[..., AppTest], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = threading.Event()
    monkeypatch.setattr(preload, "PATIENCE", 10 * SOON)
    monkeypatch.setattr(preload, "preload", begun.set)
    started()
    assert not begun.wait(0.2)
    open_page("rate")  # which stops in the middle: nobody is signed in
    assert begun.wait(SOON)


@pytest.mark.usefixtures("_nobody_came")
@pytest.mark.parametrize("error", [CorruptArtifact("It is damaged."), RuntimeError("out of memory")])
def test_what_cannot_be_loaded_is_logged_and_the_server_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    def fail() -> bool:
        raise error

    monkeypatch.setattr(preload, "PATIENCE", 0.0)
    monkeypatch.setattr(preload, "preload", fail)
    started()
    for thread in threading.enumerate():
        if thread.name == "preload":
            thread.join(SOON)
    assert "nothing was loaded ahead" in caplog.text and str(error) in caplog.text


def test_a_server_with_a_router_in_service_loads_it_though_nobody_comes(tmp_path: Path, trained_world: Path) -> None:
    (tmp_path / "app.db").write_bytes(trained_world.read_bytes())
    log = tmp_path / "log"
    url = f"sqlite:///{tmp_path / 'app.db'}"
    with serving(url, log, PREFROUTE_DEMO="false", PYTHONPROFILEIMPORTTIME="1"):
        until = time.monotonic() + SOON
        while not re.search(r"\| +sentence_transformers$", log.read_text(), re.MULTILINE):  # the encoder comes last
            assert time.monotonic() < until, log.read_text()[-2000:]
            time.sleep(0.2)
