import openai
import pytest
from sqlalchemy import func, select

from db.keys import ApiKeys, Scope
from db.models import ComparisonRow, RoutingDecisionRow, UserRow
from db.preferences import PreferenceStore
from tests.db.worlds import at_once

PROMPT = "Explain how rainbows form"


def post(client: openai.OpenAI, path: str, **body):
    return client.post(path, cast_to=object, body=body)


def route(client: openai.OpenAI, user: str, *queries: str, **more):
    return post(client, "/route", user=user, queries=list(queries) or [PROMPT], **more)["data"]


def compare(client: openai.OpenAI, user: str, prompt: str, **more):
    said = {
        "messages": [{"role": "user", "content": prompt}], "a": {"model": "demo-terse", "content": f"Short: {prompt}"},
        "b": {"model": "demo-tutor", "content": f"Step by step: {prompt}"}, "outcome": "b",
    }  # fmt: skip
    return post(client, "/feedback", user=user, **(said | more))["status"]


def test_the_list_holds_the_router_its_versions_and_every_llm(client):
    found = [model.id for model in client.models.list()]
    assert found[:2] == ["prefroute", "prefroute-1"] and {"demo-terse", "fast"} <= set(found)


def test_after_five_comparisons_a_new_users_decisions_change_without_training(client, endpoint):
    new, other = "Newcomer", "Nobody Else"
    before = route(client, new)[0]
    assert before["ratings"] == 0 and before["probabilities"] == route(client, other)[0]["probabilities"]
    assert before["llm"] != "demo-tutor"
    for i in range(5):
        assert compare(client, new, f"How do I bake bread number {i}?") == "saved"
    after = route(client, new)[0]
    assert after["ratings"] == 5 and after["version"] == before["version"]
    assert after["probabilities"]["demo-tutor"] > before["probabilities"]["demo-tutor"] + 0.1
    assert after["llm"] == "demo-tutor"
    assert route(client, other)[0]["probabilities"] == before["probabilities"]


def test_a_comparison_sent_again_counts_once_and_is_in_the_next_training(client, endpoint):
    said = PreferenceStore(endpoint.database)
    count = len(said.snapshot())
    assert compare(client, "Repeater", "Why is the sea salt?") == "saved"
    assert compare(client, "Repeater", "Why is the sea salt?") == "already_saved"
    snapshot = said.snapshot()
    assert len(snapshot) == count + 1
    assert "Why is the sea salt?" in {q.text for q in snapshot.queries}


def test_a_comparison_of_a_decision_is_its_reward(client, endpoint):
    decision = route(client, "Rewarder", "What is rust?")[0]
    other = next(llm for llm in decision["probabilities"] if llm != decision["llm"])
    sides = {"a": {"model": decision["llm"], "content": "x"}, "b": {"model": other, "content": "y"}, "outcome": "a"}
    assert compare(client, "Rewarder", "What is rust?", decision=decision["decision"], **sides) == "saved"
    with endpoint.database.read() as session:
        row = session.scalars(select(RoutingDecisionRow).where(RoutingDecisionRow.key == decision["decision"])).one()
    assert row.reward == 1.0
    with pytest.raises(openai.UnprocessableEntityError, match="another query"):
        compare(client, "Rewarder", "Another", decision=decision["decision"], **sides)


def test_thumbs_are_the_persons_own(client, endpoint):
    mine = route(client, "simulated-brief-01")[0]["decision"]
    for thumbs, reward in (("up", 1.0), ("down", 0.0)):
        post(client, "/feedback", user="simulated-brief-01", decision=mine, thumbs=thumbs)
        with endpoint.database.read() as session:
            assert session.scalar(select(RoutingDecisionRow.reward).where(RoutingDecisionRow.key == mine)) == reward
    with pytest.raises(openai.PermissionDeniedError, match="someone else"):
        post(client, "/feedback", user="simulated-learner-01", decision=mine, thumbs="up")
    with pytest.raises(openai.NotFoundError, match="no decision"):
        post(client, "/feedback", user="Ada", decision="dec-none", thumbs="up")


@pytest.mark.parametrize(
    "body",
    [
        {"user": "Ada"},
        {"user": "Ada", "decision": "dec-1"},
        {"user": "Ada", "thumbs": "up"},
        {"user": "Ada", "decision": "dec-1", "thumbs": "up", "outcome": "a"},
        {"user": "  ", "decision": "dec-1", "thumbs": "up"},
    ],
)
def test_feedback_that_is_neither_a_thumb_nor_a_comparison_is_refused(client, body):
    with pytest.raises(openai.UnprocessableEntityError):
        post(client, "/feedback", **body)


def test_ratings_in_a_simulated_name_or_of_an_unknown_llm_are_refused_and_store_nothing(client, endpoint):
    def stored() -> int:
        with endpoint.database.read() as session:
            return session.scalar(select(func.count(ComparisonRow.id))) or 0

    count = stored()
    with pytest.raises(openai.UnprocessableEntityError, match="simulated"):
        compare(client, "simulated-brief-01", "Hello?")
    with pytest.raises(openai.NotFoundError, match="no LLM"):
        compare(client, "Ada", "Hello?", a={"model": "unheard-of", "content": "x"})
    with pytest.raises(openai.UnprocessableEntityError, match="same LLM"):
        compare(client, "Ada", "Hello?", a={"model": "demo-tutor", "content": "x"})
    assert stored() == count


def test_a_thousand_queries_are_decided_in_one_call_and_as_each_alone(client, endpoint):
    queries = [f"Explain number {i} to a child" for i in range(1000)]
    batch = route(client, "simulated-learner-01", *queries)
    assert len(batch) == 1000 and len({d["decision"] for d in batch}) == 1000
    for i in (0, 500, 999):
        alone = route(client, "simulated-learner-01", queries[i])[0]
        assert alone["probabilities"] == pytest.approx(batch[i]["probabilities"], abs=1e-5)
    with pytest.raises(openai.UnprocessableEntityError, match="1000"):
        route(client, "Ada", *queries, "one more")


def test_only_the_allowed_llms_are_chosen_among(client):
    decision = route(client, "simulated-learner-01", llms=["demo-terse", "demo-warm"])[0]
    assert set(decision["probabilities"]) == {"demo-terse", "demo-warm"}
    assert sum(decision["probabilities"].values()) == pytest.approx(1)
    with pytest.raises(openai.NotFoundError, match="unheard-of"):
        route(client, "Ada", llms=["unheard-of"])


@pytest.mark.parametrize(
    ("model", "error", "says"),
    [
        ("prefroute-999", openai.NotFoundError, "router version 999"),
        ("gpt-none", openai.NotFoundError, "GET /v1/models"),
        ("prefroute:2", openai.UnprocessableEntityError, "alpha"),
        ("prefroute:x", openai.UnprocessableEntityError, "alpha"),
        ("prefroute:nan", openai.UnprocessableEntityError, "alpha"),
    ],
)
def test_a_model_that_is_none_is_refused_in_openais_words(client, model, error, says):
    for call in (
        lambda: route(client, "Ada", model=model),
        lambda: client.chat.completions.create(model=model, messages=[{"role": "user", "content": PROMPT}]),
    ):
        with pytest.raises(error, match=says) as caught:
            call()
        assert caught.value.body["type"] == "invalid_request_error" and caught.value.code


def test_without_a_key_with_a_wrong_or_revoked_one_or_the_wrong_scope_nothing_opens(endpoint):
    keys = ApiKeys(endpoint.database)
    revoked, _ = keys.create("revoked", list(Scope), 10, "test")
    keys.revoke("revoked", "test")
    for key in ("pr-none", revoked, "é" * 5 and "x"):
        with pytest.raises(openai.AuthenticationError) as caught:
            endpoint.client(key).models.list()
        assert key not in str(caught.value)
    narrow, _ = keys.create("narrow", ["route"], 10, "test")
    client = endpoint.client(narrow)
    assert route(client, "Ada")
    with pytest.raises(openai.PermissionDeniedError, match="chat"):
        client.chat.completions.create(model="fast", messages=[{"role": "user", "content": PROMPT}])


def test_a_key_over_its_limit_waits_and_another_does_not(endpoint):
    key, _ = ApiKeys(endpoint.database).create("slow", ["route"], 2, "test")
    client = endpoint.client(key).with_options(max_retries=0)
    for _ in range(2):
        client.models.list()
    with pytest.raises(openai.RateLimitError, match="2 requests a minute") as caught:
        client.models.list()
    assert int(caught.value.response.headers["retry-after"]) >= 1
    assert endpoint.client().models.list()


def test_a_body_past_the_limit_is_413(client):
    with pytest.raises(openai.APIStatusError, match="4 MiB") as caught:
        client.chat.completions.create(model="fast", messages=[{"role": "user", "content": "x" * 5_000_000}])
    assert caught.value.status_code == 413


def test_health_and_figures_need_no_key_and_name_nobody(client, endpoint):
    import httpx2

    route(client, "simulated-brief-01", "A very private question")
    health = httpx2.get(f"{endpoint.url}/healthz").json()
    assert health == {"status": "ok", "version": 1}
    figures = httpx2.get(f"{endpoint.url}/metrics").text
    assert 'prefroute_requests_total{route="/v1/route",status="200"}' in figures
    assert "simulated-brief-01" not in figures and "private" not in figures and endpoint.key not in figures


def test_a_crowd_that_asks_at_once_gets_each_their_own_decision_and_each_is_written_down(client, endpoint):
    people = [f"simulated-{taste}-{i:02}" for taste in ("brief", "learner") for i in range(1, 7)]
    alone = [route(client, name)[0] for name in people]

    def one(i: int):
        return route(client, people[i % 12], llms=["unheard-of"] if i >= 12 else [])[0]

    found = at_once(18, one)
    assert all(isinstance(each, openai.NotFoundError) and "unheard-of" in str(each) for each in found[12:])
    for each, before in zip(found[:12], alone, strict=True):
        assert {**each, "decision": "", "milliseconds": 0} == {**before, "decision": "", "milliseconds": 0}
    keys = [each["decision"] for each in found[:12]]
    with endpoint.database.read() as session:
        kept = select(RoutingDecisionRow.key, UserRow.name).join(UserRow, UserRow.id == RoutingDecisionRow.user_id)
        assert dict(session.execute(kept.where(RoutingDecisionRow.key.in_(keys))).all()) == dict(
            zip(keys, people, strict=True)
        )
