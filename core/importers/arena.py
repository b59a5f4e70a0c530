"""The format of lmsys/mt_bench_human_judgments and lmsys/chatbot_arena_conversations, and of our own export.

A row holds `question_id, model_a, model_b, winner, judge, conversation_a, conversation_b, turn`, and may hold
`category` (the task), `tstamp` (seconds since 1970, or ISO and UTC where it names no zone), `comparison_key`,
`simulated`, and `choice`, which is equal in the rows that one choice among several responses became. Other columns are
ignored.
"""

import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from core.domain import (
    LLM,
    MAX_NAME,
    Bundle,
    Comparison,
    LLMId,
    Outcome,
    Query,
    QueryId,
    Rejected,
    Response,
    ResponseId,
    Task,
    User,
    UserId,
    content_hash,
)
from core.errors import InvalidInput
from core.importers.gathering import Cells, Gathering, cells, shown
from core.importers.tables import Refused, Table

ABOUT = "side-by-side votes as in Chatbot Arena and MT-Bench, and our own export"
TEMPLATE = None
SUFFIXES = (".parquet", ".jsonl", ".jsonl.gz", ".json")
REQUIRED = frozenset({"model_a", "model_b", "winner", "conversation_a", "conversation_b"})
OPTIONAL = frozenset({"question_id", "judge", "turn", "category", "tstamp", "comparison_key", "simulated", "choice"})
WINNERS = {
    "model_a": Outcome.A, "a": Outcome.A, "model_b": Outcome.B, "b": Outcome.B, "tie": Outcome.TIE,
    "tie (bothbad)": Outcome.BOTH_BAD, "both_bad": Outcome.BOTH_BAD, "bothbad": Outcome.BOTH_BAD,
}  # fmt: skip


def read(table: Table) -> Bundle:
    """Every row of the file is one comparison or one `Rejected`, whose reason names the column and the value.

    A comparison without `comparison_key` is keyed by its content and by how often the file had that content before, so
    the same rows give the same keys again in any order. Raises UnreadableFile where the file as a whole cannot be read.
    """
    reading = Reading()
    for number, record in table.rows(REQUIRED, OPTIONAL):
        try:
            reading.add(number, cells(record))
        except InvalidInput as error:
            reading.rejected.append(Rejected(number, str(error)))
    return reading.bundle(table.name)


@dataclass
class Reading(Gathering):
    """What was read so far, each value once. A refused row leaves nothing behind."""

    row_of_key: dict[str, int] = field(default_factory=dict)
    times: Counter[str] = field(default_factory=Counter)  # that rows without a key had this content
    torn_queries: set[QueryId] = field(default_factory=set)
    torn_users: set[UserId] = field(default_factory=set)

    def add(self, number: int, given: Cells) -> None:
        """Take one row, or raise InvalidInput and take nothing of it."""
        user, task, llms = _user(given), _task(given), (_llm(given, "model_a"), _llm(given, "model_b"))
        if llms[0] == llms[1]:
            raise _refusal("model_b", "is the same LLM as model_a", llms[1].llm_id)
        outcome, moment = _outcome(given), _moment(given)
        query, responses = _texts(given, task.name if task else "", llms)
        ids = [ResponseId(sys.intern(response.response_id)) for response in responses]
        content = content_hash(
            user.user_id, query.query_id, *ids, outcome, _label(given, "question_id"), _label(given, "turn")
        )
        key = _given_key(given) or content_hash(content, str(self.times[content]))
        if key in self.row_of_key:
            raise _refusal("comparison_key", f"is that of row {self.row_of_key[key]} already", key)
        names, choice = (llms[0].llm_id, llms[1].llm_id), _text(given, "choice") if "choice" in given else ""
        with _blaming("choice", choice):
            comparison = Comparison(user.user_id, query.query_id, *names, outcome, ids[0], ids[1], key, moment, choice)
        self.row_of_key[key] = number
        self.times[content] += "comparison_key" not in given
        self._keep(comparison, user, task, llms)
        self._keep_texts(query, dict(zip(ids, responses, strict=True)))

    def _keep(self, comparison: Comparison, user: User, task: Task | None, llms: tuple[LLM, LLM]) -> None:
        self.comparisons[comparison.key] = comparison
        known = self.users.setdefault(user.user_id, user)
        if known.simulated != user.simulated:
            # simulated ratings must never pass for a person's
            self.torn_users.add(user.user_id)
            self.users[user.user_id] = replace(known, simulated=True)
        if task:
            self.tasks.setdefault(task.name, task)
        for llm in llms:
            self.keep_llm(llm)

    def _keep_texts(self, query: Query, responses: Mapping[ResponseId, Response]) -> None:
        known = self.queries.setdefault(query.query_id, query)
        if query.task and not known.task:
            self.queries[query.query_id] = query
        elif query.task and query.task != known.task:
            self.torn_queries.add(query.query_id)
        for response_id, response in responses.items():
            self.responses.setdefault(response_id, response)

    def bundle(self, source: str, *warnings: str) -> Bundle:
        """All of it, each kind in the order of first appearance, and what is odd about it."""
        empty = sum(not all(turn.strip() for turn in response.turns) for response in self.responses.values())
        counted = (
            (empty, "response is empty.", "responses are empty."),
            (len(self.torn_queries), "query has several categories; the first was kept.",
             "queries have several categories; the first was kept."),
            (len(self.torn_users), "user is simulated in some rows only; taken as simulated.",
             "users are simulated in some rows only; taken as simulated."),
        )  # fmt: skip
        odd = (f"{count:,} {one if count == 1 else many}" for count, one, many in counted if count)
        return super().bundle(source, *odd, *warnings)


def _refusal(column: str, why: str, value: object) -> InvalidInput:
    return InvalidInput(f"{column} {why} ({shown(value)}).")


@contextmanager
def _blaming(column: str, value: object) -> Iterator[None]:
    """What the domain refuses within becomes a refusal of this column."""
    try:
        yield
    except InvalidInput as error:
        raise _refusal(f"{column}:", str(error).rstrip("."), value) from None
    except UnicodeEncodeError:
        raise _refusal(column, "contains a broken Unicode character", value) from None


def _text(given: Cells, column: str) -> str:
    if column not in given:
        raise InvalidInput(f"{column} is missing.")
    value = given[column]
    if not isinstance(value, str):
        raise _refusal(column, "is not text", value)
    return value


def _user(given: Cells) -> User:
    judge, simulated = given.get("judge"), given.get("simulated", False)
    if not isinstance(simulated, bool):
        raise _refusal("simulated", "is neither true nor false", simulated)
    name = str(judge) if isinstance(judge, int) and not isinstance(judge, bool) else _text(given, "judge")
    with _blaming("judge", name):
        return User(UserId(sys.intern(name)), simulated)


def _llm(given: Cells, column: str) -> LLM:
    name = sys.intern(_text(given, column))
    with _blaming(column, name):
        return LLM(LLMId(name), name)


def _task(given: Cells) -> Task | None:
    if "category" not in given or not (name := _text(given, "category")).strip():
        return None
    with _blaming("category", name):
        return Task(name)


def _outcome(given: Cells) -> Outcome:
    word = _text(given, "winner")
    if word not in WINNERS:
        raise _refusal("winner", "is no outcome", word)
    return WINNERS[word]


def _moment(given: Cells) -> datetime | None:
    value = given.get("tstamp")
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        if isinstance(moment, datetime):
            moment = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        if isinstance(moment, bool) or not isinstance(moment, int | float):
            raise ValueError
        return datetime.fromtimestamp(moment, UTC)
    except (ValueError, OverflowError, OSError):
        raise _refusal("tstamp", "is neither seconds since 1970 nor an ISO time", value) from None


def _label(given: Cells, column: str) -> str:
    """A number or a text as text, and 81.0 as 81: the same row in JSON, parquet and pandas has one key."""
    value = given.get(column, "")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise _refusal(column, "is neither text nor a number", value)
    with _blaming(column, value):
        str(value).encode()
    return str(value)


def _given_key(given: Cells) -> str | None:
    if "comparison_key" not in given:
        return None
    key = _text(given, "comparison_key")
    with _blaming("comparison_key", key):
        key.encode()
    if not key.strip() or len(key) > MAX_NAME or "\x00" in key:
        raise _refusal("comparison_key", f"is empty, has a NUL or more than {MAX_NAME} characters", key)
    return key


def _texts(given: Cells, task: str, llms: tuple[LLM, LLM]) -> tuple[Query, tuple[Response, Response]]:
    asked_a, replies_a = _conversation(given, "conversation_a")
    asked_b, replies_b = _conversation(given, "conversation_b")
    if asked_a != asked_b:
        raise _refusal("conversation_b", "has other user turns than conversation_a", asked_b)
    with _blaming("conversation_a", next((turn for turn in asked_a if not turn.strip() or "\x00" in turn), asked_a)):
        query = Query(QueryId(sys.intern(Query.id_of(asked_a))), asked_a, task)
    with _blaming("conversation_a", replies_a):
        response_a = Response(query.query_id, llms[0].llm_id, replies_a)
    with _blaming("conversation_b", replies_b):
        response_b = Response(query.query_id, llms[1].llm_id, replies_b)
    return query, (response_a, response_b)


def _conversation(given: Cells, column: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The user's turns and the assistant's, as many of one as of the other."""
    conversation = given.get(column)
    if column not in given or not isinstance(conversation, list):
        raise _refusal(column, "is missing or no list of turns", conversation)
    turns = [_turn(column, turn) for turn in conversation]
    roles = [role for role, _ in turns]
    if "user" not in roles:
        raise _refusal(column, "has no user turn", conversation)
    if roles[-1] != "assistant":
        raise _refusal(column, "has a missing response: it does not end with the assistant", conversation[-1])
    if roles != ["user", "assistant"] * (len(roles) // 2):
        raise _refusal(column, "does not alternate between user and assistant", roles)
    return tuple(text for _, text in turns[::2]), tuple(text for _, text in turns[1::2])


def _turn(column: str, turn: object) -> tuple[str, str]:
    if isinstance(turn, Refused):
        raise InvalidInput(f"{column}: {turn.reason}")
    role, text = (turn.get("role"), turn.get("content")) if isinstance(turn, dict) else (None, None)
    if not isinstance(role, str) or not isinstance(text, str):
        raise _refusal(column, "has a turn without role and content as text", turn)
    if role not in ("user", "assistant"):
        raise _refusal(column, "has a turn that is neither the user's nor the assistant's", role)
    return role, text
