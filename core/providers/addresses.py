"""Where an LLM is asked: named providers, and what an LLM's `endpoint` means.

An endpoint is `provider/model`, the provider being one of `KNOWN` or of PREFROUTE_PROVIDERS; or the address of a server
and a model, `http://host:port/v1#model`, which is never given a key: keys belong to named providers, so that whoever
may write an endpoint cannot have a key sent to a host of their choice.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

from core.domain import LLM
from core.errors import FailureKind, ProviderFailed


class Provider(BaseModel):
    """A server that speaks OpenAI's protocol. `key` is the name of the environment variable that holds the key."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base_url: str
    key: str = Field(default="", pattern=r"^([A-Z_][A-Z0-9_]{0,80})?$")
    timeout: float = Field(default=60, gt=0, le=3600, description="Seconds without a byte before giving up.")
    longest: float = Field(default=300, gt=0, le=86400, description="Seconds after which an answer is cut.")
    retries: int = Field(default=2, ge=0, le=10)
    at_once: int = Field(default=8, ge=1, le=1000, description="Calls to one LLM at the same time, in one process.")
    daily_budget: float | None = Field(
        default=None, ge=0, description="US dollars for one LLM in a day (UTC); None: no limit."
    )

    @field_validator("base_url")
    @classmethod
    def _an_address(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
            raise ValueError("a provider's base_url is an http or https address without a user name")
        return url.rstrip("/")


KNOWN: Mapping[str, Provider] = {
    "openai": Provider(base_url="https://api.openai.com/v1", key="OPENAI_API_KEY"),
    "openrouter": Provider(base_url="https://openrouter.ai/api/v1", key="OPENROUTER_API_KEY"),
    "litellm": Provider(base_url="http://127.0.0.1:4000/v1", key="LITELLM_API_KEY"),
    "vllm": Provider(base_url="http://127.0.0.1:8000/v1"),
    "ollama": Provider(base_url="http://127.0.0.1:11434/v1"),
    "lmstudio": Provider(base_url="http://127.0.0.1:1234/v1"),
    "local": Provider(base_url="http://127.0.0.1:8602/v1", at_once=1),  # `python cli.py local`
}


@dataclass(frozen=True, slots=True)
class Address:
    """One LLM at one provider. `name` is how the provider is called on screens, `model` what it calls the LLM."""

    name: str
    provider: Provider
    model: str

    def key(self) -> str:
        """The key from the environment; empty for a provider that needs none. Raises ProviderFailed (KEY_MISSING)."""
        if not self.provider.key:
            return ""
        key = os.environ.get(self.provider.key, "").strip()
        if not key:
            raise ProviderFailed(
                f"There is no key for the provider '{self.name}': the environment variable {self.provider.key} is not "
                "set. Set it where the app is started, and start the app again.",
                FailureKind.KEY_MISSING,
            )
        return key


def address_of(llm: LLM, providers: Mapping[str, Provider]) -> Address:
    """Where an LLM is asked. Raises ProviderFailed (NO_ENDPOINT) where its endpoint is empty or means nothing."""
    if llm.endpoint.startswith(("http://", "https://")):
        url, _, model = llm.endpoint.partition("#")
        host = urlsplit(url).netloc
        if model and host:
            try:
                return Address(host, Provider(base_url=url), model)
            except ValueError:
                raise _unusable(llm, "is no address") from None
        raise _unusable(llm, "names no model (write it after a '#')")
    name, _, model = llm.endpoint.partition("/")
    if not llm.endpoint:
        raise _unusable(llm, "is empty")
    if name not in providers:
        raise _unusable(llm, f"names no provider that is known here ({', '.join(sorted(providers))})")
    if not model:
        raise _unusable(llm, "names no model (write it after the provider and a '/')")
    return Address(name, providers[name], model)


def _unusable(llm: LLM, why: str) -> ProviderFailed:
    return ProviderFailed(
        f"{llm.name or llm.llm_id} cannot be asked: its endpoint {why}. It can be routed to and compared all the same.",
        FailureKind.NO_ENDPOINT,
    )
