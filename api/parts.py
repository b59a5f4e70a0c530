"""What the routes stand on, made once per process, and the names by which LLMs and routers are asked for."""

import re
from dataclasses import dataclass

from api.access import Access, Limits
from api.desk import Desk
from api.errors import ApiError
from api.metrics import Metrics
from core.domain import LLM, LLMId, UserId
from core.encoders import SentenceEncoder, TextEncoder
from core.providers import Providers
from core.settings import Settings
from db.answers import StoredResponses
from db.calls import CallLedger
from db.decisions import Decisions
from db.embeddings import CachedEncoder
from db.engine import Database
from db.keys import ApiKeys
from db.live import LiveRouting, Wanted
from db.preferences import PreferenceStore
from db.routers import RouterRegistry
from db.serving import Serving

ROUTER = re.compile(r"prefroute(?:-(?P<version>\d{1,9}))?(?::(?P<alpha>.*))?", re.DOTALL)


@dataclass(frozen=True)
class Parts:
    """Every part is safe to share between threads; `desk` and `access` belong to the one event loop that serves."""

    store: PreferenceStore
    registry: RouterRegistry
    decisions: Decisions
    live: LiveRouting
    desk: Desk
    providers: Providers
    access: Access
    metrics: Metrics

    @classmethod
    def over(cls, database: Database, settings: Settings, encoder: TextEncoder | None = None) -> "Parts":
        """Everything, over one database."""
        encoder = encoder or CachedEncoder(SentenceEncoder(settings.encoder), database)
        serving = Serving(database, encoder)
        live = LiveRouting(database, serving, settings.exploration)
        return cls(
            PreferenceStore(database), RouterRegistry(database), Decisions(database), live, Desk(live),
            Providers(settings.providers, StoredResponses(database, encoder), CallLedger(database)),
            Access(ApiKeys(database), Limits()), Metrics(),
        )  # fmt: skip

    def llm(self, name: str) -> LLM | None:
        """The LLM of this name."""
        return next((llm for llm in self.store.llms() if llm.llm_id == name), None)


def wanted(model: str, user: str, allowed: tuple[str, ...] = ()) -> Wanted | None:
    """What a model name asks of a router; None where it names none. Raises ApiError 422 for an alpha that is none."""
    match = ROUTER.fullmatch(model)
    if match is None:
        return None
    version, alpha = match["version"], match["alpha"]
    return Wanted(
        UserId(user), 0.0 if alpha is None else _alpha(alpha), int(version) if version else None,
        tuple(LLMId(name) for name in allowed),
    )  # fmt: skip


def _alpha(text: str) -> float:
    try:
        alpha = float(text)
    except ValueError:
        alpha = float("nan")
    if not 0 <= alpha <= 1:
        raise ApiError(422, "The alpha after ':' must be a number from 0 (taste alone) to 1 (the cheapest).",
                       "invalid_alpha", "model")  # fmt: skip
    return alpha


def no_such_model(name: str) -> ApiError:
    """404, as OpenAI says it."""
    return ApiError(404, f"There is no model '{name[:120]}'. GET /v1/models lists them.", "model_not_found", "model")
