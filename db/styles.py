"""How the answers that a person compared were written: what a style profile is made of."""

from collections.abc import Mapping

import numpy as np
from sqlalchemy import select

from core.domain import UserId
from core.style_profile import StyleEffect, style_profile
from core.traits import style
from db.base import parts
from db.engine import Database
from db.events import in_force
from db.models import ComparisonRow, ResponseRow, UserRow
from db.preferences import PreferenceStore
from db.serving import Serving

MOST_RATINGS = 300  # the newest: texts are read whenever a profile is shown


def profile(database: Database, serving: Serving, user: UserId) -> tuple[StyleEffect, ...]:
    """What a person likes in how answers are written, beside the average person under the router in service; empty
    where too few ratings tell.
    """
    said = PreferenceStore(database).history(user)
    said = said.where(np.arange(max(len(said) - MOST_RATINGS, 0), len(said)))
    if not len(said):
        return ()
    styles = _differences(database, user)
    known = np.array([int(i) in styles for i in said.ids])
    said = said.where(known)
    difference = np.array([styles[int(i)] for i in said.ids], float).reshape(-1, 4)
    router = serving.service().router
    column = {llm: i for i, llm in enumerate(router.llms)}
    a, b = (np.array([column.get(said.llms[i].llm_id, -1) for i in side], int) for side in (said.llm_a, said.llm_b))
    asked = router.predict_proba(UserId(""), [said.queries[q] for q in said.query])  # [N, L]
    score = np.log(np.maximum(asked, 1e-12))
    rows = np.arange(len(said))
    usual = np.where((a >= 0) & (b >= 0), score[rows, a] - score[rows, b], 0.0)
    return style_profile(said.llm_a, said.llm_b, said.label, difference, usual)


def _differences(database: Database, user: UserId) -> Mapping[int, tuple[int, ...]]:
    """The style of A's answer minus that of B's, by the id of the rating."""
    person = select(UserRow.id).where(UserRow.name == user).scalar_subquery()
    it = ComparisonRow
    statement = select(it.id, it.response_a_id, it.response_b_id).where(it.user_id == person, in_force())
    with database.read() as session:
        shown = session.execute(statement.order_by(it.id.desc()).limit(MOST_RATINGS)).all()
        written = {
            row.id: style(row.turns[-1])
            for part in parts(sorted({response for _, a, b in shown for response in (a, b)}))
            for row in session.execute(select(ResponseRow.id, ResponseRow.turns).where(ResponseRow.id.in_(part)))
        }
    return {
        rating: tuple(left - right for left, right in zip(written[a], written[b], strict=True))
        for rating, a, b in shown
        if a in written and b in written
    }
