import openai
import pytest
from sqlalchemy import select

from db.models import LLMRow, ProviderCallRow, RoutingDecisionRow
from tests.openai_server import PROVIDER_BODY, SECRET, words_of

ASKED = [{"role": "user", "content": "Explain how rainbows form"}]
BRIEF, LEARNER = "simulated-brief-01", "simulated-learner-01"


def test_two_people_of_opposed_histories_get_different_llms_for_the_same_prompt(client):
    answers = {
        user: client.chat.completions.create(model="prefroute", user=user, messages=ASKED) for user in (BRIEF, LEARNER)
    }
    assert answers[BRIEF].model == "demo-terse" and answers[LEARNER].model == "demo-tutor"
    for answer in answers.values():
        assert answer.choices[0].message.content and answer.choices[0].finish_reason == "stop"
        assert "stored answer" in answer.prefroute["note"]
        assert sum(answer.prefroute["probabilities"].values()) == pytest.approx(1)


def test_the_decision_is_in_the_body_in_the_headers_and_in_the_log_and_is_the_same(client, endpoint):
    raw = client.chat.completions.with_raw_response.create(model="prefroute", user=BRIEF, messages=ASKED)
    said, headers = raw.parse().prefroute, raw.headers
    assert headers["x-prefroute-decision"] == said["decision"] and headers["x-prefroute-llm"] == said["llm"]
    assert headers["x-prefroute-router"] == "gat-1" and said["version"] == 1 and said["ratings"] == 40
    with endpoint.database.read() as session:
        row, llm = session.execute(
            select(RoutingDecisionRow, LLMRow.key)
            .join(LLMRow, LLMRow.id == RoutingDecisionRow.llm_id)
            .where(RoutingDecisionRow.key == said["decision"])
        ).one()
    assert (llm, row.probabilities, row.propensity) == (said["llm"], said["probabilities"], 1.0)
    assert row.router_version_id == 1 and row.history_count == 40 and row.reward is None


def test_a_stream_brings_the_same_words_and_at_last_the_tokens(client):
    whole = client.chat.completions.create(model="prefroute", user=BRIEF, messages=ASKED)
    chunks = list(
        client.chat.completions.create(
            model="prefroute", user=BRIEF, messages=ASKED, stream=True, stream_options={"include_usage": True}
        )
    )
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == whole.choices[0].message.content
    assert len(chunks) > 5 and chunks[0].prefroute["llm"] == whole.model
    assert chunks[-1].usage == whole.usage and chunks[-2].choices[0].finish_reason == "stop"


def test_an_llm_is_asked_by_its_own_name_with_the_options_given_and_its_cost(client, openai_server, endpoint):
    answer = client.chat.completions.create(model="fast", messages=ASKED, temperature=0.5, max_tokens=9)
    assert answer.choices[0].message.content == "".join(words_of("fast", ASKED[0]["content"]))
    assert answer.usage is not None and answer.usage.prompt_tokens == 100
    assert answer.prefroute["cost"] == pytest.approx((100 + 4 * 6) / 1e6)
    assert openai_server.bodies[0]["temperature"] == 0.5 and openai_server.bodies[0]["max_tokens"] == 9
    assert "user" not in openai_server.bodies[0]  # a person's name is nobody else's business
    with endpoint.database.read() as session:
        call = session.scalars(select(ProviderCallRow).order_by(ProviderCallRow.id.desc())).first()
    assert call is not None and (call.llm_key, call.cost) == ("fast", answer.prefroute["cost"])


def test_alpha_moves_the_choice_to_the_cheapest(client):
    dear = client.chat.completions.create(model="prefroute:0", user=LEARNER, messages=ASKED)
    cheap = client.chat.completions.create(model="prefroute-1:1", user=LEARNER, messages=ASKED)
    assert dear.model == "demo-tutor" and cheap.model == "demo-terse" and cheap.prefroute["alpha"] == 1


@pytest.mark.parametrize(
    ("model", "status", "code"),
    [
        ("broken", 502, "provider_garbage"),
        ("html", 502, "provider_garbage"),
        ("stall", 502, "provider_timeout"),
        ("rate-limited", 429, "provider_rate_limit"),
        ("nowhere", 502, "provider_no_endpoint"),
        ("short", 400, "context_length_exceeded"),
    ],
)
def test_each_failure_of_a_provider_has_its_status_and_the_client_does_not_ask_again(
    client, openai_server, model, status, code
):
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(model=model, messages=ASKED)
    assert caught.value.status_code == status and caught.value.code == code
    assert PROVIDER_BODY not in str(caught.value) and SECRET not in str(caught.value)
    assert openai_server.seen[model] == {"rate-limited": 3, "nowhere": 0}.get(model, 1)


@pytest.mark.parametrize("model", ["cut", "stall-midway"])
def test_a_stream_that_breaks_off_says_so_after_its_words(client, model, openai_server):
    words: list[str] = []
    stream = client.chat.completions.create(model=model, messages=ASKED, stream=True)
    with pytest.raises(openai.APIError, match="text is kept"):
        words.extend(chunk.choices[0].delta.content or "" for chunk in stream)
    assert "".join(words) == f"{model} says " and openai_server.seen[model] == 1


def test_whoever_hangs_up_stops_the_provider(client, openai_server, endpoint):
    stream = client.chat.completions.create(model="endless", messages=ASKED, stream=True)
    for _, _chunk in zip(range(5), stream, strict=False):
        pass
    stream.close()
    for _ in range(200):
        if openai_server.hung_up["endless"]:
            break
        openai_server.release.wait(0.05)
    assert openai_server.hung_up["endless"] == 1
