"""The routers, by kind. Each is imported only when it is used: the GAT brings torch, which a page must not wait for."""

from importlib import import_module

from core.encoders import TextEncoder
from core.errors import NotFound
from core.routers.base import Router, RouterClass

ROUTERS: dict[str, str] = {
    "uniform": "core.routers.uniform:UniformRouter",
    "best_llm": "core.routers.best_llm:BestLLMRouter",
    "user_best": "core.routers.user_best:UserBestRouter",
    "user_task_best": "core.routers.user_task_best:UserTaskBestRouter",
    "bradley_terry": "core.routers.bradley_terry:BradleyTerryRouter",
    "user_bradley_terry": "core.routers.user_bradley_terry:UserBradleyTerryRouter",
    "task_bradley_terry": "core.routers.task_bradley_terry:TaskBradleyTerryRouter",
    "elo": "core.routers.elo:EloRouter",
    "knn": "core.routers.knn:KnnRouter",
    "user_knn": "core.routers.user_knn:UserKnnRouter",
    "matrix_factorization": "core.routers.matrix_factorization:MatrixFactorizationRouter",
    "sw_ranking": "core.routers.sw_ranking:SWRankingRouter",
    "logistic_per_user": "core.routers.logistic_per_user:LogisticPerUserRouter",
    "uniroute_kmeans": "core.routers.uniroute_kmeans:UniRouteKMeansRouter",
    "uniroute_learned_map": "core.routers.uniroute_learned_map:UniRouteLearnedMapRouter",
    "router_dc": "core.routers.router_dc:RouterDCRouter",
    "graph_router": "core.routers.graph_router:GraphRouter",
    "personalized_router": "core.routers.personalized_router:PersonalizedRouter",
    "gat": "core.routers.gat:GatRouter",
    "ladder": "core.routers.ladder:LadderRouter",
}


def router_class(kind: str) -> RouterClass:
    """The class of a kind of router. Raises NotFound for a kind this code does not know."""
    if kind not in ROUTERS:
        raise NotFound(f"There is no kind of router called '{kind}'. Known: {', '.join(ROUTERS)}.")
    module, name = ROUTERS[kind].split(":")
    found: RouterClass = getattr(import_module(module), name)
    return found


def load_router(kind: str, data: bytes, encoder: TextEncoder) -> Router:
    """Rebuild a published router. Raises CorruptArtifact or InvalidInput (see each `from_bytes`)."""
    return router_class(kind).from_bytes(data, encoder)
