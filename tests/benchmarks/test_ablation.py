"""`python -m benchmarks ablation` on a tiny world: what is taken out is out, and comes back."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor

from benchmarks import ablation as module
from benchmarks.ablation import PARTS, UNCALIBRATED, WHOLE, Plan, ablation, fitted
from benchmarks.world import load_world
from core import optimisation
from core.dataset import PreferenceDataset
from core.errors import InvalidInput
from core.graph import build_graph
from core.network import PosteriorGAT, ratings_of
from core.optimisation import TrainConfig

SIGN = "sign on messages"


@pytest.fixture(autouse=True)
def _brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TrainConfig", partial(TrainConfig, epochs=2, steps_per_epoch=5))


def test_every_part_gets_its_row_beside_the_whole_network(
    world_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ablation(Plan(world_folder, 12, 20, 1), tmp_path / "out.json")
    rows = {row["without"]: row for row in json.loads((tmp_path / "out.json").read_text())["rows"]}
    without_answers = {*PARTS, UNCALIBRATED} - set(module.OF_ANSWERS)
    assert set(rows) == without_answers
    assert rows[WHOLE]["top1_lost"]["value"] == 0
    for row in rows.values():
        assert row["top1"] + row["top1_lost"]["value"] == pytest.approx(rows[WHOLE]["top1"])
        assert 0 <= row["top1"] <= 1 and row["validation"] > 0
    shown = capsys.readouterr().out
    assert "simulated" in shown and all(part in shown for part in without_answers)


def test_parts_that_nobody_knows_are_refused(world_folder: Path) -> None:
    with pytest.raises(InvalidInput, match="'heart'"):
        ablation(Plan(world_folder, 12, 20, 1, ("heart",)), None)


def test_what_is_taken_out_is_out_and_the_product_is_whole_again(world_folder: Path) -> None:
    world = load_world(world_folder, 12, 20)
    own = world.train.of_user(world.train.users[0])
    contrary = replace(own, outcome=1 - own.outcome.clip(0, 1))
    network = {part: fitted(part, world, 0)[0].network for part in (WHOLE, "attention prior", "posterior", SIGN)}
    assert vars(optimisation)["PosteriorGAT"] is PosteriorGAT
    assert optimisation.Fit.__module__ == "core.optimisation"

    def prior_and_mode(part: str, said: PreferenceDataset) -> tuple[Tensor, Tensor]:
        graph = build_graph(said, world.encoder, tuple(sorted({q.task for q in world.train.queries})))
        nodes, ratings = network[part].nodes(graph), ratings_of(graph)
        delta = network[part].contrast(nodes, ratings)[0]
        prior = network[part]._prior_mean(nodes, ratings, delta, len(said.users))[0]
        return prior[0], network[part].posterior(nodes, ratings, len(said.users)).w[0]

    with torch.no_grad():
        (prior, mode), (other, _) = (prior_and_mode(WHOLE, said) for said in (own, contrary))
        assert not torch.allclose(prior, other) and not torch.allclose(prior, mode)
        prior, mode = prior_and_mode("attention prior", own)
        assert torch.equal(prior, network["attention prior"].mu) and not torch.allclose(prior, mode)
        prior, mode = prior_and_mode("posterior", own)
        assert torch.allclose(prior, mode, atol=1e-5)
        assert torch.equal(prior_and_mode(SIGN, own)[0], prior_and_mode(SIGN, contrary)[0])
