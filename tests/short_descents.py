"""Fits of a few steps, for tests that do not ask how good a router is."""

from functools import partial
from importlib import import_module

import pytest

from core.dataset import PreferenceDataset
from core.encoders import TextEncoder
from core.optimisation import TrainConfig
from core.routers.descent import Descent
from core.routers.ladder import LadderRouter


def shorten_descents(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every router that descends a gradient takes two epochs of three steps from now on."""
    short = Descent(epochs=2, steps=3)
    for module in ("matrix_factorization", "uniroute_learned_map", "router_dc", "graph_router"):
        monkeypatch.setattr(f"core.routers.{module}.PLAN", short)
    personalized = import_module("core.routers.personalized_router")
    monkeypatch.setattr(personalized, "RECIPES", tuple(recipe._replace(plan=short) for recipe in personalized.RECIPES))
    for module in ("gat", "ladder"):
        monkeypatch.setattr(f"core.routers.{module}.TrainConfig", partial(TrainConfig, epochs=2, steps_per_epoch=3))


def short_ladder(
    train_part: PreferenceDataset, validation: PreferenceDataset, encoder: TextEncoder, config: TrainConfig
) -> LadderRouter:
    """A ladder whose factorisation tries one noise only: on few ratings trying all of them takes most of its time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("core.routers.matrix_factorization.NOISES", (2.0,))
        return LadderRouter.fit_with_report(train_part, validation, encoder, config)[0]
