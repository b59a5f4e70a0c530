"""Every knob of a deployment, read from the environment (or a .env file) once. The README lists them; a test holds it
to that.
"""

from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from core.errors import InvalidInput
from core.providers.addresses import Provider

ROOT = Path(__file__).resolve().parent.parent


class Settings(BaseSettings):
    """Deployment settings. Environment variables carry the prefix PREFROUTE_, but for DATABASE_URL, which every host
    knows.
    """

    model_config = SettingsConfigDict(env_prefix="PREFROUTE_", env_file=ROOT / ".env", extra="ignore")

    database_url: str = Field(
        f"sqlite:///{ROOT / 'data' / 'prefroute.db'}",
        validation_alias="DATABASE_URL",
        description="SQLAlchemy URL; SQLite file by default, postgresql+psycopg://... for many raters.",
    )
    host: str = Field("127.0.0.1", description="Address the app listens on.")
    port: int = Field(8501, ge=1, le=65535, description="Port the app listens on.")
    auth: Literal["open", "invite", "proxy", "oidc"] = Field(
        "open",
        description="How people sign in: open takes any name (local use), invite needs a link, proxy believes a header "
        "of the proxy in front, oidc asks an OpenID Connect provider.",
    )
    proxy_header: str = Field(
        "x-forwarded-user", min_length=1, description="Sign-in by proxy: the header in which it names the person."
    )
    proxy_addresses: str = Field(
        "",
        validate_default=True,
        description="Sign-in by proxy: whose header is believed, as addresses or networks between commas.",
    )
    oidc_claim: str = Field(
        "email", min_length=1, description="Sign-in by oidc: the claim that is a person's name here."
    )
    admins: str = Field(
        "", description="Sign-in by proxy or oidc: who administers from the first sign-in on, names between commas."
    )
    demo: bool = Field(True, description="Load the demo world into an empty database on first start.")
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Where training runs; auto takes cuda when it is there."
    )
    encoder: str = Field("", description="A sentence-transformers model name or path; empty means the bundled MiniLM.")
    minimum_dwell: float = Field(0.8, ge=0, description="Seconds a pair must have been shown before a rating counts.")
    heartbeat_timeout: float = Field(
        30, gt=1, description="Seconds without a sign of life after which a run is interrupted."
    )
    spawn_worker: bool = Field(
        True, description="Let the app start a worker process for a queued run; off with workers elsewhere."
    )
    exploration: float = Field(
        0, ge=0, le=1, description="Share of the endpoint's decisions drawn from the probabilities instead of the best."
    )
    providers: dict[str, Provider] = Field(
        {}, description="JSON: providers by name, beside or instead of the known ones; keys only by their variable."
    )

    @field_validator("proxy_addresses")
    @classmethod
    def _names_a_proxy(cls, value: str, info: ValidationInfo) -> str:
        named = networks(value)
        if info.data.get("auth") == "proxy" and not named:
            raise ValueError("sign-in by proxy needs the proxy's address, for example 127.0.0.1")
        return value

    @property
    def administrators(self) -> frozenset[str]:
        """The names in `admins`."""
        return frozenset(name for part in self.admins.split(",") if (name := " ".join(part.split())))


def networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    """Addresses and networks between commas. Raises ValueError for what is neither."""
    return tuple(ip_network(part.strip(), strict=False) for part in text.split(",") if part.strip())


def load_settings() -> Settings:
    """Read the settings; raises InvalidInput naming the variable that is wrong."""
    try:
        return Settings()  # type: ignore[call-arg]
    except SettingsError:
        raise InvalidInput("Setting PREFROUTE_PROVIDERS is no JSON object. Nothing was started.") from None
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        variable = name.upper() if name.lower() == "database_url" else f"PREFROUTE_{name.upper()}"
        raise InvalidInput(f"Setting {variable} is wrong: {first['msg']}. Nothing was started.") from None
