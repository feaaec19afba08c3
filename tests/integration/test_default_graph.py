"""The default graph on the real base: 17 experts, one model in memory, answers that stream through the graph."""

from typing import Any

import pytest
from langchain_core.messages import AIMessageChunk, HumanMessage

from octopus_graph import weights
from octopus_graph.errors import ModelNotFoundError
from octopus_graph.spec import BuiltGraph, build_graph, load_spec
from octopus_graph.testing import scripted_router

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(300)]

REQUEST = {"messages": [HumanMessage("What is 2 + 2?")]}


@pytest.fixture(scope="module")
def built() -> BuiltGraph:
    try:
        weights.resolve(weights.EMBEDDED, offline=True)
    except ModelNotFoundError:
        pytest.skip("the embedded model is not here: octopus-graph models pull")
    built = build_graph(load_spec("default"), router=scripted_router({"2 + 2": "math"}))
    for expert in built.experts:
        chat: Any = expert.runnable
        chat.max_new_tokens = 12
    return built


def test_the_17_experts_hold_one_model(built: BuiltGraph) -> None:
    models = {id(expert.runnable.shared.get()[0]) for expert in built.experts}

    assert len(built.experts) == 17
    assert len(models) == 1


def test_a_hop_answers_in_words_and_streams_them(built: BuiltGraph) -> None:
    graph: Any = built.graph.compile(name="octopus")

    events = list(graph.stream(REQUEST, stream_mode=["messages", "values"]))

    spoken = [
        message.text
        for mode, payload in events
        if mode == "messages"
        and isinstance(message := payload[0], AIMessageChunk)
        and payload[1]["langgraph_node"] == "math"
    ]
    answer = events[-1][1]["messages"][-1].text
    assert len([text for text in spoken if text]) > 1
    assert "".join(spoken).strip() == answer.strip()
    assert answer
