"""`python -m benchmarks NAME`: each command on a tiny world, its JSON and what its figures must be there."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks import coldstart as coldstart_module
from benchmarks.__main__ import app
from benchmarks.coldstart import Plan, coldstart
from benchmarks.controls import Plan as ControlsPlan
from benchmarks.controls import controls
from benchmarks.cost import cost
from benchmarks.measurement import Cell, measure, measure_here
from benchmarks.world import load_truth, load_world
from core.dataset import PreferenceDataset
from core.errors import InvalidInput, NotEnoughData, NotFound
from core.routers.base import softmax
from core.routers.user_bradley_terry import UserBradleyTerryRouter
from tests.planted import HashEncoder

KEYS = {
    "router", "users", "ratings", "seed", "top1", "utility", "log_loss", "ece", "fit_cpu_s", "predict_us", "peak_mb",
}  # fmt: skip
ROOT = Path(__file__).resolve().parents[2]


def rows_of(path: Path) -> list[dict[str, Any]]:
    payload: dict[str, list[dict[str, Any]]] = json.loads(path.read_text())
    assert set(payload) == {"rows"}
    return payload["rows"]


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure without a process each: seconds saved where only the figures matter."""
    monkeypatch.setattr("benchmarks.quality.measure", measure_here)


def test_quality_as_it_is_called(world_folder: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "benchmarks",
        "quality",
        "--data",
        str(world_folder),
        "--users",
        "12",
        "--ratings",
        "20",
    ]
    command += ["--seeds", "2", "--routers", "uniform,user_bradley_terry", "--json", str(tmp_path / "out.json")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = rows_of(tmp_path / "out.json")
    assert [(r["router"], r["seed"]) for r in rows] == [
        (n, s) for n in ("uniform", "user_bradley_terry") for s in (0, 1)
    ]
    assert all(set(row) == KEYS for row in rows)
    assert all((row["users"], row["ratings"]) == (12, 20) for row in rows)
    uniform, personal = rows[0], rows[2]
    assert uniform["top1"] == pytest.approx(0.2)
    assert uniform["utility"] == pytest.approx(0, abs=1e-6)
    assert uniform["log_loss"] == pytest.approx(np.log(2))
    assert personal["top1"] > 0.6
    assert personal["utility"] > 0.8
    assert personal["log_loss"] < 0.4
    assert all(row["peak_mb"] >= 0 and row["predict_us"] > 0 for row in rows)
    assert "uniform seed 1" in done.stderr
    assert "(oracle)" in done.stdout
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("user_bradley_terry"))
    below, low, high = (float(part.strip("[,]")) for part in line.split()[-3:])  # paired over users
    lost = np.mean([r["top1"] for r in rows[:2]]) - np.mean([r["top1"] for r in rows[2:]])
    assert low < below < high < 0 and below == pytest.approx(lost, abs=0.001)
    assert "(oracle)" not in (tmp_path / "out.json").read_text()


@pytest.mark.usefixtures("in_process")
def test_quality_from_the_best_of_n(world_folder: Path, tmp_path: Path) -> None:
    arguments = ["quality", "--data", str(world_folder), "--users", "10", "--ratings", "dense", "--losers", "2"]
    arguments += ["--routers", "user_bradley_terry", "--json", str(tmp_path / "out.json")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    (row,) = rows_of(tmp_path / "out.json")
    assert row["ratings"] == "dense"
    assert row["top1"] > 0.6


@pytest.mark.usefixtures("in_process")
def test_a_router_that_cannot_be_measured_costs_only_its_own_figures(
    world_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise NotEnoughData("Two more ratings are needed.")

    monkeypatch.setattr(UserBradleyTerryRouter, "fit", broken)
    arguments = ["quality", "--data", str(world_folder), "--users", "4", "--routers", "user_bradley_terry,uniform"]
    result = CliRunner().invoke(app, [*arguments, "--json", str(tmp_path / "out.json")])
    assert result.exit_code == 1
    assert [row["router"] for row in rows_of(tmp_path / "out.json")] == ["uniform"]
    assert "Two more ratings are needed." in result.output


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (["--users", "99"], "holds 24 users"),
        (["--routers", "magic"], "no kind of router called 'magic'"),
        (["--ratings", "few"], "neither a number of ratings nor 'dense'"),
        (["--data", "nowhere"], "not in the format"),
    ],
)
def test_wrong_arguments_are_said_in_one_sentence(world_folder: Path, extra: list[str], words: str) -> None:
    command = [sys.executable, "-m", "benchmarks", "quality", "--data", str(world_folder), "--users", "4", *extra]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert words in " ".join(done.stderr.replace("│", " ").split())
    assert "Traceback" not in done.stderr


def test_a_process_of_its_own_measures_the_same(world_folder: Path) -> None:
    cell = Cell(world_folder, 6, 10, 1, "bradley_terry", 0)
    one, other = measure(cell), measure_here(cell)
    assert np.array_equal(one.probability, other.probability)
    assert one.probability.shape == (6, 8, 5)


class OnboardingRouter(UserBradleyTerryRouter):
    """Bradley-Terry that takes in a new LLM at the strength its first comparisons suggest:

    enough to see the protocol work.
    """

    def with_llm(self, llm, history: PreferenceDataset) -> "OnboardingRouter":
        column = history.llms.index(llm)
        won = np.concatenate([history.label[history.llm_a == column], 1 - history.label[history.llm_b == column]])
        share = (won.sum() + 0.5) / (len(won) + 1)
        return OnboardingRouter(
            (*self.llms, llm.llm_id), np.append(self.population, np.log(share / (1 - share))), self.precision
        )


def test_coldstart(
    world_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kinds = {"bradley_terry": OnboardingRouter, "user_bradley_terry": UserBradleyTerryRouter}
    monkeypatch.setattr(coldstart_module, "router_class", kinds.__getitem__)
    coldstart(Plan(world_folder, 24, 20, 1, tuple(kinds), ()), tmp_path / "out.json")
    rows = rows_of(tmp_path / "out.json")
    users = [r for r in rows if r["part"] == "new_users" and r["router"] == "user_bradley_terry"]
    assert [r["shown"] for r in users] == [0, 5, 10, 20]
    assert users[0]["share_of_full"] < users[-1]["share_of_full"] == pytest.approx(1, abs=0.25)
    assert all(r["share_low"] <= r["share"] <= r["share_high"] for r in users)
    llms = [r for r in rows if r["part"] == "new_llm" and not r["llm"].startswith("mean")]
    assert {r["llm"] for r in llms} == {"llm-0", "llm-4"}  # each camp's favourite
    assert [r["shown"] for r in llms if r["router"] == "bradley_terry"] == [0, 0, 20, 100, 500] * 2
    assert [r.get("note") for r in llms if r["router"] == "user_bradley_terry"] == [None, "not supported"] * 2
    never = [r for r in llms if r.get("how") == "never"]
    assert all(r["recall"] == 0 < r["recall_full"] for r in never)
    onboarded = [r for r in llms if r["router"] == "bradley_terry" and r["shown"] == 500]
    assert all(r["recall"] > 0.3 for r in onboarded)
    assert "not supported" in capsys.readouterr().out


def test_coldstart_measures_the_part_that_is_asked_for(
    world_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    coldstart(Plan(world_folder, 4, 5, 1, ("uniform",), (), ("users",)), tmp_path / "out.json")
    assert {row["part"] for row in rows_of(tmp_path / "out.json")} == {"new_users"}
    assert "left out of training" not in capsys.readouterr().out


class PlanningRouter(OnboardingRouter):
    """With draws around its strengths, wide as few comparisons leave them: enough to plan with."""

    def with_llm(self, llm, history: PreferenceDataset) -> "PlanningRouter":
        joined = super().with_llm(llm, history)
        return PlanningRouter(joined.llms, joined.population, joined.precision)

    def predict_draws(self, user, queries, history=None, n=400, seed=0):
        noise = np.random.default_rng(seed).standard_normal((n, len(queries), len(self.llms)))
        return softmax(self.population + noise)

    def own_ratings(self, user, history: PreferenceDataset) -> PreferenceDataset:
        return history.of_user(user)

    def attention(self, user, history):
        raise NotImplementedError

    def leave_one_out(self, user, query, history):
        raise NotImplementedError


def test_comparisons_of_a_newcomer_are_planned_from_who_and_what_and_never_from_answers_not_yet_given(
    world_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(coldstart_module, "router_class", {"planner": PlanningRouter}.__getitem__)
    monkeypatch.setattr(coldstart_module, "ROUNDS", (20, 40))
    coldstart(Plan(world_folder, 24, 20, 1, ("planner",), ("all",), ("llms",)), tmp_path / "out.json")
    llms = [r for r in rows_of(tmp_path / "out.json") if r["part"] == "new_llm"]
    planned = [(r["llm"], r["shown"]) for r in llms if r["how"] == "planned"]
    assert len({name for name, _ in planned}) == 6  # five LLMs and their mean
    assert {shown for _, shown in planned} >= {20, 100}
    mean = next(r for r in llms if r["llm"] == "mean of 5" and r["how"] == "planned")
    its = [r["ratio"] for r in llms if r["llm"] != "mean of 5" and (r["how"], r["shown"]) == ("planned", mean["shown"])]
    assert mean["ratio"] == pytest.approx(np.mean(its)) and mean["ratio_low"] < mean["ratio"] < mean["ratio_high"]
    assert "20 planned" in capsys.readouterr().out

    world, truth = load_world(world_folder, 24, 50), load_truth(world_folder, 24)
    turned = replace(world.train, outcome=np.where(world.train.outcome < 2, 1 - world.train.outcome, 2).astype(np.int8))
    few = replace(world, train=world.train.where(world.train.place_within_user < 20))
    router = PlanningRouter(tuple(m.llm_id for m in world.train.llms[:4]), np.zeros(4), 1.0)
    asked = [
        coldstart_module._Newcomer(few, recorded, truth, 4, np.zeros(0))._planned(router, 0)
        for recorded in (world.train, turned)
    ]
    np.testing.assert_array_equal(asked[0][:20], asked[1][:20])
    first = world.train.where(asked[0][:20])
    assert ((first.llm_a == 4) | (first.llm_b == 4)).all()
    assert len(set(asked[0])) == len(asked[0]) and len(set(first.user)) == 20  # nobody twice in a round


class CampRouter(PlanningRouter):
    """Knows both camps of the tiny world and asks of which of them a person is."""

    def _chance(self, user, history: PreferenceDataset | None) -> float:
        """That the person likes the LLMs that come last."""
        own = None if history is None else history.of_user(user)
        odds = 0.0 if own is None else float(((2 * own.label - 1) * (own.llm_a - own.llm_b)).sum())
        return 1 / (1 + float(np.exp(-2 * odds)))

    def predict_proba(self, user, queries, history=None):
        chance, place = self._chance(user, history), np.linspace(-1, 1, len(self.llms))
        return np.tile(chance * softmax(place) + (1 - chance) * softmax(-place), (len(queries), 1))

    def predict_draws(self, user, queries, history=None, n=400, seed=0):
        last = np.random.default_rng(seed).random(n) < self._chance(user, history)
        told = softmax(np.where(last, 1, -1)[:, None, None] * np.linspace(-1, 1, len(self.llms)))
        return np.broadcast_to(told, (n, len(queries), len(self.llms)))


def test_new_users_are_asked_at_random_and_as_planned_and_the_two_are_told_apart(
    world_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kinds = {"camps": CampRouter, "user_bradley_terry": UserBradleyTerryRouter}
    monkeypatch.setattr(coldstart_module, "router_class", kinds.__getitem__)
    for name, value in (("FIRST_RATINGS", (0, 1, 2, 20)), ("PLANNED", (1, 2, 20)), ("INTERVIEWED", 11)):
        monkeypatch.setattr(coldstart_module, name, value)
    coldstart(Plan(world_folder, 24, 2, 4, tuple(kinds), (), ("users",)), tmp_path / "out.json")
    rows = rows_of(tmp_path / "out.json")
    camps, other = ([r for r in rows if r["router"] == name] for name in kinds)
    shown = [(r["how"], r["shown"], r["new"]) for r in camps if r["seed"] == 0]
    assert shown == [("random", 0, 12), ("random", 1, 12), ("random", 2, 12), ("planned", 1, 11), ("planned", 2, 11)]
    assert {r["how"] for r in other} == {"random"}  # it has no posterior to plan with
    of = {(r["how"], r["seed"], r["shown"]): r for r in camps}
    for (how, seed, n), row in of.items():
        same, full = of["random", seed, n], of["random", seed, 2]["trained_top1"]
        assert row["trained_top1"] == same["trained_top1"], how  # trained users' own ratings are drawn at random
        assert row["share_of_full"] == pytest.approx(row["top1"] / full)
    # Two LLMs far apart tell at once of which camp somebody is; any two often tie.
    planned, at_random = ([of[how, seed, 1]["top1"] for seed in range(4)] for how in ("planned", "random"))
    assert np.mean(planned) > np.mean(at_random) + 0.03
    assert "1 planned" in capsys.readouterr().out


def test_coldstart_names_an_unknown_llm_or_part(world_folder: Path) -> None:
    with pytest.raises(InvalidInput, match="no LLM 'gpt-9'"):
        coldstart(Plan(world_folder, 4, 5, 1, ("uniform",), ("gpt-9",)), None)
    with pytest.raises(InvalidInput, match="no part 'queries'"):
        coldstart(Plan(world_folder, 4, 5, 1, ("uniform",), (), ("queries",)), None)


def test_cost(real_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.cost.DRAWS", 60)
    encoder, sets = HashEncoder(), ("llmrouter_quality", "routellm")
    for kinds in ((), ("uniroute_kmeans", "matrix_factorization", "knn")):
        cost(real_folder, sets, tmp_path / "cache", 0, tmp_path / "out.json", encoder, kinds)
    assert encoder.texts_encoded == 50 + 5  # the distinct texts, once, and what LLMs are called
    rows = {(r["set"], r["router"]): r for r in rows_of(tmp_path / "out.json")}
    learned = {"knn", "ridge", "knn of the registry", "uniroute_kmeans", "matrix_factorization"}
    assert {router for _, router in rows} == {*learned, "random", "best on train", "(oracle)"}
    with pytest.raises(NotFound, match="called 'magic'"):
        cost(real_folder, sets, None, 0, None, encoder, ("magic",))
    for name in ("llmrouter_quality", "routellm"):
        best, oracle, fitted = (rows[name, r] for r in ("best on train", "(oracle)", "ridge"))
        assert best["pick_entropy"]["value"] == 0
        assert best["apgr"]["value"] == pytest.approx(0.5)
        for figure in ("quality", "aiq", "deferral_area", "apgr", "value_over_best"):
            assert fitted[figure]["value"] <= oracle[figure]["value"] + 1e-9
            assert fitted[figure]["low"] <= fitted[figure]["value"] <= fitted[figure]["high"]
        assert oracle["aiq"]["value"] > oracle["aiq_zero_router"]["value"]
        assert fitted["quality"]["value"] > best["quality"]["value"]  # the texts tell which LLM is right
        assert all(rows[name, kind]["apgr"]["value"] > 0.5 for kind in learned)


def test_controls(world_folder: Path, real_folder: Path, tmp_path: Path) -> None:
    sets = ("mt_bench_human", "prd_llm_judges")
    plan = ControlsPlan("user_bradley_terry", world_folder, 24, 20, real_folder, sets, 4)
    assert controls(plan, HashEncoder(), tmp_path / "out.json")
    rows = rows_of(tmp_path / "out.json")
    by_name = {row["control"]: row for row in rows}
    assert all(row["holds"] for row in rows)
    assert by_name["personal lift"]["low"] > 0.1
    assert by_name["identical histories"]["value"] <= 1e-6
    assert by_name["user swap"]["value"] > 0.9
    assert by_name["mt_bench_human: log-loss minus global router"]["over"] == "users"
    assert by_name["prd_llm_judges: log-loss minus same router with others' ratings"]["over"] == "questions"


def test_controls_of_a_router_that_knows_no_users_fail(world_folder: Path, tmp_path: Path) -> None:
    plan = ControlsPlan("bradley_terry", world_folder, 12, 20, world_folder, ())
    assert not controls(plan, HashEncoder(), tmp_path / "out.json")
    holds = {row["control"]: row["holds"] for row in rows_of(tmp_path / "out.json")}
    assert holds == {
        "identical histories": True,
        "user swap": False,
        "personal lift": False,
        "lift, users shuffled": True,
    }
