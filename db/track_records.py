"""How right a published router was about one person, on ratings of theirs that its training has not seen."""

from core.dataset import PreferenceDataset
from core.domain import UserId
from core.holdout import Holdout
from core.track_record import TrackRecord, track_record
from db.routers import RouterVersion
from db.serving import Serving


def record_of(serving: Serving, version: RouterVersion, user: UserId, own: PreferenceDataset) -> TrackRecord:
    """The record about a person with these `own` ratings. Raises NotFound and CorruptArtifact.

    Not seen by the training are ratings of the queries that it held out, and all that were given since the version was
    published.
    """
    unseen = own.time > version.created_at.timestamp()
    held_out = Holdout.from_card(version.card)
    if held_out is not None and len(own):
        unseen |= held_out.unseen(own)
    return track_record(serving.version(version.id).router, user, own, unseen)
