"""The endpoint over real HTTP, asked by the official client, over the demo world and a router trained on it."""

import os
from collections.abc import Iterator
from dataclasses import dataclass

import openai
import pytest

from api.app import create_app
from api.parts import Parts
from core.dataset import PreferenceDataset
from core.domain import LLM, Bundle, LLMId
from core.optimisation import TrainConfig
from core.providers import Provider
from core.routers.gat import GatRouter
from core.settings import Settings, load_settings
from db.demo import demo_bundle
from db.engine import Database
from db.keys import ApiKeys, Scope
from db.preferences import PreferenceStore
from db.routers import RouterRegistry
from tests.openai_server import SECRET, OpenAIServer, serving
from tests.planted import HashEncoder

REAL = ("fast", "slow", "broken", "html", "stall", "stall-midway", "cut", "rate-limited", "endless", "short")


@dataclass(frozen=True)
class Endpoint:
    """A running endpoint: its address, its key, and the database under it."""

    url: str
    key: str
    database: Database
    parts: Parts
    clients: list[openai.OpenAI]

    def client(self, key: str | None = None) -> openai.OpenAI:
        """The official client, closed at the end of the session."""
        self.clients.append(openai.OpenAI(base_url=f"{self.url}/v1", api_key=key or self.key, timeout=60))
        return self.clients[-1]


@pytest.fixture(scope="session")
def trained() -> bytes:
    world = demo_bundle()
    dataset = PreferenceDataset.from_comparisons(world.comparisons, world.queries, world.llms)
    fitting, validation, _ = dataset.split("query")
    return GatRouter.fit_with_report(fitting, validation, HashEncoder(), TrainConfig(epochs=6))[0].to_bytes()


def settings_for(server: OpenAIServer, **more: object) -> Settings:
    os.environ["MINE_KEY"] = SECRET
    mine = Provider(base_url=server.base_url, key="MINE_KEY", timeout=1)
    return load_settings().model_copy(update={"providers": {"mine": mine}, **more})


@pytest.fixture(scope="session")
def endpoint(
    _openai_server: OpenAIServer, trained: bytes, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Endpoint]:
    url = f"sqlite:///{tmp_path_factory.mktemp('api') / 'app.db'}"
    database = Database.open(url)
    store = PreferenceStore(database)
    store.add_bundle(demo_bundle())
    real = tuple(LLM(LLMId(name), endpoint=f"mine/{name}", input_price=1.0, output_price=4.0) for name in REAL)
    store.add_bundle(Bundle("test", llms=(*real, LLM(LLMId("nowhere")))))
    registry = RouterRegistry(database)
    registry.activate(registry.publish("gat", trained, {}).id, "test", "test")
    key, _ = ApiKeys(database).create("tests", list(Scope), 1_000_000, "test")
    parts = Parts.over(database, settings_for(_openai_server), HashEncoder())
    with serving(create_app(lambda: parts)) as address:
        running = Endpoint(address, key, database, parts, [])
        yield running
        for client in running.clients:
            client.close()
    database.dispose()


@pytest.fixture(scope="session")
def _client(endpoint: Endpoint) -> openai.OpenAI:
    return endpoint.client()


@pytest.fixture
def client(_client: openai.OpenAI, openai_server: OpenAIServer) -> openai.OpenAI:
    """The client with a key for everything; the providers' server has heard nothing yet."""
    return _client
