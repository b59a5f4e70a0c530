"""The learned map by Streamlit's test runner, and its charts by what they say."""

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from core.domain import UserId
from core.encoders import SentenceEncoder
from core.routers.gat import GatRouter
from core.settings import Settings
from db.embeddings import CachedEncoder
from db.engine import Database
from db.models import Role, RunStatus
from db.people import Person
from db.preferences import PreferenceStore
from db.routers import RouterRegistry
from db.worker import Worker
from pages.parts import context
from pages.parts.colours import DARKER, OKABE_ITO, QUIET, colours
from pages.parts.map_charts import map_chart, rating_graph, share_heat_chart
from pages.parts.map_points import COLOURINGS, shown_names

Open = Callable[..., AppTest]


def words(app: AppTest) -> str:
    kinds = ("title", "subheader", "markdown", "caption", "info", "warning", "error")
    return "\n".join(str(getattr(element, "value", "")) for kind in kinds for element in app.get(kind))


def sent(app: AppTest) -> str:
    return "".join(str(element.proto) for element in app._tree if hasattr(element, "proto"))


def frame(app: AppTest, first: str) -> pd.DataFrame:
    """The table whose first column has this name."""
    return next(table.value for table in app.dataframe if table.value.columns[0] == first)


def test_before_any_training_the_map_shows_queries_by_their_words(open_page: Open, demo: Database) -> None:
    app = open_page("embeddings", "Ada")
    assert not app.exception and not app.error
    assert "No router yet" in words(app)
    app.toggle(key="map.texts").set_value(True).run(timeout=300)
    assert "54 queries" in words(app)
    assert len(frame(app, "Query")) == 54


def test_everyone_is_on_the_map_and_in_the_tables(open_page: Open, trained: Database) -> None:
    app = open_page("embeddings", "Ada")
    assert not app.exception and not app.error
    assert "60 people" in words(app) and "54 queries" in words(app) and "60 of them are simulated" in words(app)
    people = frame(app, "Who")
    assert len(people) == 60
    assert (people["Personal"].diff().dropna() <= 0).all()
    shares = people.drop(columns=["Who", "Ratings", "Gets most", "Personal"])
    np.testing.assert_allclose(shares.sum(axis=1), 100)
    assert set(people["Gets most"]) == set(shares.columns)


@pytest.mark.parametrize("colouring", COLOURINGS)
def test_each_colouring_can_be_chosen_and_a_group_of_it_filters_the_tables(
    open_page: Open, trained: Database, colouring: str
) -> None:
    app = open_page("embeddings", "Ada")
    app.selectbox(key="map.colour").select(colouring).run()
    assert not app.exception and not app.error
    only = app.multiselect(key=f"map.only.{colouring}")
    only.select(only.options[0]).run()
    assert not app.exception and not app.error
    assert len(frame(app, "Who")) + len(frame(app, "Query")) < 114


def test_search_finds_a_person_and_shows_neighbours_actions_and_their_graph(open_page: Open, trained: Database) -> None:
    app = open_page("embeddings", "Ada")
    app.text_input(key="map.find").set_value("joker-03").run()
    assert "simulated-joker-03 (simulated)" in words(app)
    near = frame(app, "People")
    assert len(near) == 5 and near["People"].str.startswith("simulated-joker").all()
    assert "Ratings of simulated-joker-03" in words(app)
    assert [b.label for b in app.button if "Open" in b.label] == ["Open in Who gets which LLM"]
    app.text_input(key="map.find").set_value("nobody of this name").run()
    assert "No person, query or LLM called “nobody of this name”" in words(app)


def test_a_rater_sees_themselves_and_others_without_their_names(
    open_page: Open, trained: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = context.current_person

    def as_rater() -> Person | None:
        person = real()
        return replace(person, role=Role.RATER) if person else None

    monkeypatch.setattr(context, "current_person", as_rater)
    app = open_page("embeddings", "Ada")
    assert not app.exception and not app.error
    assert "simulated-" not in sent(app)
    assert frame(app, "Who")["Who"].str.fullmatch(r"Simulated user \d+").all()
    app.text_input(key="map.find").set_value("Simulated user 7").run()
    assert "for analysts" in words(app)
    assert not [b for b in app.button if "Open" in b.label]


def test_two_versions_are_laid_over_each_other(open_page: Open, trained: Database) -> None:
    registry = RouterRegistry(trained)
    first = registry.versions()[0]
    again = registry.publish(first.kind, registry.load(first.id), first.card)
    app = open_page("embeddings", "Ada")
    app.selectbox(key="map.other").select(again.id).run()
    assert not app.exception and not app.error
    assert "119 common points: 100% of the picture is the same" in words(app)


def test_a_worker_draws_t_sne_of_a_version_which_then_can_be_chosen(open_page: Open, trained: Database) -> None:
    app = open_page("embeddings", "Ada")
    app.selectbox(key="map.picture").select("t-SNE").run()
    assert "No t-SNE picture of version 1 was drawn yet" in words(app) and "(PCA)" in words(app)
    app.button(key="map.draw").click().run()
    assert not app.exception and not app.error
    settings = Settings(_env_file=None)  # type: ignore[call-arg]
    ended = Worker(trained, CachedEncoder(SentenceEncoder(""), trained), settings).run_once()
    assert ended is not None and ended.status == RunStatus.DONE, ended and ended.error
    app.run()
    shown = words(app)
    assert "t-SNE, drawn " in shown and "(PCA)" not in shown and "joined since" not in shown
    app.text_input(key="map.find").set_value("Demo Terse").run()
    assert "nearest in the full space" in words(app) and not app.exception
    app.selectbox(key="map.picture").select("PCA").run()
    assert "(PCA)" in words(app)


def test_a_state_that_is_not_finite_is_left_out_and_counted(open_page: Open, trained: Database) -> None:
    registry, store = RouterRegistry(trained), PreferenceStore(trained)
    encoder = CachedEncoder(SentenceEncoder(""), trained)
    network = GatRouter.from_bytes(registry.load(registry.versions()[0].id), encoder)
    network.network.llm_free.data[0] = float("nan")
    assert len(store.llms()) == 5
    broken = registry.publish("gat", network.to_bytes(), {})
    registry.activate(broken.id, by="test", reason="broken on purpose")
    app = open_page("embeddings", "Ada")
    assert not app.exception
    assert "not finite and were left out" in words(app)


def test_llms_keep_their_colours_when_another_joins_and_none_is_used_twice() -> None:
    names = [f"llm-{i}" for i in range(14)]
    few, many = colours(names[:5]), colours(names)
    assert all(many[name] == few[name] for name in few)
    assert len(set(many.values())) == len((*OKABE_ITO, *DARKER, QUIET))


def test_others_numbers_tell_nothing_of_the_order_of_their_names() -> None:
    users = [UserId(f"user-{i:02}") for i in range(20)]
    shown = shown_names(users, users[3], {}, all_names=False)
    assert shown[3] == "user-03 (you)"
    numbers = [int(name.split()[1]) for i, name in enumerate(shown) if i != 3]
    assert len(set(numbers)) == 19 and numbers != sorted(numbers)


def test_the_maps_charts_say_what_they_select_and_draw() -> None:
    columns = ["id", "kind", "name", "x", "y", "group", "size", "ratings", "label", "found"]
    points = pd.DataFrame([("Person-0", "Person", "Ada", 0.0, 1.0, "a", 0.5, 3, "", False)], columns=columns)
    spec = map_chart(points, {"a": "#000000"}).to_dict()
    assert {param["name"] for param in spec["params"]} == {"brush", "click"}
    cells = pd.DataFrame([("Ada", "x", 0.5, 0.25, 0.25)], columns=["row", "column", "share", "average", "apart"])
    assert "50%" in json.dumps(share_heat_chart(cells, ["Ada"], ["x"], {"x": "#000000"}).to_dict())


def test_the_graph_of_a_person_has_their_newest_ratings_and_no_others(demo: Database) -> None:
    said = PreferenceStore(demo).history(UserId("simulated-joker-01"))
    graph = rating_graph("joker", said, {}, {}, 5)["series"][0]
    assert len([node for node in graph["data"] if node["id"].startswith("q")]) <= 5
    assert len([link for link in graph["links"] if link["target"].startswith("m")]) == 10
    assert json.dumps(graph)
