"""What the endpoint takes and gives, in OpenAI's words where OpenAI has some. Unknown fields are refused, not ignored:
a program that counts on one learns so at once.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from core.domain import MAX_NAME, MAX_TEXT, MAX_TYPED_QUERY, Outcome

MOST_QUERIES = 1_000
MOST_MESSAGES = 500

ModelName = Annotated[
    str,
    Field(
        min_length=1, max_length=MAX_NAME,
        description="`prefroute`, `prefroute-<version>`, either with `:<alpha>` (0 taste alone, 1 the cheapest), or an "
        "LLM's own name.",
    ),
]  # fmt: skip
UserName = Annotated[
    str, Field(max_length=MAX_NAME, description="Whose taste decides; someone unknown gets what everyone gets.")
]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class TextPart(_Strict):
    """A part of a message; only text is taken."""

    type: Literal["text"]
    text: Annotated[str, Field(max_length=MAX_TEXT)]


class ChatMessage(_Strict):
    """One turn."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[str, Field(max_length=MAX_TEXT)] | Annotated[list[TextPart], Field(max_length=100)]
    name: str | None = None

    @property
    def text(self) -> str:
        """The content as one text."""
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


Messages = Annotated[list[ChatMessage], Field(min_length=1, max_length=MOST_MESSAGES)]


class StreamOptions(_Strict):
    """Whether the last event tells the tokens used."""

    include_usage: bool = False


class ChatRequest(_Strict):
    """A chat completion. Everything after `user` goes to the LLM's provider as it is."""

    model: ModelName
    messages: Messages
    stream: bool = False
    stream_options: StreamOptions | None = None
    n: Literal[1] | None = None
    user: UserName = ""
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    max_tokens: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    stop: str | Annotated[list[str], Field(max_length=4)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    response_format: dict[str, Any] | None = None
    reasoning_effort: str | None = None

    @property
    def options(self) -> dict[str, Any]:
        """What goes to the provider beside the messages."""
        ours = {"model", "messages", "stream", "stream_options", "n", "user"}
        return self.model_dump(exclude=ours, exclude_none=True)


class RouteRequest(_Strict):
    """Decisions alone, for one person and up to a thousand queries."""

    queries: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=MAX_TYPED_QUERY)]],
        Field(min_length=1, max_length=MOST_QUERIES),
    ]
    user: UserName = ""
    model: ModelName = "prefroute"
    llms: Annotated[list[str], Field(max_length=1_000, description="The LLMs to choose among; empty: all.")] = []


class Decision(BaseModel):
    """Where a query goes, and why that much is known."""

    decision: str
    llm: str
    probability: float
    probabilities: dict[str, float]
    runner_up: str | None
    propensity: float
    explored: bool
    router: str
    version: int | None
    ratings: int
    alpha: float
    expected_cost: float | None
    milliseconds: float


class RouteResponse(BaseModel):
    """The decisions in the order of the queries."""

    object: Literal["list"] = "list"
    data: list[Decision]


class Model(BaseModel):
    """What can be asked."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str


class ModelList(BaseModel):
    """Everything that can be asked."""

    object: Literal["list"] = "list"
    data: list[Model]


class Side(_Strict):
    """One of two answers that a person compared."""

    model: Annotated[str, Field(min_length=1, max_length=MAX_NAME)]
    content: Annotated[str, Field(max_length=MAX_TEXT)]


class FeedbackRequest(_Strict):
    """A thumb for a decision, or a comparison of two answers to the same messages (with or without a decision)."""

    user: Annotated[str, Field(min_length=1, max_length=MAX_NAME)]
    decision: Annotated[str, Field(min_length=1, max_length=MAX_NAME)] | None = None
    thumbs: Literal["up", "down"] | None = None
    messages: Messages | None = None
    a: Side | None = None
    b: Side | None = None
    outcome: Outcome | None = None


class FeedbackResponse(BaseModel):
    """What became of it: a second time the same is `already_saved`."""

    status: Literal["saved", "already_saved"]


class Health(BaseModel):
    """Whether the endpoint can do its work."""

    status: Literal["ok"]
    version: int | None
