"""The one family of errors whose message may be shown to a person.

Every message says what happened, what was kept and what to do next. Anything that is not a `PrefRouteError` is a bug:
it goes to the log under a reference id, and the person sees only that id.
"""

from enum import StrEnum


class PrefRouteError(Exception):
    """Base of every error that people may read. `str(error)` holds no secret, no path of the server and no one else's
    text.
    """


class InvalidInput(PrefRouteError):
    """A value from outside breaks a rule of the domain; nothing was stored."""


class NotFound(PrefRouteError):
    """A user, query, LLM, run or router version that was named does not exist."""


class NotAllowed(PrefRouteError):
    """The person lacks the role, or does not own the thing."""


class UnreadableFile(PrefRouteError):
    """A file to import cannot be read at all (truncated, wrong columns, wrong encoding); nothing was stored."""


class NotEnoughData(PrefRouteError):
    """A router or an evaluation lacks ratings; the message says which and how many."""


class CorruptArtifact(PrefRouteError):
    """A router version's bytes do not match their SHA-256 or cannot be decoded; other versions and all ratings are
    untouched.
    """


class NewerDatabase(PrefRouteError):
    """The database was migrated by a later release than this code."""


class DatabaseUnavailable(PrefRouteError):
    """The database cannot be opened or written."""


class RunActive(PrefRouteError):
    """A training run is already queued or running; only one may be."""


class PromotionRefused(PrefRouteError):
    """A router version is not shown to be better than what is in service; it serves only with a person's reason."""


class TrainingCancelled(PrefRouteError):
    """Raised through the training loop when the person who started it asked to stop."""


class FailureKind(StrEnum):
    """Why a provider gave no answer. Persisted by value."""

    KEY_MISSING = "key_missing"
    NO_ENDPOINT = "no_endpoint"
    RATE_LIMIT = "rate_limit"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    GARBAGE = "garbage"
    REFUSED = "refused"
    OVER_BUDGET = "over_budget"
    BUSY = "busy"
    TOO_LONG = "too_long"


class ProviderFailed(PrefRouteError):
    """An LLM's provider gave no answer, or broke off. Never holds a key, nor what the provider wrote about it."""

    def __init__(self, message: str, kind: FailureKind) -> None:
        super().__init__(message)
        self.kind = kind
