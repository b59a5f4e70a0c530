"""CachedEncoder: a text encoder that computes each text once and keeps its vector in the database."""

from collections.abc import Sequence

import numpy as np
from sqlalchemy import Connection, select

from core.domain import content_hash
from core.encoders import TextEncoder, Vectors
from core.errors import CorruptArtifact
from db.base import insert_missing, parts, table
from db.engine import Database
from db.models import TextEmbeddingRow

STORED_FLOAT = np.dtype("<f4")
_texts = table(TextEmbeddingRow).c
AT_ONCE = 256  # texts computed between two writes: what is interrupted later need not compute them again


class CachedEncoder:
    """Stands wherever a TextEncoder does. Vectors of two encoders never meet: the key is the text's hash and `id`."""

    def __init__(self, inner: TextEncoder, database: Database) -> None:
        self._inner = inner
        self._database = database

    @property
    def id(self) -> str:
        return self._inner.id

    @property
    def dim(self) -> int:
        return self._inner.dim

    def encode(self, texts: Sequence[str]) -> Vectors:
        """[n, dim]. Computes and stores what is not stored; raises CorruptArtifact for a vector that is no vector."""
        by_hash = {content_hash(text): text for text in texts}
        found = self._stored(list(by_hash))
        missing = [key for key in by_hash if key not in found]
        for start in range(0, len(missing), AT_ONCE):
            keys = missing[start : start + AT_ONCE]
            vectors = self._checked(self._inner.encode([by_hash[key] for key in keys]), len(keys))
            self._store(keys, vectors)
            found |= dict(zip(keys, vectors, strict=True))
        rows = [found[content_hash(text)] for text in texts]
        return np.stack(rows) if rows else np.zeros((0, self.dim), np.float32)

    def _stored(self, keys: Sequence[str]) -> dict[str, Vectors]:
        found: dict[str, Vectors] = {}
        if not keys:
            return found
        with self._database.glance() as connection:
            for part in parts(keys):
                found |= self._read(connection, part)
        return found

    def _read(self, connection: Connection, keys: Sequence[str]) -> dict[str, Vectors]:
        of_these = _texts.text_hash.in_(keys) & (_texts.encoder_id == self.id)
        rows = connection.execute(select(_texts.text_hash, _texts.vector).where(of_these)).all()
        vectors = {key: np.frombuffer(data, STORED_FLOAT) for key, data in rows}
        if any(vector.shape != (self.dim,) for vector in vectors.values()):
            raise CorruptArtifact(
                f"Stored vectors of the text encoder '{self.id}' do not have the {self.dim} numbers it makes now, and "
                "none was used. Give the new encoder another name in PREFROUTE_ENCODER."
            )
        return {key: vector.astype(np.float32) for key, vector in vectors.items()}

    def _checked(self, vectors: Vectors, n: int) -> Vectors:
        if vectors.shape != (n, self.dim) or not np.isfinite(vectors).all():
            raise CorruptArtifact(
                f"The text encoder '{self.id}' did not give {self.dim} finite numbers per text; none was stored."
            )
        return np.ascontiguousarray(vectors, np.float32)

    def _store(self, keys: Sequence[str], vectors: Vectors) -> None:
        stored = vectors.astype(STORED_FLOAT)
        rows = [
            {"text_hash": key, "encoder_id": self.id, "dim": self.dim, "vector": vector.tobytes()}
            for key, vector in zip(keys, stored, strict=True)
        ]
        with self._database.write() as session:  # straight to the connection: an unseen prompt waits for it
            session.connection().execute(insert_missing(session, TextEmbeddingRow), rows)
