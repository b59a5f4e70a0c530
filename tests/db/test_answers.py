from core.domain import LLMId
from core.providers import STORED, Message, Providers
from db.answers import StoredResponses
from db.demo import SOURCE, demo_bundle
from db.preferences import PreferenceStore
from tests.planted import HashEncoder


def test_every_demo_llm_answers_the_demo_query_itself_with_what_was_written_for_it(database):
    world = demo_bundle()
    PreferenceStore(database).add_bundle(world)
    answers = StoredResponses(database, HashEncoder())
    written = {(r.query_id, r.llm_id): r.text for r in world.responses}
    for llm in world.llms:
        assert llm.endpoint == STORED
        for query in world.queries[::9]:
            found = answers.nearest(llm.llm_id, query.text)
            assert found is not None and found.query == query and abs(found.likeness - 1) < 1e-5
            assert found.response.text == written[query.query_id, llm.llm_id]


def test_what_is_asked_of_nobody_or_after_the_demo_left_finds_nothing(database):
    store, answers = PreferenceStore(database), StoredResponses(database, HashEncoder())
    assert answers.nearest(LLMId("demo-terse"), "Hello") is None
    store.add_bundle(demo_bundle())
    assert answers.nearest(LLMId("demo-terse"), "Hello") is not None
    assert answers.nearest(LLMId("nobody"), "Hello") is None
    store.remove_source(SOURCE)
    assert answers.nearest(LLMId("demo-terse"), "Hello") is None


def test_a_demo_llm_streams_without_any_key_and_says_that_it_wrote_nothing_new(database):
    world = demo_bundle()
    PreferenceStore(database).add_bundle(world)
    providers = Providers({}, StoredResponses(database, HashEncoder()))
    terse = world.llms[0]
    assert providers.availability(terse).ready
    with providers.ask(terse, [Message("user", world.queries[0].text)]) as stream:
        text = "".join(stream)
    assert text in {r.text for r in world.responses if r.llm_id == terse.llm_id} and "stored answer" in stream.note
