"""The page of honest evaluation, on what a worker really found."""

from collections.abc import Callable

from streamlit.testing.v1 import AppTest

from core.routers.vectors import EncodedOnce
from core.settings import Settings
from db.engine import Database
from db.evaluations import EVALUATION
from db.models import RunStatus
from db.runs import TrainingRuns
from db.worker import Worker
from tests.pages.test_pages import button, words
from tests.planted import HashEncoder

Open = Callable[..., AppTest]


def test_an_evaluation_is_asked_for_run_by_a_worker_and_shown_with_its_verdict(open_page: Open, demo: Database) -> None:
    app = open_page("evaluation", "Ada")
    assert "Nothing was evaluated yet" in words(app)
    app.selectbox(key="evaluation.router").set_value("user_task_best").run()
    button(app, "Evaluate").click().run()
    runs = TrainingRuns(demo, 30)
    asked = runs.active(EVALUATION)
    assert asked is not None and asked.config == {"router": "user_task_best"}
    assert button(app, "Evaluate").disabled and "by Ada" in words(app)

    settings = Settings(_env_file=None)  # type: ignore[call-arg]
    ended = Worker(demo, EncodedOnce(HashEncoder()), settings).run_once()
    assert ended is not None and ended.status == RunStatus.DONE, ended and ended.error
    assert runs.latest() == []  # no training, and nothing published

    app = open_page("evaluation", "Ada")
    assert not app.exception and not app.error
    said = words(app)
    assert "Personal and global routing are separable on these ratings" in said
    assert said.count("**Holds**") == 3
    for heading in ("New users", "A new LLM", "Calibration", "Cost against quality", "Contamination"):
        assert heading in said
    assert len(app.get("vega_lite_chart")) >= 5 and len(app.get("download_button")) >= 5
