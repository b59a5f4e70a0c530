"""The page "Data in and out" by Streamlit's test runner: upload, check, confirm, rejects, what is here."""

import json
import zipfile
from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from core.exporters import EXPORTERS
from core.exporters.selection import Selection
from db.datasets import Datasets
from db.engine import Database
from db.preferences import PreferenceStore
from pages.parts.exporting import _zipped
from pages.parts.importing import desk_of
from tests.pages.test_pages import button, words

Open = Callable[..., AppTest]
GOOD = b"user,query,llm_a,llm_b,response_a,response_b,outcome\nann,Hi?,m1,m2,one,two,a\nben,Hi?,m1,m2,one,two,b\n"


@pytest.fixture(autouse=True)
def a_clean_desk(url: str) -> None:
    desk_of("Ada").clear()


def uploaded(app: AppTest, name: str, content: bytes) -> AppTest:
    return app.file_uploader[0].upload(name, content, "text/csv").run()


def settled(app: AppTest) -> AppTest:
    job = desk_of("Ada").job
    assert job is not None
    job.wait(60)
    return app.run()


def test_an_empty_database_offers_templates_and_the_demo_world(open_page: Open, database: Database) -> None:
    app = open_page("data", "Ada")
    assert "Nothing is here yet" in words(app)
    assert {"ratings.csv", "responses.csv", "queries.csv", "llms.csv"} <= {
        str(getattr(b, "label", "")) for b in app.get("download_button")
    }
    button(app, "Load demo data").click().run()
    assert "Demo world (simulated users)" in words(app) and "2,400 ratings" in words(app)
    assert not any(b.label == "Load demo data" for b in app.button)
    button(app, "Remove it").click().run()
    assert "Nothing is here yet" in words(app)


def test_a_file_is_recognised_checked_and_imported(open_page: Open, store: PreferenceStore) -> None:
    app = uploaded(open_page("data", "Ada"), "votes.csv", GOOD)
    assert "Recognised as **ratings**" in words(app)
    button(app, "Check the file").click().run()
    app = settled(app)
    assert "2 ready · 0 already here · 0 rejected" in words(app)
    assert not list(store.comparisons())
    button(app, "Import 2 ratings").click().run()
    app = settled(app)
    assert "2 ratings added" in words(app) and len(list(store.comparisons())) == 2
    button(app, "Import another file").click().run()
    assert "votes.csv" in words(app) and app.file_uploader


def test_rejected_rows_keep_the_file_out_until_the_valid_ones_are_asked_for(
    open_page: Open, store: PreferenceStore
) -> None:
    app = uploaded(open_page("data", "Ada"), "votes.csv", GOOD + b"ann,Hi?,m1,m2,one,two,left\n")
    button(app, "Check the file").click().run()
    app = settled(app)
    assert "2 ready · 0 already here · 1 rejected" in words(app)
    assert button(app, "Import 2").disabled
    assert app.dataframe[0].value["Row"].tolist() == [3]
    app.checkbox(key="data.valid_rows").check().run()
    button(app, "Import 2").click().run()
    assert "1 rejected" in words(settled(app)) and len(list(store.comparisons())) == 2


def test_columns_of_other_names_are_asked_for_and_mapped(open_page: Open, store: PreferenceStore) -> None:
    app = uploaded(open_page("data", "Ada"), "antworten.csv", b"frage,antwort,wer\nHi?,one,m1\nHi?,two,m2\n")
    assert "no known format" in words(app)
    next(box for box in app.selectbox if box.label == "Format").select("responses").run()
    assert button(app, "Check the file").disabled
    for name, column in (("query", "frage"), ("llm", "wer"), ("response", "antwort")):
        next(box for box in app.selectbox if box.label == f"{name} (needed)").select(column).run()
    button(app, "Check the file").click().run()
    app = settled(app)
    assert "2 ready" in words(app) and "Counted are responses" in words(app)


def test_a_file_that_cannot_be_read_says_why_and_stores_nothing(open_page: Open, database: Database) -> None:
    app = uploaded(open_page("data", "Ada"), "votes.csv", "user,query\né\n".encode("latin-1"))
    assert "so nothing was stored" in words(app)
    again = uploaded(open_page("data", "Ada"), "votes.parquet", b"PAR1 no")
    assert "not parquet" in words(again) and "Nothing is here yet" in words(again)


def test_what_is_here_can_be_downloaded_with_its_card_and_frozen(open_page: Open, demo: Database) -> None:
    app = open_page("data", "Ada")
    assert "A zip of the file and its data card" in words(app)
    formats = app.selectbox(key="data.export.format")
    assert len(formats.options) == len(EXPORTERS)
    formats.select("dpo").run()
    assert app.selectbox(key="data.export.ties").value == "drop"
    app.text_input(key="data.freeze.name").set_value("before").run()
    button(app, "Freeze").click().run()
    assert [version.name for version in Datasets(demo).versions()] == ["before"]
    assert "before (2,400 ratings)" in app.selectbox(key="data.export.dataset").options[1]
    button(app, "Freeze").click().run()
    assert "needs a name" in words(app)


def test_a_download_is_a_zip_of_the_file_and_its_card(open_page: Open, demo: Database) -> None:
    open_page("data", "Ada")
    with zipfile.ZipFile(_zipped("x.csv", "edges", Selection(), None, False, "drop")) as packed:
        assert packed.namelist() == ["x.csv", "x.csv.card.json"]
        card = json.loads(packed.read("x.csv.card.json"))
    assert card["rows"] == 2400 and card["simulated_users"] == 60
