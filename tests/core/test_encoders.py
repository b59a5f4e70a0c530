"""The bundled text encoder against the same files without its shortcuts, and what cannot be loaded."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core import encoders
from core.encoders import SentenceEncoder
from core.errors import CorruptArtifact, InvalidInput

TEXTS = (
    "Why is the sky blue?",
    "",
    "   \n\t ",
    "tax " * 20,
    "a much longer letter about an engine, a violin and the rain. " * 40,  # more than the 256 tokens that are read
    "Grüße aus Köln: naïve café, 東京で雨が降る, Привет 👋🏽 e\u0301",
    "[SEP] [MASK] [CLS] <s> \x00 \ufffd {\"json\": [1, 2.5e-3]}",
    "def f(x):\n    return x ** 2  # code",
    "Why is the sky blue",
)  # fmt: skip


@pytest.fixture(scope="module")
def folder() -> Path:
    return encoders._bundled_path()


@pytest.fixture(scope="module")
def reference(folder: Path) -> Any:
    """The same files, read as any other model is."""
    return SentenceEncoder(str(folder))


def _furthest(a: Any, b: Any) -> float:
    return float(np.abs(np.asarray(a) - np.asarray(b)).max())


def test_the_bundled_encoder_makes_what_its_files_give_as_any_other_model(reference) -> None:
    made = SentenceEncoder().encode(TEXTS)
    assert made.shape == (len(TEXTS), 384)
    assert made.dtype == np.float32
    assert _furthest(made, reference.encode(TEXTS)) < 1e-5


def test_an_import_and_a_prompt_get_the_same_vector_of_a_text() -> None:
    encoder = SentenceEncoder()
    many = [*TEXTS, *(f"rain {'soup ' * (i % 9)}{i}" for i in range(40))]  # more than are read together
    together = encoder.encode(many)
    assert _furthest(together, [encoder.encode([text])[0] for text in many]) < 1e-5
    assert np.abs(np.linalg.norm(together, axis=1) - 1).max() < 1e-5


def test_a_processor_without_packed_weights_makes_the_same_vectors(monkeypatch) -> None:
    packed = SentenceEncoder().encode(TEXTS)
    monkeypatch.setattr("core.packed_linear.can_pack", lambda: False)
    assert _furthest(packed, SentenceEncoder().encode(TEXTS)) < 1e-5


def test_no_text_gives_no_vector_and_a_named_model_tells_its_own_width(reference) -> None:
    assert SentenceEncoder().encode([]).shape == (0, 384)
    assert reference.encode([]).shape == (0, reference.dim) == (0, 384)


def test_the_bundled_encoder_does_not_load_weights_that_are_not_its_authors(monkeypatch) -> None:
    monkeypatch.setattr(encoders, "BUNDLED_SHA256", "0" * 64)
    with pytest.raises(CorruptArtifact, match="published SHA-256"):
        encoders._bundled_path()


def test_a_folder_that_holds_no_model_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="PREFROUTE_ENCODER"):
        SentenceEncoder(str(tmp_path)).encode(["text"])
