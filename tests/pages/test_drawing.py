"""Every chart can be kept: as a picture drawn without any outside host, and as figures that no spreadsheet runs."""

import re

import pandas as pd

from core.settings import ROOT
from pages.parts.charts import choice_chart, share_chart
from pages.parts.drawing import picture, spreadsheet

COLOUR = {"Demo Terse": "#E69F00", "Demo Tutor": "#56B4E9"}
CHOICES = pd.DataFrame({
    "llm": list(COLOUR), "probability": [0.7, 0.3], "low": [0.5, 0.2], "high": [0.8, 0.4], "average": [0.4, 0.6],
})  # fmt: skip


def test_a_picture_is_drawn_with_its_words_colours_and_description_and_asks_no_host() -> None:
    words = picture(choice_chart(CHOICES, COLOUR), "Probability of each LLM", "svg")().decode()
    assert words.startswith("<svg") and "Demo Terse" in words and "Probability of each LLM" in words
    assert all(colour.lower() in words.lower() for colour in COLOUR.values())
    assert set(re.findall(r"https?://[^\"\s]+", words)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    pixels = picture(choice_chart(CHOICES, COLOUR), "Probability of each LLM", "png")()
    assert pixels.startswith(b"\x89PNG") and len(pixels) > 5000


def test_an_llm_has_its_own_colour_and_a_person_the_accent() -> None:
    row = {"name": "Demo Tutor", "value": 0.6, "low": 0.4, "high": 0.8, "reference": 0.5, "note": "60 %"}
    of_llms = share_chart(pd.DataFrame([row]), "Share", COLOUR).to_dict()
    scales = [layer["encoding"]["color"]["scale"] for layer in of_llms["layer"] if "color" in layer["encoding"]]
    assert scales == [{"domain": list(COLOUR), "range": list(COLOUR.values())}]
    of_a_person = share_chart(pd.DataFrame([row]), "Share").to_dict()
    assert not any("color" in layer["encoding"] for layer in of_a_person["layer"])


def test_figures_are_kept_and_text_that_would_be_a_formula_is_text() -> None:
    data = pd.DataFrame({"name": ["=1+1", "plain"], "value": [0.5, -0.25]})
    assert spreadsheet(data).decode().splitlines() == ["name,value", "'=1+1,0.5", "plain,-0.25"]
    assert data["name"].tolist() == ["=1+1", "plain"]


def test_no_page_draws_a_chart_that_cannot_be_kept() -> None:
    drawing = {
        str(path.relative_to(ROOT / "pages")) for path in (ROOT / "pages").rglob("*.py")
        if "altair_chart(" in path.read_text(encoding="utf-8")
    }  # fmt: skip
    assert drawing == {"parts/drawing.py"}
