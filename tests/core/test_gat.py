"""The GAT router against a world whose truth is known, and against exact inference."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.dataset import PreferenceDataset
from core.domain import Comparison, Outcome, Query, UserId
from core.errors import CorruptArtifact, InvalidInput, TrainingCancelled
from core.evaluation import evaluate, predict_pairs
from core.explain import explain
from core.graph import RATED_BY, SIDE_A, build_graph
from core.network import NetworkShape, PosteriorGAT, ratings_of
from core.optimisation import Epoch, Fit, TrainConfig, fit_network, noise_for, resolve_device
from core.routers.gat import GatRouter
from tests.planted import LLMS, HashEncoder, comparison, liking, two_camps

SHORT, LONG, STRANGER = UserId("short-00"), UserId("long-01"), UserId("nobody")
UNSEEN = tuple(
    Query.typed(f"{words} number{i}", task)
    for i in range(100, 104)
    for words, task in (("function loop array bug", "code"), ("dear friend birthday party", "letters"))
)


@cache
def trained() -> tuple[GatRouter, PreferenceDataset]:
    world = two_camps()
    fitting, validation, _ = world.split("query")
    return GatRouter.fit_with_report(fitting, validation, HashEncoder(), TrainConfig(epochs=12))[0], world


def as_user(world: PreferenceDataset, source: UserId, name: str) -> PreferenceDataset:
    """The same ratings under another name."""
    own = world.of_user(source)
    return PreferenceDataset(
        (UserId(name),),
        own.queries,
        own.llms,
        np.zeros(len(own), np.int32),
        own.query,
        own.llm_a,
        own.llm_b,
        own.outcome,
        own.time,
        own.ids,
    )


def test_opposed_users_get_the_llm_they_truly_like_best_on_unseen_queries() -> None:
    router, world = trained()
    for user in (SHORT, LONG):
        picks = router.predict_proba(user, UNSEEN, world).argmax(axis=1)
        truth = [int(np.argmax(liking(user[:-3], query.task))) for query in UNSEEN]
        assert list(picks) == truth


def test_identical_histories_get_identical_probabilities_whatever_the_name() -> None:
    router, world = trained()
    first = router.predict_proba(SHORT, UNSEEN, world)
    second = router.predict_proba(UserId("someone else"), UNSEEN, as_user(world, SHORT, "someone else"))
    assert np.abs(first - second).max() < 1e-6


def test_a_stranger_gets_the_population_and_an_interval_wider_than_a_known_users() -> None:
    router, world = trained()
    assert np.array_equal(router.predict_proba(STRANGER, UNSEEN, world), router.predict_proba(STRANGER, UNSEEN, None))
    width = {
        user: np.ptp(np.quantile(router.predict_draws(user, UNSEEN, world), [0.025, 0.975], axis=0), axis=0)
        .max(axis=-1)
        .mean()
        for user in (SHORT, STRANGER)
    }
    assert width[SHORT] < width[STRANGER]


def test_ten_ratings_move_their_author_and_nobody_else() -> None:
    router, world = trained()
    before = {user: router.predict_proba(user, UNSEEN, world) for user in (SHORT, LONG, STRANGER)}
    said = [comparison(STRANGER, world.queries[i], LLMS[1], LLMS[0], Outcome.A, str(i)) for i in range(10)]
    newcomer = PreferenceDataset.from_comparisons(said, world.queries, LLMS)
    after = router.predict_proba(STRANGER, UNSEEN, newcomer)
    assert (after[:, 1] > before[STRANGER][:, 1] + 0.2).all()
    for user in (SHORT, LONG):
        assert np.array_equal(router.predict_proba(user, UNSEEN, world), before[user])


def test_single_equals_batch() -> None:
    router, world = trained()
    batch = router.predict_proba(SHORT, UNSEEN, world)
    assert np.allclose(batch, np.vstack([router.predict_proba(SHORT, [query], world) for query in UNSEEN]), atol=1e-6)


def test_same_seed_same_numbers() -> None:
    fitting, validation, _ = two_camps(users=8).split("query")
    config = TrainConfig(epochs=2, seed=5)
    first, second = (
        GatRouter.fit_with_report(fitting, validation, HashEncoder(), config)[0].predict_proba(SHORT, UNSEEN, fitting)
        for _ in range(2)
    )
    assert np.array_equal(first, second)


def test_with_many_people_a_validation_reads_some_of_them_each_with_all_they_said(monkeypatch) -> None:
    fitting, validation, _ = two_camps().split("query")
    config, people = TrainConfig(epochs=2), np.unique(validation.user)
    every_third = validation.where(np.isin(validation.user, people[::3]))
    few = GatRouter.fit_with_report(fitting, every_third, HashEncoder(), config)[1]
    monkeypatch.setattr("core.optimisation.VALIDATED", -(-len(people) // 3))
    many = GatRouter.fit_with_report(fitting, validation, HashEncoder(), config)[1]
    assert many.curve == few.curve


def test_training_does_not_stop_because_its_margins_are_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    fitting, validation, _ = two_camps().split("query")
    fit = Fit(fitting, validation, HashEncoder(), TrainConfig(epochs=1))
    margins, once = fit.network.margins, fit._validate()
    monkeypatch.setattr(fit.network, "margins", lambda *asked: 5 * margins(*asked))
    assert fit._validate() == pytest.approx(once, rel=0.02)
    monkeypatch.setattr(fit.network, "margins", lambda *asked: torch.zeros_like(margins(*asked)))
    assert fit._validate() == pytest.approx(np.log(2))


def test_the_more_ratings_or_the_more_each_of_them_tells_the_less_noise_and_a_setting_is_obeyed() -> None:
    told = [noise_for(n, False) for n in (100, 20_000, 10**6)]
    assert told[0] > noise_for(100, True) > noise_for(10**6, True) == told[-1]
    assert told == sorted(told, reverse=True) and told[0] > told[-1] > 0
    fitting, validation, _ = two_camps(users=6).split("query")
    assert Fit(fitting, validation, HashEncoder(), TrainConfig()).noise == told[0]
    assert Fit(fitting, validation, HashEncoder(), TrainConfig(noise=0)).noise == 0


def test_bytes_round_trip_and_hold_no_rating_and_no_users_name() -> None:
    router, world = trained()
    data = router.to_bytes()
    again = GatRouter.from_bytes(data, HashEncoder())
    assert np.array_equal(again.predict_proba(SHORT, UNSEEN, world), router.predict_proba(SHORT, UNSEEN, world))
    assert b"short-00" not in data and b"number1" not in data


def test_damaged_bytes_and_another_encoder_are_refused() -> None:
    router, _ = trained()
    data = router.to_bytes()
    for broken in (b"", b"junk", data[:100], data[: len(data) // 2]):
        with pytest.raises(CorruptArtifact, match="activate another version"):
            GatRouter.from_bytes(broken, HashEncoder())
    other = HashEncoder()
    other.id = "another"
    with pytest.raises(InvalidInput, match="another"):
        GatRouter.from_bytes(data, other)


def test_leaving_a_rating_out_equals_predicting_without_it() -> None:
    router, world = trained()
    own = router.own_ratings(SHORT, world)
    without = router.leave_one_out(SHORT, UNSEEN[0], world)
    for i in (0, len(own) // 2, len(own) - 1):
        rest = own.where(np.arange(len(own)) != i)
        assert np.allclose(without[i], router.predict_proba(SHORT, [UNSEEN[0]], rest)[0], atol=1e-5)


def test_the_ratings_named_as_reasons_move_the_choice_more_than_others() -> None:
    router, world = trained()
    own = router.own_ratings(SHORT, world)
    own = own.where(np.arange(8))  # few enough that each still matters
    found = explain(router, SHORT, UNSEEN[0], own)
    assert len(found) == len(own)
    assert sum(reason.attention for reason in found) == pytest.approx(1, abs=1e-5)

    def probability(ids: set[int]) -> float:
        kept = own.where(np.array([int(i) not in ids for i in own.ids]))
        return float(router.predict_proba(SHORT, [UNSEEN[0]], kept)[0].max())

    named = {reason.comparison for reason in found[:2]}
    others = {reason.comparison for reason in found[-2:]}
    assert probability(named) < probability(others)
    assert explain(router, STRANGER, UNSEEN[0], world) == ()


def test_llms_the_router_does_not_know_are_left_out_of_the_history() -> None:
    router, world = trained()
    newcomer = LLMS[0].__class__("llm-new", "new")  # type: ignore[arg-type]
    said = [
        comparison("x", world.queries[0], newcomer, LLMS[1], Outcome.A, "1"),
        comparison("x", world.queries[1], LLMS[0], LLMS[1], Outcome.A, "2"),
    ]
    history = PreferenceDataset.from_comparisons(said, world.queries, (newcomer, *LLMS))
    assert len(router.own_ratings(UserId("x"), history)) == 1


def test_the_posterior_is_the_mode_and_the_curvature_of_exact_inference() -> None:
    """Against a slow reference: the same objective minimised to convergence by a library."""
    from scipy.optimize import minimize

    torch.manual_seed(0)
    world = two_camps(users=2, ratings=12)
    graph = build_graph(world, HashEncoder())
    network = PosteriorGAT(NetworkShape(64, 2, 4)).double().eval()
    for kind in ("query", "llm"):
        graph.data[kind].x = graph.data[kind].x.double()
    graph.data[RATED_BY].label = graph.data[RATED_BY].label.double()
    ratings = ratings_of(graph)
    with torch.no_grad():
        nodes = network.nodes(graph)
        posterior = network.posterior(nodes, ratings, 2)
        delta, offset = network.contrast(nodes, ratings)
        mu, _ = network._prior_mean(nodes, ratings, delta, 2)
    prior = torch.nn.functional.softplus(network.log_precision).detach().numpy()
    for user in range(2):
        mine = (ratings.user == user).numpy()
        d, o, y, m = delta.numpy()[mine], offset.numpy()[mine], ratings.label.numpy()[mine], mu.numpy()[user]

        def objective(w: np.ndarray, d=d, o=o, y=y, m=m) -> float:
            margin = o + d @ w
            return float((np.logaddexp(0, margin) - y * margin).sum() + (prior * (w - m) ** 2).sum() / 2)

        exact = minimize(objective, m, method="BFGS", options={"gtol": 1e-9}).x
        assert np.abs(posterior.w[user].numpy() - exact).max() < 1e-3


def test_who_contradicts_all_they_said_before_moves_towards_what_they_say_now() -> None:
    """Far from the prior mean a full Newton step overshoots and ends beyond reason; it must not."""
    router, world = trained()
    own = router.own_ratings(SHORT, world)
    known = router.predict_proba(SHORT, UNSEEN, own)
    for n in (1, 3, 10, 30):
        said = [comparison(SHORT, world.queries[i % 30], LLMS[1], LLMS[0], Outcome.A, str(i)) for i in range(n)]
        turned = PreferenceDataset.from_comparisons(
            [*said, *(_again(own, i) for i in range(len(own)))], world.queries, LLMS
        )
        found = router.predict_proba(SHORT, UNSEEN, turned)
        assert (found[:, 1] > known[:, 1]).all()
        assert (found[:, 0] < known[:, 0]).all()


def _again(own: PreferenceDataset, row: int) -> Comparison:
    a, b = own.llms[own.llm_a[row]], own.llms[own.llm_b[row]]
    return comparison(SHORT, own.queries[own.query[row]], a, b, own.outcome_of(row), f"own-{row}")


def test_the_graph_holds_only_what_it_was_given() -> None:
    world = two_camps()
    part = world.where(np.arange(7))
    graph = build_graph(part, HashEncoder())
    assert graph.data[RATED_BY].edge_index.shape == (2, 7) == graph.data[SIDE_A].edge_index.shape
    assert (graph.data[RATED_BY].edge_index[1].diff() >= 0).all()
    assert sorted(graph.data[RATED_BY].row.tolist()) == list(range(7))


def test_non_finite_vectors_are_refused_and_counted() -> None:
    class Broken(HashEncoder):
        def encode(self, texts):
            vectors = super().encode(texts)
            vectors[:1] = np.nan
            return vectors

    with pytest.raises(InvalidInput, match="1 query vectors are not finite"):
        build_graph(two_camps(), Broken())


@given(st.lists(st.tuples(st.integers(0, 29), st.permutations(range(4)), st.sampled_from(list(Outcome))), max_size=60))
def test_whatever_a_person_says_the_answer_is_a_distribution(said) -> None:
    router, world = trained()
    rated = [
        comparison("x", world.queries[q], LLMS[order[0]], LLMS[order[1]], outcome, str(i))
        for i, (q, order, outcome) in enumerate(said)
    ]
    history = PreferenceDataset.from_comparisons(rated, world.queries, LLMS)
    probabilities = router.predict_proba(UserId("x"), UNSEEN, history)
    assert np.isfinite(probabilities).all() and np.allclose(probabilities.sum(axis=1), 1)


def test_what_the_callback_raises_ends_the_fit() -> None:
    fitting, validation, _ = two_camps(users=4).split("query")
    heard: list[Epoch] = []

    def stop(epoch: Epoch) -> None:
        heard.append(epoch)
        raise TrainingCancelled

    with pytest.raises(TrainingCancelled):
        GatRouter.fit_with_report(fitting, validation, HashEncoder(), TrainConfig(epochs=5), stop)
    assert [epoch.number for epoch in heard] == [1]


@pytest.mark.parametrize(
    "bad", [{"epochs": 0}, {"learning_rate": 2.0}, {"noise": float("nan")}, {"device": "tpu"}, {"precision": "int8"}]
)
def test_a_training_setting_out_of_range_is_named(bad) -> None:
    with pytest.raises(InvalidInput, match=next(iter(bad))):
        TrainConfig(**bad)
    with pytest.raises(InvalidInput, match="Unknown training setting: speed"):
        TrainConfig.from_dict({"speed": 1})


@pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no GPU here: that CPU and GPU agree is checked where there is one"
)
def test_gpu_and_cpu_agree() -> None:
    router, world = trained()
    on_gpu = GatRouter.from_bytes(router.to_bytes(), HashEncoder(), device="cuda")
    assert np.abs(on_gpu.predict_proba(SHORT, UNSEEN, world) - router.predict_proba(SHORT, UNSEEN, world)).max() < 1e-3
    fitting, validation, _ = world.split("query")
    for precision in ("float32", "auto"):
        config = TrainConfig(epochs=12, device="cuda", precision=precision)
        fitted = GatRouter.fit_with_report(fitting, validation, HashEncoder(), config)[0]
        losses = [evaluate(predict_pairs(each, validation, fitting)).log_loss.value for each in (fitted, router)]
        assert abs(losses[0] - losses[1]) < 0.05


def test_training_in_mixed_precision_comes_to_the_same_and_what_is_served_is_in_single() -> None:
    fitting, validation, _ = two_camps(ratings=30).split("query")
    fits = [
        fit_network(fitting, validation, HashEncoder(), TrainConfig(epochs=8, precision=precision, device="cpu"))
        for precision in ("float32", "bfloat16")
    ]
    single, mixed = (min(epoch.validation_loss for epoch in fit.report.curve) for fit in fits)
    assert single < 0.4 and abs(mixed - single) < 0.02
    assert fits[0].report.curve[0].train_loss != fits[1].report.curve[0].train_loss
    assert {tensor.dtype for tensor in fits[1].network.state_dict().values()} == {torch.float32}
    loaded = PosteriorGAT(fits[1].network.shape).eval()
    loaded.load_state_dict(fits[1].network.state_dict())
    graph = build_graph(fitting, HashEncoder())
    with torch.no_grad():
        for part, same in zip(fits[1].network.nodes(graph), loaded.nodes(graph), strict=True):
            assert torch.equal(part, same)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_asking_for_a_gpu_where_there_is_none_says_so() -> None:
    assert resolve_device("auto").type == "cpu"
    with pytest.raises(InvalidInput, match="no GPU here"):
        resolve_device("cuda")


def test_a_choice_among_several_weighs_as_one_item_and_is_never_split_into_message_and_target() -> None:
    world = two_camps(users=8)
    chosen = replace(world, choice=world.user.astype(np.int64) * 9 + world.place_within_user // 6)
    fitting, validation, _ = chosen.split("query")
    fit = Fit(fitting, validation, HashEncoder(), TrainConfig(epochs=1))
    edges, users = fit._batch()
    for _ in range(5):
        visible, targets = fit._masked(edges, users)
        assert not set(visible.choice.tolist()) & set(targets.choice.tolist())
        assert len(visible.user) + len(targets.user) == len(edges.user)
    # a step reads some of a choice's losers, and what is left weighs as the smaller choice that it is
    batches = [fit._batch()[0] for _ in range(20)]
    several = int((fitting.stage >= 0).sum())
    assert several and np.mean([int((b.stage >= 0).sum()) for b in batches]) < several
    for batch in batches:
        left = torch.bincount(batch.stage[batch.stage >= 0])[batch.stage]
        assert torch.allclose(batch.weight, torch.where(batch.stage < 0, 1.0, 2 / (left + 1)))
    own = fitting.of_user(fitting.users[0])
    graph = build_graph(own, HashEncoder(), fit.graph.tasks)
    once = ratings_of(graph)
    assert once.weight.tolist() == pytest.approx(own.weight.tolist()) and once.weight.min() < 1
    network, nodes = fit.network.eval(), fit.network.eval().nodes(graph)
    # a choice says less than its comparisons would one by one
    together, apart = (
        network.posterior(nodes, r, 1) for r in (once, once._replace(stage=-torch.ones_like(once.stage)))
    )
    assert torch.logdet(together.precision[0]) < torch.logdet(apart.precision[0])
