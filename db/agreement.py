"""How often one person agrees: with others about the same two responses, and with themselves when asked again."""

from sqlalchemy import ColumnElement, and_, case, func, or_, select
from sqlalchemy.orm import aliased

from core.domain import Outcome, UserId
from core.habits import Share, wilson
from db.engine import Database
from db.events import in_force
from db.models import ComparisonRow, UserRow

_OTHER, _LATER = aliased(ComparisonRow), aliased(ComparisonRow)
_SAME = and_(
    _OTHER.query_id == ComparisonRow.query_id,
    _OTHER.response_a_id == ComparisonRow.response_a_id,
    _OTHER.response_b_id == ComparisonRow.response_b_id,
)
_SWAPPED = and_(
    _OTHER.query_id == ComparisonRow.query_id,
    _OTHER.response_a_id == ComparisonRow.response_b_id,
    _OTHER.response_b_id == ComparisonRow.response_a_id,
)


def with_others(database: Database, user: UserId) -> Share:
    """Of this person's decisive ratings that other people rated decisively too: how many agree with most of them.

    Each rating counts once, however many others there are; where they are evenly split it does not count. Simulated
    users are nobody's peers and are left out.
    """
    people = _OTHER.user_id.in_(select(UserRow.id).where(~UserRow.simulated))
    return _share(database, user, and_(_OTHER.user_id != ComparisonRow.user_id, people))


def with_oneself(database: Database, user: UserId) -> Share:
    """Of the pairs this person was asked again and preferred a response both times: how often the same one."""
    again = and_(_OTHER.user_id == ComparisonRow.user_id, _OTHER.assignment_id < ComparisonRow.assignment_id)
    return _share(database, user, again)


def _share(database: Database, user: UserId, whose: ColumnElement[bool]) -> Share:
    said = (Outcome.A, Outcome.B)
    agrees = or_(
        and_(_SAME, _OTHER.outcome == ComparisonRow.outcome), and_(_SWAPPED, _OTHER.outcome != ComparisonRow.outcome)
    )
    superseded = select(_LATER.id).where(_LATER.supersedes_id == _OTHER.id).exists()
    balance = func.sum(case((agrees, 1), else_=-1))
    each = (
        select(balance.label("balance"))
        .select_from(ComparisonRow)
        .join(_OTHER, and_(or_(_SAME, _SWAPPED), _OTHER.outcome.in_(said), whose, ~superseded))
        .where(
            ComparisonRow.user_id == select(UserRow.id).where(UserRow.name == user).scalar_subquery(),
            ComparisonRow.outcome.in_(said),
            in_force(),
        )
        .group_by(ComparisonRow.id)
        .having(balance != 0)
        .subquery()
    )
    counted = select(func.coalesce(func.sum(case((each.c.balance > 0, 1), else_=0)), 0), func.count()).select_from(each)
    with database.read() as session:
        agreed, n = session.execute(counted).one()
    return wilson(int(agreed), n)
