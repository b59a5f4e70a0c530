from core.attention import Facts, attention
from core.readiness import readiness

CALM = Facts(
    ratings=100, people=5, llms=3, pairs=3, compared=3, needs=readiness(100, 90, 20, 3),
    service={"ratings": {"train": 90, "test": 5}}, run_status="done", run_error=None, refused=None,
)  # fmt: skip


def test_where_all_is_well_nothing_is_said() -> None:
    assert attention(CALM) == ()


def test_each_thing_to_do_is_said_with_its_figures() -> None:
    assert "Nothing has been rated yet" in attention(CALM._replace(ratings=0))[0]
    assert attention(CALM._replace(compared=1)) == ("2 of 3 pairs of LLMs were never compared.",)
    assert "95 ratings; there are 200 now" in attention(CALM._replace(ratings=200))[0]
    assert "Only simulated users" in attention(CALM._replace(people=0))[0]
    assert "enough to train one" in attention(CALM._replace(service=None))[0]
    assert attention(CALM._replace(service=None, run_status="running")) == ()
    little = CALM._replace(service=None, needs=readiness(10, 9, 20, 3))
    assert "10 of 60 ratings, 9 of 30 decisive ratings" in attention(little)[0]
    assert attention(CALM._replace(run_status="failed", run_error="Out of memory.")) == (
        "The last training failed. Out of memory.",
    )
    assert attention(CALM._replace(refused="Promotion refused."))[0].endswith("Promotion refused.")
