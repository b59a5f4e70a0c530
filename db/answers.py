"""StoredResponses: an LLM's own stored response to the query most like the one asked."""

import threading
from typing import Any

import numpy as np
from sqlalchemy import func, select

from core.domain import LLMId, Query, QueryId, Response
from core.encoders import TextEncoder, Vectors
from core.providers.stored import Stored
from db.engine import Database
from db.events import APP
from db.models import LLMRow, QueryRow, ResponseRow, TaskRow


class StoredResponses:
    """Fulfils `core.providers.StoredAnswers`. The queries' vectors are kept in memory until responses come or go."""

    def __init__(self, database: Database, encoder: TextEncoder) -> None:
        self._database, self._encoder = database, encoder
        self._lock = threading.Lock()
        self._known: dict[LLMId, tuple[object, list[int], Vectors]] = {}

    def nearest(self, llm: LLMId, text: str) -> Stored | None:
        """See `StoredAnswers`. Of equally like queries the first stored; of several responses to it the newest."""
        ids, vectors = self._queries_of(llm)
        if not ids:
            return None
        likeness = vectors @ self._encoder.encode([text])[0]  # [Q]
        best = int(likeness.argmax())
        return self._read(llm, ids[best], float(likeness[best]))

    def _queries_of(self, llm: LLMId) -> tuple[list[int], Vectors]:
        # Without what was written live for someone: it answers that person's own prompt, which others must not see.
        of_llm = (ResponseRow.llm_id == select(LLMRow.id).where(LLMRow.key == llm).scalar_subquery()) & (
            ResponseRow.source != APP
        )
        with self._database.read() as session:
            fact = tuple(session.execute(select(func.count(), func.max(ResponseRow.id)).where(of_llm)).one())
            with self._lock:
                known = self._known.get(llm)
            if known is not None and known[0] == fact:
                return known[1], known[2]
            answered = select(ResponseRow.query_id).where(of_llm)
            rows: list[Any] = list(
                session.execute(
                    select(QueryRow.id, QueryRow.turns).where(QueryRow.id.in_(answered)).order_by(QueryRow.id)
                )
            )
        vectors = self._encoder.encode(["\n\n".join(turns) for _, turns in rows])
        ids = [number for number, _ in rows]
        with self._lock:
            self._known[llm] = fact, ids, np.ascontiguousarray(vectors)
        return ids, vectors

    def _read(self, llm: LLMId, query_id: int, likeness: float) -> Stored | None:
        with self._database.read() as session:
            row = session.execute(
                select(QueryRow.key, QueryRow.turns, TaskRow.name, ResponseRow.turns)
                .select_from(ResponseRow)
                .join(QueryRow, QueryRow.id == ResponseRow.query_id)
                .join(LLMRow, LLMRow.id == ResponseRow.llm_id)
                .outerjoin(TaskRow, TaskRow.id == QueryRow.task_id)
                .where(QueryRow.id == query_id, LLMRow.key == llm, ResponseRow.source != APP)
                .order_by(ResponseRow.id.desc())
                .limit(1)
            ).one_or_none()
        if row is None:  # removed since
            return None
        key, turns, task, said = row
        query = Query(QueryId(key), tuple(turns), task or "")
        return Stored(query, Response(query.query_id, llm, tuple(said)), likeness)
