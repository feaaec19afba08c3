"""What a graph keeps between its nodes, and so what a checkpointer writes down: all of it plain JSON but the messages.

The `TypedDict` is that of typing_extensions: with the one of typing, LangGraph's JSON schemas are empty on Python 3.11.
"""

import operator
from typing import Annotated, Literal, NotRequired

from langchain_core.messages import AnyMessage
from langgraph.graph.message import add_messages  # pyright: ignore[reportMissingTypeStubs]
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

__all__ = ["Decision", "Hop", "OctopusContext", "OctopusInput", "OctopusState"]


class _Choice(TypedDict):
    token: str
    """The functional token."""
    query: str
    """What the expert is asked."""
    rewritten: bool
    """Whether the query differs from the request."""
    confidence: float
    """The calibrated probability of the router's choice among its candidates."""
    top: list[list[str | float]]
    """Up to three [expert or "end", probability], the likeliest first."""
    decide_ms: float
    rewrite_ms: float


class Decision(_Choice):
    """Where a run goes next, and why; the next hop grows out of it."""

    by: str
    """The node that decided: `route`, or the expert that had just answered."""
    expert: str | None
    """The expert to ask; `None` ends the run."""
    also: list[str]
    """Experts asked the same at the same time, because the router was not sure."""
    cached: NotRequired[bool]
    """There and true where the decision was made before; `decide_ms` is then what it took to find."""


class Hop(_Choice):
    """An expert that was asked, and its answer."""

    expert: str
    answer: str
    expert_ms: float
    """From the question to the answer, all attempts counted."""
    served_by: str | None
    """The expert that answered in this one's place; `None` where it answered itself."""
    error: str | None
    """Why this expert did not answer itself."""
    cached: NotRequired[Literal["exact", "semantic"]]
    """There where the answer was given before: to the same question, or to one that means the same."""
    likeness: NotRequired[float]
    """Of a question that means the same, how near it is: the cosine."""


class OctopusInput(TypedDict):
    """What a run is given: messages, the last of them the request."""

    messages: Annotated[list[AnyMessage], add_messages]


class OctopusState(OctopusInput):
    """What a graph keeps: `messages` are those of the whole thread, all else is of the current turn."""

    hops: Annotated[list[Hop], operator.add]
    request: str
    """The text of the last message, cleaned."""
    decision: Decision
    """The last decision."""


class OctopusContext(BaseModel):
    """What a caller may set for one run: `graph.invoke(..., context={"max_hops": 1})`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_hops: int = Field(default=3, ge=1, le=10, description="The most experts that are asked for one request")
    min_confidence: float = Field(
        default=0.0,
        ge=0.0,
        le=1.0,
        description="Below it the router counts as unsure of a request, and a run takes no further hop",
    )
    max_error: float | None = Field(
        default=None,
        gt=0.0,
        lt=1.0,
        description="The largest share of requests that may be answered wrong, such as 0.05: the router is unsure"
        " wherever its calibration says that more would be (whole paths are counted where max_hops allows them)",
    )
    when_unsure: Literal["fallback", "fan_out", "ask"] = Field(
        default="fallback",
        description="What becomes of a request the router is unsure of: the fallback expert takes it (without one it is"
        " declined); the likeliest experts all answer; or the run stops and asks the human, who names an expert or says"
        " more (without a checkpointer a run cannot be taken up again, and fallback holds)",
    )
    fan_out: int = Field(default=2, ge=2, le=3, description="How many experts answer with when_unsure: fan_out")
    rewrite: Literal["auto", "always", "never"] = Field(
        default="auto", description="Whether requests are rewritten for the expert; auto leaves it to the router"
    )
    experts: list[str] | None = Field(
        default=None, description="The only experts that may be asked; all of them where it is not set"
    )
