"""Providers: how an LLM is asked. `Providers.ask` and `Providers.answer` are the way in."""

from core.providers.addresses import KNOWN, Provider
from core.providers.providers import Availability, Providers
from core.providers.replies import Ledger, Message, NoLedger, Reply, Stream
from core.providers.stored import STORED, Stored, StoredAnswers

__all__ = [
    "KNOWN",
    "STORED",
    "Availability",
    "Ledger",
    "Message",
    "NoLedger",
    "Provider",
    "Providers",
    "Reply",
    "Stored",
    "StoredAnswers",
    "Stream",
]
