"""What is checkpointed: plain, complete in JSON Schema, and the same after a checkpointer has had it."""

import json
import operator
from typing import Any, get_args, get_type_hints

import pytest
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.graph.message import add_messages
from pydantic import TypeAdapter, ValidationError

from octopus_graph.router import Rewrite
from octopus_graph.state import Decision, Hop, OctopusContext, OctopusState

HOP = Hop(
    expert="math",
    token="<nexa_4>",
    query="2 + 2?",
    rewritten=False,
    answer="4",
    confidence=0.9,
    top=[["math", 0.9], ["physics", 0.1]],
    decide_ms=1.0,
    rewrite_ms=0.0,
    expert_ms=2.0,
    served_by=None,
    error=None,
)


def test_messages_and_hops_add_up() -> None:
    hints = get_type_hints(OctopusState, include_extras=True)

    assert set(hints) == {"messages", "hops", "request", "decision"}
    assert (hints["messages"].__metadata__, hints["hops"].__metadata__) == ((add_messages,), (operator.add,))


@pytest.mark.parametrize("model", [Hop, Decision])
def test_hops_and_decisions_have_a_schema_of_named_fields(model: type[Any]) -> None:
    schema = TypeAdapter(model).json_schema()

    assert {"expert", "token", "query", "rewritten", "confidence", "top", "decide_ms", "rewrite_ms"} <= set(
        schema["properties"]
    )
    # What came from the cache says so; checkpoints of before there was one do not.
    assert set(schema["required"]) == set(schema["properties"]) - {"cached", "likeness"}


def test_a_hop_is_plain_json() -> None:
    assert json.loads(json.dumps(HOP)) == HOP


def test_a_hop_is_the_same_after_a_checkpoint() -> None:
    serde = JsonPlusSerializer(allowed_msgpack_modules=None)

    assert serde.loads_typed(serde.dumps_typed([HOP])) == [HOP]


def test_the_context_has_defaults() -> None:
    context = OctopusContext()

    assert (context.max_hops, context.min_confidence, context.rewrite, context.experts) == (3, 0.0, "auto", None)


@pytest.mark.parametrize(
    "given",
    [
        {"max_hops": 0},
        {"max_hops": 11},
        {"min_confidence": -0.1},
        {"min_confidence": 1.1},
        {"rewrite": "sometimes"},
        {"hops": 3},
    ],
)
def test_a_context_out_of_bounds_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(given))):
        OctopusContext(**given)


def test_the_context_and_the_router_rewrite_alike() -> None:
    # The state stands below the router and cannot import its type.
    assert get_args(OctopusContext.model_fields["rewrite"].annotation) == get_args(Rewrite)
