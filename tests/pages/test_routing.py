"""Who gets which LLM by Streamlit's test runner: one person with reasons and what would change them, and everyone."""

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from core.domain import Outcome, UserId
from core.style_profile import StyleEffect
from db.engine import Database
from db.models import AssignmentRow, Role
from db.people import Person
from db.preferences import PreferenceStore
from db.routers import RouterRegistry
from pages.parts import context
from pages.parts.everyone import interval
from pages.parts.reasons import style_sentence
from tests.db.test_drift import TURNED, turning

Open = Callable[..., AppTest]
WHO = "simulated-brief-03"


def words(app: AppTest) -> str:
    kinds = ("title", "subheader", "markdown", "caption", "info", "warning", "success", "error")
    return "\n".join(str(getattr(element, "value", "")) for kind in kinds for element in app.get(kind))


def frame(app: AppTest, first: str) -> pd.DataFrame:
    return next(table.value for table in app.dataframe if table.value.columns[0] == first)


def test_a_choice_is_shown_with_reasons_what_would_change_it_taste_in_style_and_tasks(
    open_page: Open, trained: Database
) -> None:
    app = open_page("routing", "Ada")
    app.selectbox(key="routing.user").select(WHO).run()
    assert not app.exception and not app.error
    shown = words(app)
    for heading in ("Ratings that weighed most", "What would change it", "Taste in style", "By task"):
        assert heading in shown
    assert "not proof of cause" in shown and "- Cost: " in shown and "- One rating: " in shown
    assert "100 more words" in shown or "for 100 fewer words" in shown
    told = re.search(r"would call it a tie with (\d+)% .*call both bad with (\d+)% .*from (\d+) ratings", shown)
    assert told and 0 < int(told[1]) + int(told[2]) < 100 and int(told[3]) > 0
    assert len(frame(app, "They said")) > 0


def test_the_hit_rate_stands_beside_how_often_the_person_agrees_with_themselves(
    open_page: Open, trained: Database
) -> None:
    app = open_page("routing", "Ada")
    app.selectbox(key="routing.user").select(WHO).run()
    assert re.search(r"This router: too few \(\d+ of 20\)", words(app))
    assert "What a probability means here: too few" in words(app)
    rate_twice(trained, UserId("Ada"), 24)
    app.selectbox(key="routing.user").select("Ada").run()
    assert not app.exception and not app.error
    shown = words(app)
    assert "How right it is about you" in shown
    assert re.search(r"\*\*\d+% ± \d+\*\*; you agree with yourself 100% ± \d+ \(n = \d+\)", shown)
    assert "Where it says 80%, it has meant" in shown


def rate_twice(database: Database, user: UserId, times: int) -> None:
    """So many pairs, each rated again with its sides swapped and the same response preferred."""
    store = PreferenceStore(database)
    for i in range(times):
        pair = store.assign(user)
        assert pair is not None
        outcome = Outcome.A if i % 2 else Outcome.B
        store.record(user, pair.token, outcome, minimum_dwell=0)
        with database.write() as session:
            row = session.query(AssignmentRow).filter_by(token=pair.token).one()
            again = {name: getattr(row, name) for name in ("campaign_id", "user_id", "query_id", "shown_at")}
            again |= {"leased_until": row.leased_until, "probability": 1.0, "reason": "repeat", "repeats_id": row.id}
            sides = {f"{what}_{a}_id": getattr(row, f"{what}_{b}_id")
                     for what in ("response", "llm") for a, b in ("ab", "ba")}  # fmt: skip
            session.add(AssignmentRow(**again, **sides, token=f"again-{i}", status="open"))
        store.record(user, f"again-{i}", Outcome.B if outcome is Outcome.A else Outcome.A, minimum_dwell=0)


def test_a_change_of_taste_is_shown_with_its_evidence_dealt_with_and_taken_back(
    open_page: Open, trained: Database
) -> None:
    app = open_page("routing", "Ada")
    app.selectbox(key="routing.user").select(WHO).run()
    assert "The taste of" not in words(app)
    PreferenceStore(trained).add_bundle(turning())
    app.run()
    app.selectbox(key="routing.user").select(TURNED).run()
    assert not app.exception and not app.error
    assert "The taste of turned changed" in words(app) and "of 100 people whose taste never changes" in words(app)
    assert re.search(r"from 90 ratings", words(app))
    app.button(key="drift.newer").click().run()
    assert re.search(r"Routed by the \d+ ratings since \d+ April 2026, of 90: Ada chose so", words(app))
    assert "The taste of" not in words(app) and not re.search(r"from 90 ratings", words(app))
    next(button for button in app.button if button.label == "Route by all ratings again").click().run()
    assert "The taste of turned changed" in words(app)
    app.button(key="drift.ignore").click().run()
    assert "is ignored: Ada chose so" in words(app) and re.search(r"from 90 ratings", words(app))


def test_the_cost_setting_names_what_it_serves_instead(open_page: Open, trained: Database) -> None:
    app = open_page("routing", "Ada")
    app.selectbox(key="routing.user").select("simulated-learner-03").run()
    slider = app.slider[0]
    slider.set_value(0.95).run()
    assert not app.exception and not app.error
    assert "At this setting" in words(app) or "already the cheapest" in words(app)


def test_everyone_is_seen_at_once_sorted_by_how_personal_with_the_hit_rate_beside_the_baselines(
    open_page: Open, trained: Database
) -> None:
    app = open_page("routing", "Ada")
    app.segmented_control(key="routing.view").select("Everyone").run()
    assert not app.exception and not app.error
    shown = words(app)
    assert "60 people, 60 of them simulated" in shown and "Is it real?" in shown
    assert "held-out ratings" in shown and "Personal routing is better" in shown
    table = frame(app, "Who")
    assert len(table) == 60 and (table["Personal"].diff().dropna() <= 0).all()
    app.selectbox(key="everyone.task").select("code").run()
    app.selectbox(key="everyone.order").select("By name").run()
    assert not app.exception and not app.error
    assert frame(app, "Who")["Who"].is_monotonic_increasing
    assert "; 9 queries" in words(app)


def test_a_router_that_gains_nothing_is_said_to_gain_nothing(open_page: Open, trained: Database) -> None:
    registry = RouterRegistry(trained)
    first = registry.versions()[0]
    best, *others = first.card["standings"]
    nothing = {**first.card, "standings": [{**best, "gain": {**best["gain"], "low": -0.01}}, *others]}
    registry.activate(registry.publish(first.kind, registry.load(first.id), nothing).id, by="test", reason="no gain")
    app = open_page("routing", "Ada")
    app.segmented_control(key="routing.view").select("Everyone").run()
    assert "not separable yet" in words(app)


def test_a_rater_sees_their_own_routing_only(
    open_page: Open, trained: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = context.current_person

    def as_rater() -> Person | None:
        person = real()
        return replace(person, role=Role.RATER) if person else None

    monkeypatch.setattr(context, "current_person", as_rater)
    app = open_page("routing", "Ada")
    assert not app.exception and not app.error
    assert app.selectbox(key="routing.user").options == ["Ada (you)"]
    assert "Everyone" not in words(app)


def test_before_any_training_there_is_nobody_to_compare(open_page: Open, demo: Database) -> None:
    app = open_page("routing", "Ada")
    app.segmented_control(key="routing.view").select("Everyone").run()
    assert "No router yet" in words(app)


def test_a_taste_in_style_is_told_with_its_figure_interval_and_number() -> None:
    short = StyleEffect("100 more words", -0.12, -0.19, -0.04, 55, -0.5)
    assert style_sentence(short, own=True) == (
        "You would give up about 12 points of chance (4 to 19) for 100 fewer words in an answer, n = 55."
    )
    unclear = StyleEffect("one more header", 0.02, -0.05, 0.09, 31, 0.1)
    assert style_sentence(unclear, own=False) == "One more header: +2 points (-5 to +9), n = 31; too close to call."


def test_intervals_of_shares_stay_inside_what_a_share_can_be() -> None:
    low, high = interval(np.array([1.0, 1.0, 0.9]))
    assert low == pytest.approx(0.90, abs=0.01)
    assert high == 1.0
    assert interval(np.array([0.3])) == (0.0, 0.8)
