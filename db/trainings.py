"""A training run: fit on what there is, publish, and let the gate decide whether the new version serves."""

import logging
from typing import Any

from core.errors import PrefRouteError, PromotionRefused
from core.holdout import Holdout
from core.promotion import Incumbent
from core.readiness import check_enough
from core.routers import load_router
from core.routers.vectors import EncodedOnce
from db.base import utc_now
from db.datasets import Datasets
from db.execution import Execution
from db.preferences import PreferenceStore
from db.response_traits import count_missing
from db.routers import RouterRegistry, RouterVersion

log = logging.getLogger(__name__)
PROMOTION = "promotion"  # in a run's config, beside the training settings


def wish(*, promote: bool = True, reason: str = "") -> dict[str, Any]:
    """What a run's config says of its result: whether to put it in service if the gate allows, and a reason to do so
    whatever the gate says.
    """
    return {PROMOTION: {"promote": promote, "reason": reason}}


def train_router(execution: Execution) -> tuple[dict[str, Any], str]:
    """The report and the fingerprint of the data it rests on. Raises NotEnoughData."""
    import torch  # an idle worker need not hold it

    from core.optimisation import Epoch, TrainConfig
    from core.training import train

    def heard(epoch: Epoch) -> None:
        execution.reach(
            "training", epoch.number, epoch.epochs, train_loss=epoch.train_loss, validation_loss=epoch.validation_loss
        )

    settings = dict(execution.run.config)
    wanted = settings.pop(PROMOTION, wish()[PROMOTION])
    config = TrainConfig.from_dict(settings)
    seen_at = utc_now()
    count_missing(execution.database)
    dataset = PreferenceStore(execution.database).snapshot()
    check_enough(dataset)
    execution.encode(dataset)
    # The graphs are small: a second thread doubles the CPU for little, and takes it from the raters.
    torch.set_num_threads(1)
    trained = train(dataset, execution.encoder, config, heard, _incumbent(execution))
    epochs = len(trained.report.fit.curve)
    execution.reach("publishing", epochs, epochs)
    report = trained.report.to_dict()
    run, fingerprint = execution.run, dataset.fingerprint()
    frozen = Datasets(execution.database).of_training(fingerprint, len(dataset), run.id, run.requested_by, seen_at)
    card = {
        **report, "kind": trained.router.kind, "encoder": execution.encoder.id, "llms": list(trained.router.llms),
        "dataset_version": frozen.id,
    }  # fmt: skip
    registry = RouterRegistry(execution.database)
    version = registry.publish(trained.router.kind, trained.router.to_bytes(), card, run_id=execution.run.id)
    serves = _put_in_service(registry, version, execution.run.requested_by, wanted)
    return {**report, "router_version": version.id, **serves}, fingerprint


def _incumbent(execution: Execution) -> Incumbent | None:
    registry = RouterRegistry(execution.database)
    active = registry.active()
    if active is None:
        return None
    try:
        router = load_router(active.kind, registry.load(active.id), EncodedOnce(execution.encoder))
    except PrefRouteError as error:  # damaged, or made with another encoder
        log.warning("version %d in service cannot be loaded: %s", active.id, error)
        return Incumbent(active.id, None, None)
    return Incumbent(active.id, router, Holdout.from_card(active.card))


def _put_in_service(
    registry: RouterRegistry, version: RouterVersion, by: str, wanted: dict[str, Any]
) -> dict[str, Any]:
    """Whether the version serves now, and if not, why not."""
    if reason := wanted["reason"]:
        registry.activate(version.id, by, reason)
        return {"in_service": True, "refused": None}
    if not wanted["promote"]:
        return {"in_service": False, "refused": None}
    try:
        registry.promote(version.id, by)
    except PromotionRefused as refused:
        return {"in_service": False, "refused": str(refused)}
    return {"in_service": True, "refused": None}
