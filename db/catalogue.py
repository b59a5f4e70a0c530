"""The LLMs that can be routed to: registering one, and changing what is known of it."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime

from sqlalchemy import select

from core.domain import LLM, LLMId
from core.errors import InvalidInput, NotFound
from core.price_table import priced
from db.audit import note
from db.base import insert_missing, utc_now
from db.engine import Database
from db.events import APP
from db.models import LLMRow
from db.snapshots import llms

EDITABLE = ("name", "family", "description", "input_price", "output_price", "endpoint")


class Catalogue:
    """The LLMs of one database. Every method is one transaction."""

    def __init__(self, database: Database, clock: Callable[[], datetime] = utc_now) -> None:
        self._database = database
        self._clock = clock

    def list(self) -> tuple[LLM, ...]:
        """Every LLM there is."""
        with self._database.read() as session:
            return llms(session)

    def add(self, llm: LLM, *, by: str) -> None:
        """Register an LLM; routers give it a column at once, from its description. Raises InvalidInput where its id is
        taken.
        """
        now = self._clock()
        values = {name: getattr(llm, name) for name in EDITABLE}
        with self._database.write() as session:
            made = insert_missing(session, LLMRow).values(**values, key=llm.llm_id, source=APP, created_at=now)
            if session.scalar(made.returning(LLMRow.id)) is None:
                raise InvalidInput(f"There is an LLM '{llm.llm_id}' already; nothing was changed. Edit that one.")
            note(session, now, by, "llm_add", llm.llm_id, **asdict(llm))

    def edit(self, llm: LLM, *, by: str) -> None:
        """Set all that is known of an LLM to this; its id, its responses and its ratings stay. Raises NotFound."""
        now = self._clock()
        with self._database.write() as session:
            row = session.scalar(select(LLMRow).where(LLMRow.key == llm.llm_id).with_for_update())
            if row is None:
                raise NotFound(f"There is no LLM '{llm.llm_id}'.")
            changed = {name: getattr(llm, name) for name in EDITABLE if getattr(llm, name) != getattr(row, name)}
            for name, value in changed.items():
                setattr(row, name, value)
            if changed:
                note(session, now, by, "llm_edit", llm.llm_id, **changed)

    def fill_prices(self, *, by: str) -> tuple[LLM, ...]:
        """Give every LLM without a price the one on the shipped list (`core.price_table`), where there is one; those
        that got one. A price that somebody gave is never changed.
        """
        filled = priced(self.list())
        for llm in filled:
            self.edit(llm, by=by)
        return filled


def find(known: tuple[LLM, ...], name: str) -> LLM:
    """The one called so. Raises NotFound."""
    for llm in known:
        if llm.llm_id == LLMId(name):
            return llm
    raise NotFound(f"There is no LLM '{name[:120]}'.")
