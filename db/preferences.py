"""PreferenceStore: who was asked what, what they said, and all of it as a snapshot. Every method is one transaction."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from random import Random
from typing import Any, Literal, TypeVar

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.answers import Detail
from core.campaigns import Kind
from core.dataset import PreferenceDataset
from core.domain import LLM, Bundle, Comparison, LLMId, Outcome, Query, Response, User, UserId
from core.errors import InvalidInput, NotAllowed
from core.matchmaking import Suggestion
from db import assignments, bundles, choices, drafts, events, flags, leases, pools, removal, snapshots
from db.assignments import Assignment
from db.audit import note
from db.base import utc_now
from db.bundles import ImportReport, Preview
from db.campaigns import Campaign
from db.draws import Reply
from db.engine import Database
from db.models import (
    AssignmentRow,
    AssignmentStatus,
    AuditEventRow,
    ComparisonRow,
    FlagReason,
    LLMRow,
    MeasureRow,
    QueryRow,
    UserRow,
)
from db.posed import Posed, close, posed
from db.removal import Removed
from db.standing import PENDING, refuse

T = TypeVar("T")
_Append = Callable[[Session, Posed, datetime, float], tuple[str, Outcome]]

NOTHING_BESIDE = Detail()
RECENT = 50  # ratings whose pace is told as "about 9 s each"


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of a rating; `outcome` is what is stored now, None where nothing is.

    "extra": saved, though the lease was over and somebody else has its place.
    """

    status: Literal["saved", "extra", "already_saved", "too_quick"]
    outcome: Outcome | None


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a user stands: ratings in force, those of today, queries left, seconds for one (None before the first).

    Of a campaign `done` is what the user answered there, and `available` no more than their quota leaves.
    """

    rated: int
    today: int
    done: int
    available: int
    seconds_each: float | None


class PreferenceStore:
    """Assignments, ratings and bundles of one database. Shared between threads; holds no state of its own."""

    def __init__(
        self, database: Database, clock: Callable[[], datetime] = utc_now, rng: Random | None = None,
        suggest: Callable[[UserId], Sequence[Suggestion[Reply]]] = lambda _: (),
    ) -> None:  # fmt: skip
        """`suggest` names pairs that would tell most about a user; it is asked before the transaction of a draw."""
        self._database = database
        self._clock = clock
        self._rng = rng or Random()
        self._suggest = suggest

    def assign(self, user: UserId) -> Assignment | None:
        """What this user is asked now; the same until it is rated or skipped, for every tab, thread and restart.

        A new pair is drawn and written before it is returned. None when nothing is left. Raises NotFound,
        and NotAllowed for someone whose rating is paused.
        """
        now = self._clock()
        with self._database.glance() as connection:  # most calls are reruns of a page, which need not wait for a writer
            shown = assignments.open_assignment(connection, user)
        if shown is not None and (shown.campaign.plan.overlap is None or shown.leased_until >= now):
            return shown
        suggestions = self._suggest(user)
        with self._database.write() as session:
            return assignments.ensure_open(session, user, now, self._rng, suggestions)

    def next_free(self, user: UserId) -> datetime | None:
        """When to ask again where `assign` gave None: the end of the first lease others hold on what is left.

        None where nothing is left at all.
        """
        with self._database.read() as session:
            row = session.scalar(select(UserRow).where(UserRow.name == user))
            return assignments.next_free(session, row, self._clock()) if row else None

    def record(
        self, user: UserId, token: str, outcome: Outcome, *, minimum_dwell: float, detail: Detail = NOTHING_BESIDE
    ) -> Recorded:
        """Store the answer to an assignment, once: a repeat changes nothing and is told what is stored.

        Before `minimum_dwell` seconds nothing is stored but an audit event. Raises NotFound for an unknown token,
        NotAllowed for someone else's and while rating is paused for this user, and InvalidInput for a detail that the
        campaign does not ask.
        """

        def append(session: Session, posed: Posed, now: datetime, dwell: float) -> tuple[str, Outcome]:
            if posed.campaign.plan.kind is not Kind.PAIR:
                raise InvalidInput("More than two responses are shown: choose the best. Nothing was saved; reload.")
            detail.check(posed.campaign.plan, outcome)
            return events.append_rating(session, posed, outcome, now, dwell, detail), outcome

        return self._record(user, token, append, minimum_dwell, outcome=outcome)

    def record_choice(
        self, user: UserId, token: str, best: int, worst: int | None = None, *, minimum_dwell: float
    ) -> Recorded:
        """Store which of several responses is best, and if asked which is worst, by their places from 0, once.

        As `record` does; the outcome is that of the first comparison it became.
        """

        def append(session: Session, posed: Posed, now: datetime, dwell: float) -> tuple[str, Outcome]:
            plan = posed.campaign.plan
            if plan.kind is Kind.PAIR or (worst is not None) > (plan.kind is Kind.BEST_WORST):
                raise InvalidInput("This campaign does not ask that; nothing was saved. Reload.")
            return choices.append(session, posed, best, worst, now, dwell)

        return self._record(user, token, append, minimum_dwell, best=best, worst=worst)

    def _record(self, user: UserId, token: str, append: _Append, minimum_dwell: float, **said: object) -> Recorded:
        now = self._clock()
        with self._database.write() as session:
            asked = posed(session, user, token)
            if asked.status in assignments.CLOSED:
                stored = events.last_of(session, asked.id)
                return Recorded("already_saved", stored.outcome if stored else None)
            refuse(asked.pause)
            dwell = (now - asked.shown_at).total_seconds()
            if dwell < minimum_dwell:
                note(session, now, user, "too_quick", token, dwell=dwell, **said)
                return Recorded("too_quick", None)
            extra = leases.lost(session, asked, now)
            key, outcome = append(session, asked, now, dwell)
            close(session, asked, AssignmentStatus.RATED, now, extra=extra)
            if asked.drafted:
                drafts.drop(session, asked.id)
            note(session, now, user, "rate", key, assignment=token)
            return Recorded("extra" if extra else "saved", outcome)

    def skip(self, user: UserId, token: str) -> None:
        """Put an assignment aside until everything else is rated. One that is closed already stays as it is."""
        now = self._clock()
        with self._database.write() as session:
            row = assignments.locked_user(session, user)
            assignment = assignments.own_assignment(session, row, token)
            if assignment.status in PENDING:
                assignment.status, assignment.closed_at = AssignmentStatus.SKIPPED, now
                note(session, now, user, "skip", token)

    def flag(self, user: UserId, token: str, reason: FlagReason, text: str = "") -> None:
        """Put an assignment aside for good and say what is wrong with it; two people's flags pause its query.

        One that is closed already stays as it is. Raises InvalidInput for a note over 2,000 characters.
        """
        now = self._clock()
        with self._database.write() as session:
            row = assignments.locked_user(session, user)
            assignment = assignments.own_assignment(session, row, token)
            if assignment.status in PENDING:
                flags.raise_flag(session, assignment, reason, text, now)
                assignment.status, assignment.closed_at = AssignmentStatus.FLAGGED, now
                drafts.drop(session, assignment.id)
                note(session, now, user, "flag", token, reason=reason)

    def save_draft(self, user: UserId, token: str, body: Mapping[str, Any]) -> None:
        """Keep what was chosen and written but not sent. Of an answered pair nothing is kept: what was sent wins."""
        with self._database.write() as session:
            row = assignments.locked_user(session, user)
            assignment = assignments.own_assignment(session, row, token)
            if assignment.status in PENDING:
                drafts.keep(session, assignment, body, self._clock())

    def draft(self, user: UserId, token: str) -> dict[str, Any]:
        """What `save_draft` kept of an assignment; empty where there is nothing."""
        with self._database.read() as session:
            return drafts.of(session, user, token)

    def resume(self, user: UserId, token: str) -> None:
        """Show a skipped or waiting pair now, before whatever is on the screen. One that is on it already stays there.

        Raises NotFound, NotAllowed, and InvalidInput where its query was rated meanwhile.
        """
        now = self._clock()
        with self._database.write() as session:
            row = assignments.locked_user(session, user)
            assignment = assignments.own_assignment(session, row, token)
            if assignment.status == AssignmentStatus.OPEN:
                return
            if assignment.status == AssignmentStatus.WAITING:
                assignments.reopen(session, assignment, now)
                return
            left = pools.unrated(row.id, skipped=True).where(QueryRow.id == assignment.query_id)
            if assignment.status != AssignmentStatus.SKIPPED or session.scalar(left) is None:
                raise InvalidInput("This one was rated meanwhile; nothing was changed.")
            if not assignments.on_screen(session, row, assignment.query_id):
                assignments.reopen(session, assignment, now)
                note(session, now, user, "resume", token)

    def undo(self, user: UserId) -> Assignment | None:
        """Take back the newest answer or skip and show its pair again, up to ten steps; None where there is none."""
        now = self._clock()
        with self._database.write() as session:
            row = assignments.locked_user(session, user)
            assignment = assignments.last_closed(session, row)
            if assignment is None:
                return None
            if not assignments.campaign_of(session, assignment).open:
                raise NotAllowed(events.CLOSED)
            for said in events.lasts_of(session, assignment.id):
                if said.outcome is not None:
                    events.append_change(session, said, None, now)
            flags.take_back(session, assignment, user, now)
            assignments.reopen(session, assignment, now)
            note(session, now, user, "undo", assignment.token)
            return assignments.open_assignment(session, user)

    def edit(self, user: UserId, comparison_key: str, outcome: Outcome) -> None:
        """Change an answer, keeping both versions. Raises NotFound, NotAllowed, InvalidInput when changed meanwhile."""
        self._change(user, comparison_key, outcome)

    def withdraw(self, user: UserId, comparison_key: str) -> None:
        """Take an answer back without being asked again; it no longer counts. Raises as `edit` does."""
        self._change(user, comparison_key, None)

    def _change(self, user: UserId, key: str, outcome: Outcome | None) -> None:
        now = self._clock()
        with self._database.write() as session:
            author = assignments.locked_user(session, user)
            if events.change(session, author, key, outcome, now):
                note(session, now, user, "edit" if outcome else "withdraw", key)

    def revealed(self, user: UserId, token: str) -> tuple[str, str] | None:
        """The names of the two LLMs of an answered pair where its campaign tells them at once, else None."""
        with self._database.read() as session:
            return assignments.revealed(session, user, token)

    def progress(self, user: UserId, since: datetime | None = None, campaign: Campaign | None = None) -> Progress:
        """Where this user stands, in one campaign or in all. "Today" begins at `since`, else at midnight UTC."""
        midnight = since or self._clock().replace(hour=0, minute=0, second=0, microsecond=0)
        person = select(UserRow.id).where(UserRow.name == user).scalar_subquery()
        mine = select(func.count()).where(ComparisonRow.user_id == person, events.in_force())
        pool = pools.in_campaign(campaign, person) if campaign else pools.unrated(person)
        left = select(func.count()).select_from(pool.subquery())
        answered = select(func.count(AssignmentRow.id)).where(
            AssignmentRow.user_id == person, AssignmentRow.status == AssignmentStatus.RATED
        )
        if campaign:
            answered = answered.where(AssignmentRow.campaign_id == campaign.id)
        timed = (ComparisonRow.user_id == person, ComparisonRow.dwell_ms.is_not(None))
        pace = select(ComparisonRow.dwell_ms).where(*timed).order_by(ComparisonRow.id.desc()).limit(RECENT)
        with self._database.read() as session:
            rated, today, available, done = session.execute(
                select(
                    mine.scalar_subquery(),
                    mine.where(ComparisonRow.rated_at >= midnight).scalar_subquery(),
                    left.scalar_subquery(),
                    answered.scalar_subquery(),
                )
            ).one()
            dwells = sorted(dwell for dwell in session.scalars(pace) if dwell is not None)
        # The median: one coffee break must not tell the user that each pair takes four minutes.
        seconds = dwells[len(dwells) // 2] / 1000 if dwells else None
        if campaign and campaign.plan.quota is not None:
            available = min(available, max(campaign.plan.quota - done, 0))
        return Progress(rated, today, done, available, seconds)

    def snapshot(self, upto: datetime | None = None) -> PreferenceDataset:
        """Everyone's ratings in force over all LLMs; with `upto` as they stood then (by when they were recorded)."""
        with self._database.read() as session:
            return snapshots.everyone(session, upto)

    def history(self, user: UserId, *, whole: bool = False) -> PreferenceDataset:
        """What one user said that is in force and routes them, over all LLMs; empty for a stranger. The `whole` has
        what they said before a change of taste too, where they chose not to be routed by that.
        """
        with self._database.read() as session:
            return snapshots.one_user(session, user, whole=whole)

    def histories(self, users: Sequence[int]) -> PreferenceDataset:
        """What some users said that routes them, by the ids of their rows; users without ratings are there too."""
        with self._database.read() as session:
            return snapshots.some_users(session, users)

    def revision(self) -> str:
        """Changes with every event, measure and LLM that comes or goes: equal revisions, equal snapshots."""
        # Both, because a removal leaves the highest id, and another process may commit a lower one later.
        counted = [
            select(figure).scalar_subquery()
            for row in (ComparisonRow, LLMRow, MeasureRow)
            for figure in (func.coalesce(func.max(row.id), 0), func.count(row.id))
        ]
        counted.append(select(func.count(MeasureRow.lifted_at)).scalar_subquery())
        with self._database.read() as session:
            return "-".join(str(figure) for figure in session.execute(select(*counted)).one())

    def llms(self) -> tuple[LLM, ...]:
        """Every LLM there is, in the order of `snapshot().llms`."""
        with self._database.read() as session:
            return snapshots.llms(session)

    def met(self, llms: Sequence[LLMId]) -> int:
        """How many ratings in force show one of these LLMs or two."""
        ids = select(LLMRow.id).where(LLMRow.key.in_(llms))
        shown = ComparisonRow.llm_a_id.in_(ids) | ComparisonRow.llm_b_id.in_(ids)
        with self._database.read() as session:
            return session.scalar(select(func.count(ComparisonRow.id)).where(shown, events.in_force())) or 0

    def comparisons(self, user: UserId | None = None) -> Iterator[Comparison]:
        """Ratings in force, of everyone or of one user, streamed."""
        return self._streamed(snapshots.comparisons, user)

    def users(self, user: UserId | None = None) -> Iterator[User]:
        """Who gave those ratings, streamed."""
        return self._streamed(snapshots.users, user)

    def queries(self, user: UserId | None = None) -> Iterator[Query]:
        """What those ratings are about, streamed."""
        return self._streamed(snapshots.queries, user)

    def responses(self, user: UserId | None = None) -> Iterator[Response]:
        """Both sides of those ratings, streamed."""
        return self._streamed(snapshots.responses, user)

    def _streamed(self, values: Callable[[Session, UserId | None], Iterator[T]], user: UserId | None) -> Iterator[T]:
        with self._database.read() as session:
            yield from values(session, user)

    def add_file(self, bundle: Bundle, **options: Any) -> ImportReport:
        """`add_bundle` of what a file brought, under a source of its own: two files of one name are two sources."""
        with self._database.read() as session:
            apart = bundles.told_apart(session, bundle)
        return self.add_bundle(apart, **options)

    def add_bundle(
        self, bundle: Bundle, *, dry_run: bool = False, by: str = "import", tell: Callable[[int], None] = lambda _: None
    ) -> ImportReport:
        """Store all of a bundle or nothing; a second time it changes nothing, and a dry run only reports. On SQLite
        whoever rates meanwhile waits. `tell` hears of every batch how many rows it had, and may raise to end it with
        nothing stored. Raises InvalidInput where the bundle contradicts what is here or names what it does not bring.
        """
        now = self._clock()
        with self._database.write(long=True) as session:
            report = bundles.add(session, bundle, now, tell)
            if dry_run:
                session.rollback()
            else:
                counted = {"added": report.added, "skipped": report.skipped, "content": bundles.content_of(bundle)}
                note(session, now, by, bundles.IMPORT, bundle.source, **counted)
            return report

    def preview(self, bundle: Bundle) -> Preview:
        """What `add_bundle` would do, without keeping anyone from writing. Raises InvalidInput where it would."""
        with self._database.read() as session:
            return bundles.preview(session, bundle)

    def pristine(self) -> bool:
        """Whether nothing was ever done here: no user, and not one event in the audit log."""
        with self._database.read() as session:
            return (
                session.scalar(select(UserRow.id).limit(1)) is None
                and session.scalar(select(AuditEventRow.id).limit(1)) is None
            )

    def remove_source(self, source: str, by: str = "import") -> Removed:
        """Delete what one source brought, but for what people's work rests on. Raises InvalidInput for "app"."""
        if source == events.APP:
            raise InvalidInput("What people rated here is not an import and cannot be removed as one.")
        now = self._clock()
        with self._database.write(long=True) as session:
            removed = removal.remove(session, source)
            note(session, now, by, "remove_source", source, comparisons=removed.comparisons)
            return removed
