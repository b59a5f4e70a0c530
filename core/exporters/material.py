"""What ratings are about, indexed: every exporter looks up queries, responses and users here."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from core.domain import Comparison, LLMId, Query, QueryId, Response, ResponseId, User, UserId
from core.errors import InvalidInput

CONVERSATION = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
_ROLES = ("user", "assistant")


@dataclass(frozen=True)
class Material:
    """Queries, responses and users by id. `pseudonyms` says what a user is called in the file, where not by name."""

    queries: Mapping[QueryId, Query]
    responses: Mapping[ResponseId, Response]
    users: Mapping[UserId, User]
    pseudonyms: Mapping[UserId, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        queries: Iterable[Query],
        responses: Iterable[Response],
        users: Iterable[User],
        pseudonyms: Mapping[UserId, str] | None = None,
    ) -> "Material":
        """Index what is given; it may hold more than is needed."""
        return cls(
            {query.query_id: query for query in queries},
            {response.response_id: response for response in responses},
            {user.user_id: user for user in users},
            dict(pseudonyms or {}),
        )

    def called(self, user: UserId) -> str:
        """What the file calls a user."""
        return self.pseudonyms.get(user, user)

    def query(self, c: Comparison) -> Query:
        """What a comparison is about. Raises InvalidInput where it, or the user, was not given."""
        if c.query_id not in self.queries or c.user_id not in self.users:
            raise _misfit(c, "its query or its user is not among those given")
        return self.queries[c.query_id]

    def conversations(self, c: Comparison) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
        """Both sides as lists of `{role, content}`. Raises InvalidInput where a response is not there or misfits."""
        query = self.query(c)
        return self._conversation(c, query, c.response_a, c.llm_a), self._conversation(c, query, c.response_b, c.llm_b)

    def _conversation(self, c: Comparison, query: Query, key: ResponseId, llm: LLMId) -> list[dict[str, str]]:
        response = self.responses.get(key)
        if response is None or (response.query_id, response.llm_id) != (c.query_id, llm):
            raise _misfit(c, f"the response of '{llm}' is not among those given")
        if len(response.turns) != len(query.turns):
            raise _misfit(c, f"'{llm}' has {len(response.turns)} responses to {len(query.turns)} turns")
        pairs = zip(query.turns, response.turns, strict=True)
        return [{"role": r, "content": text} for pair in pairs for r, text in zip(_ROLES, pair, strict=True)]


def _misfit(c: Comparison, why: str) -> InvalidInput:
    return InvalidInput(f"Comparison '{c.key[:60]}' cannot be exported, so nothing was written: {why}.")
