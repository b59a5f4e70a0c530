"""The tables. One import place: what a row means is said here once, and what must never be false is a constraint here.

Deletion is rare (`PreferenceStore.remove_source`, erasure of a person) and spelled out there: no foreign key cascades.
"""

from db.models.campaigns import (
    CampaignRow,
    DraftRow,
    FlagReason,
    FlagResolution,
    FlagRow,
    OptionRow,
    RatingDetailRow,
)
from db.models.datasets import DatasetVersionRow, ExportKeyRow
from db.models.live import ApiKeyRow, ProviderCallRow
from db.models.material import LLMRow, QueryRow, ResponseRow, TaskRow, TextEmbeddingRow
from db.models.people import AuditEventRow, BrowserSessionRow, ConsentRow, InviteRow, ProfileRow, Role, UserRow
from db.models.quality import AdjudicationRow, DriftChoice, DriftChoiceRow, GoldRow, Measure, MeasureRow
from db.models.ratings import AssignmentRow, AssignmentStatus, ComparisonRow, EventKind
from db.models.routing import (
    AutoTrainingRow,
    RouterActivationRow,
    RouterVersionRow,
    RoutingDecisionRow,
    RunLogRow,
    RunStatus,
    TrainingProgressRow,
    TrainingRunRow,
)

__all__ = [
    "AdjudicationRow",
    "ApiKeyRow",
    "AssignmentRow",
    "AssignmentStatus",
    "AuditEventRow",
    "AutoTrainingRow",
    "BrowserSessionRow",
    "CampaignRow",
    "ComparisonRow",
    "ConsentRow",
    "DatasetVersionRow",
    "DraftRow",
    "DriftChoice",
    "DriftChoiceRow",
    "EventKind",
    "ExportKeyRow",
    "FlagReason",
    "FlagResolution",
    "FlagRow",
    "GoldRow",
    "InviteRow",
    "LLMRow",
    "Measure",
    "MeasureRow",
    "OptionRow",
    "ProfileRow",
    "ProviderCallRow",
    "QueryRow",
    "RatingDetailRow",
    "ResponseRow",
    "Role",
    "RouterActivationRow",
    "RouterVersionRow",
    "RoutingDecisionRow",
    "RunLogRow",
    "RunStatus",
    "TaskRow",
    "TextEmbeddingRow",
    "TrainingProgressRow",
    "TrainingRunRow",
    "UserRow",
]
