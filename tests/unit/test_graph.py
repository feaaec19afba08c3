"""The graph as LangGraph has it: what its builder refuses, its drawing, schemas, streams and checkpoints."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import pytest
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, ToolMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command, Overwrite, interrupt
from typing_extensions import TypedDict

from octopus_graph.errors import ConfigurationError, ExpertError, UnknownExpertError
from octopus_graph.experts import Expert
from octopus_graph.graph import create_octopus_graph
from octopus_graph.state import OctopusContext
from octopus_graph.testing import EchoExpert, Pick, Script, scripted_router

THREAD: RunnableConfig = {"configurable": {"thread_id": "1"}}
BOTH: Script = {"both": [Pick("math", rewrite="The sum?"), Pick("law", rewrite="Is it allowed?")], "": "math"}

Stream = Callable[..., Awaitable[list[Any]]]


@pytest.fixture(params=["stream", "astream"])
def stream(request: pytest.FixtureRequest) -> Stream:
    """Streams the answer to one question into a list."""

    async def streams(
        graph: Any, question: Any, mode: Any, config: RunnableConfig | None = None, **options: Any
    ) -> Any:
        given = {"messages": [("user", question)]} if isinstance(question, str) else question
        if request.param == "stream":
            return list(graph.stream(given, config, stream_mode=mode, **options))
        return [part async for part in graph.astream(given, config, stream_mode=mode, **options)]

    return streams


def echoes(*names: str) -> list[Expert]:
    return [EchoExpert(name) for name in names or ("math", "law", "general")]


def compiled(script: Script = BOTH, experts: list[Expert] | None = None, **options: Any) -> Any:
    compiling = {key: options.pop(key) for key in ("checkpointer", "interrupt_before") if key in options}
    builder = create_octopus_graph(experts or echoes(), scripted_router(script), **options)
    return builder.compile(name="octopus", **compiling)


# ---------------------------------------------------------------- building


@pytest.mark.parametrize(
    ("experts", "options", "error", "message"),
    [
        ([], {}, ConfigurationError, "needs at least one expert"),
        (echoes("math", "math"), {}, ConfigurationError, "Two experts are named 'math'"),
        ([EchoExpert("route")], {}, ConfigurationError, "The graph itself has a 'route'"),
        ([EchoExpert("finish")], {}, ConfigurationError, "give that expert another name"),
        ([EchoExpert("end")], {}, ConfigurationError, "The graph itself has a 'end'"),
        ([EchoExpert("__end__")], {}, ConfigurationError, "The graph itself has a '__end__'"),
        (
            [EchoExpert("maths")],
            {},
            UnknownExpertError,
            "the router: there is no expert 'maths'; the experts are physics,",
        ),
        (
            [EchoExpert("math", neighbours=("lore",)), EchoExpert("law")],
            {},
            UnknownExpertError,
            "neighbours of math: there is no expert 'lore'; the experts are math, law",
        ),
        (
            [EchoExpert("math", neighbours=("law",))],
            {},
            UnknownExpertError,
            "neighbours of math: there is no expert 'law'",
        ),
        ([EchoExpert("math", fallback="lore")], {}, UnknownExpertError, "fallback of math: there is no expert 'lore'"),
        (
            echoes("math"),
            {"fallback": "general"},
            UnknownExpertError,
            "the graph's fallback: there is no expert 'general'",
        ),
        (
            echoes("math"),
            {"defaults": OctopusContext(experts=["law"])},
            UnknownExpertError,
            "the experts allowed: there is no expert 'law'",
        ),
    ],
)
def test_wiring_errors_surface_while_the_graph_is_built(
    experts: list[Expert], options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        create_octopus_graph(experts, scripted_router({}), **options)


def test_the_builder_is_returned_for_the_caller_to_compile() -> None:
    builder = create_octopus_graph(echoes(), scripted_router(BOTH))

    assert isinstance(builder, StateGraph)
    graph = builder.compile(name="octopus", checkpointer=InMemorySaver())
    assert graph.get_name() == "octopus"


class User(TypedDict):
    """Another graph's context, which is none of ours."""

    user: str


async def test_a_graph_may_be_a_part_of_another() -> None:
    builder = StateGraph(MessagesState, User)
    builder.add_node("octopus", compiled())
    builder.add_edge(START, "octopus")
    builder.add_edge("octopus", END)
    graph: Any = builder.compile()

    given, context = {"messages": [("user", "2 + 2")]}, User(user="me")

    for result in (graph.invoke(given, context=context), await graph.ainvoke(given, context=context)):
        assert result["messages"][-1].text == "[math] 2 + 2"


async def test_a_graph_may_be_an_expert_of_another() -> None:
    inner = compiled({"": "law"}, echoes("law"))
    outer = compiled({"": "general"}, [Expert("general", "Asks on", inner)])

    for result in (outer.invoke({"messages": [("user", "?")]}), await outer.ainvoke({"messages": [("user", "?")]})):
        assert result["messages"][-1].text == "[law] ?"
        assert [hop["expert"] for hop in result["hops"]] == ["general"]


# ---------------------------------------------------------------- drawing and schemas


def test_the_drawing_shows_the_edges_there_are() -> None:
    experts = [EchoExpert("math", neighbours=("law",)), EchoExpert("law", neighbours=()), EchoExpert("general")]

    drawn = compiled({}, experts).get_graph()

    assert {(edge.source, edge.target) for edge in drawn.edges} == {
        ("__start__", "route"),
        *(("route", name) for name in ("math", "law", "general", "finish")),
        *(("math", name) for name in ("law", "finish")),
        ("law", "finish"),
        *(("general", name) for name in ("math", "law", "finish")),
        ("finish", "__end__"),
    }
    assert "math -.-> law" in drawn.draw_mermaid()
    assert {node["id"] for node in drawn.to_json()["nodes"]} >= {"route", "math", "law", "general", "finish"}


def test_an_expert_that_is_a_graph_is_a_sub_graph_to_be_looked_into() -> None:
    def say(state: MessagesState) -> dict[str, Any]:
        return {"messages": [AIMessage(f"sure: {interrupt('sure?')}")]}

    inner: Any = StateGraph(MessagesState)
    inner.add_node("say", say).add_edge(START, "say")
    experts = [Expert("math", "Mathematics", inner.compile()), EchoExpert("law")]
    graph: Any = create_octopus_graph(experts, scripted_router({"sum": "math"})).compile(InMemorySaver())
    assert [name for name, _ in graph.get_subgraphs()] == ["math"]
    assert "math:say" in graph.get_graph(xray=True).nodes
    config: Any = {"configurable": {"thread_id": "1"}}
    graph.invoke({"messages": [("user", "the sum?")]}, config)
    assert graph.get_state(config, subgraphs=True).tasks[0].state.next == ("say",)
    assert graph.invoke(Command(resume="yes"), config)["messages"][-1].text == "sure: yes"


def test_nodes_say_what_they_are() -> None:
    metadata = {name: node.metadata for name, node in compiled().get_graph().nodes.items()}

    assert metadata["route"] == {"octopus_node": "route"}
    assert metadata["math"] == {"octopus_node": "expert"}
    assert metadata["finish"] == {"octopus_node": "finish"}


def test_the_schemas_are_whole() -> None:
    graph = compiled()

    assert set(graph.get_input_jsonschema()["properties"]) == {"messages"}
    assert set(graph.get_output_jsonschema()["properties"]) == {"messages", "hops", "request", "decision"}
    assert set(graph.get_context_jsonschema()["properties"]) == set(OctopusContext.model_fields)
    assert "expert_ms" in str(graph.get_output_jsonschema())


# ---------------------------------------------------------------- streams


def said(parts: Iterable[tuple[BaseMessage, dict[str, Any]]], node: str) -> list[str]:
    return [str(message.text) for message, metadata in parts if metadata["langgraph_node"] == node]


def model(*answers: str) -> GenericFakeChatModel:
    return GenericFakeChatModel(messages=iter([AIMessage(answer) for answer in answers]))


@pytest.mark.parametrize("limit", [None, 5])
async def test_a_chat_model_s_tokens_are_streamed_as_they_come(limit: float | None, stream: Stream) -> None:
    graph = compiled({"": "math"}, [Expert("math", "A model", model("The answer is 12."), timeout=limit)])

    parts = await stream(graph, "x^3 at 2?", "messages")

    chunks = [message for message, _ in parts if isinstance(message, AIMessageChunk)]
    assert [str(chunk.text) for chunk in chunks if chunk.text] == ["The", " ", "answer", " ", "is", " ", "12."]
    assert {metadata["octopus_node"] for message, metadata in parts if message in chunks} == {"expert"}


async def test_one_hop_s_answer_is_not_streamed_twice(stream: Stream) -> None:
    """The final message bears the id its tokens were streamed under: to clients it is the same message."""
    graph = compiled({"": "math"}, [Expert("math", "A model", model("It is 12."))], checkpointer=InMemorySaver())

    parts = await stream(graph, "x^3 at 2?", "messages", THREAD)

    answer = graph.get_state(THREAD).values["messages"][-1]
    assert (answer.text, type(answer)) == ("It is 12.", AIMessage)
    assert {message.id for message, _ in parts if isinstance(message, AIMessageChunk)} == {answer.id}
    assert said(parts, "finish") == []


async def test_a_model_that_repeats_an_id_does_not_overwrite_the_turn_before(stream: Stream) -> None:
    again = GenericFakeChatModel(messages=iter([AIMessage(f"answer {number}", id="same") for number in (1, 2)]))
    graph = compiled({"": "math"}, [Expert("math", "A model", again)], checkpointer=InMemorySaver())

    for question in ("one", "two"):
        await stream(graph, question, "values", THREAD)

    texts = [str(message.text) for message in graph.get_state(THREAD).values["messages"]]
    assert texts == ["one", "", "answer 1", "answer 1", "two", "", "answer 2", "answer 2"]


async def test_what_does_not_stream_comes_whole(stream: Stream) -> None:
    parts = await stream(compiled(), "2 + 2", "messages")

    assert said(parts, "math") == ["[math] 2 + 2"]
    assert said(parts, "finish") == ["[math] 2 + 2"]
    assert [message.name for message, _ in parts if isinstance(message, ToolMessage)] == ["math"]


async def test_chains_on_models_stream_too(stream: Stream) -> None:
    graph = compiled({"": "math"}, [Expert("math", "A chain", model("It is 12.") | StrOutputParser())])

    parts = await stream(graph, "x^3 at 2?", "messages")

    chunks = [str(message.text) for message, _ in parts if isinstance(message, AIMessageChunk)]
    assert "".join(chunks) == "It is 12."
    assert len(chunks) > 1


async def test_custom_events_tell_the_run_as_it_happens(stream: Stream) -> None:
    events = await stream(compiled(), "both", "custom")

    assert [event["event"] for event in events] == ["decision", "hop", "decision", "hop", "decision", "answer"]
    decisions = [event for event in events if event["event"] == "decision"]
    assert [(event["by"], event["expert"], event["query"]) for event in decisions] == [
        ("route", "math", "The sum?"),
        ("math", "law", "Is it allowed?"),
        ("law", None, "both"),
    ]
    hops = [event for event in events if event["event"] == "hop"]
    assert [(event["expert"], event["answer"]) for event in hops] == [
        ("math", "[math] The sum?"),
        ("law", "[law] Is it allowed?"),
    ]
    assert events[-1] == {
        "event": "answer",
        "answer": "## Math\n\n[math] The sum?\n\n## Law\n\n[law] Is it allowed?",
        "path": ["math", "law"],
    }


async def test_an_abstention_is_told_too(stream: Stream) -> None:
    script: Script = {"": Pick("math", confidence=0.4)}

    events = await stream(compiled(script), "hm", "custom", context={"min_confidence": 0.5})

    assert [(event["event"], event.get("expert")) for event in events] == [("decision", None), ("answer", None)]
    assert events[0]["top"][0][0] == "math"


async def test_updates_come_node_by_node(stream: Stream) -> None:
    parts = await stream(compiled(), "both", "updates")

    assert [next(iter(part)) for part in parts] == ["route", "math", "law", "finish"]
    assert parts[0]["route"]["hops"] == Overwrite([])
    assert [hop["expert"] for hop in parts[1]["math"]["hops"]] == ["math"]


async def test_streams_combine(stream: Stream) -> None:
    experts = [Expert("math", "A model", model("It is 12.")), EchoExpert("law")]

    parts = await stream(compiled(BOTH, experts), "both", ["custom", "messages", "updates"])

    modes = [mode for mode, _ in parts]
    assert set(modes) == {"custom", "messages", "updates"}
    kinds = [
        part["event"] if mode == "custom" else "token" if isinstance(part[0], AIMessageChunk) else ""
        for mode, part in parts
        if mode != "updates"
    ]
    # The decision is known before the first token, and the hop is told after the last one.
    assert kinds.index("decision") < kinds.index("token") < kinds.index("hop")


async def test_a_token_arrives_before_the_answer_is_finished() -> None:
    go_on = asyncio.Event()

    class Slow(GenericFakeChatModel):
        async def _astream(self, *args: Any, **kwargs: Any) -> Any:
            async for chunk in super()._astream(*args, **kwargs):
                yield chunk
                await go_on.wait()

    graph = compiled({"": "math"}, [Expert("math", "A model", Slow(messages=iter([AIMessage("It is 12.")])))])

    async for message, _ in graph.astream({"messages": [("user", "?")]}, stream_mode="messages"):
        if isinstance(message, AIMessageChunk) and message.text == "It":
            assert not go_on.is_set()
            go_on.set()
    assert go_on.is_set()


# ---------------------------------------------------------------- checkpoints


def strict() -> InMemorySaver:
    """A checkpointer that reads only types it knows."""
    return InMemorySaver(serde=JsonPlusSerializer(pickle_fallback=False, allowed_msgpack_modules=None))


async def test_a_run_goes_on_where_it_was_interrupted(stream: Stream) -> None:
    graph = compiled(BOTH, checkpointer=strict(), interrupt_before=["math", "law", "finish"])

    await stream(graph, "both", "values", THREAD)
    seen = [graph.get_state(THREAD).next]
    while graph.get_state(THREAD).next:
        result = (await stream(graph, None, "values", THREAD))[-1]
        seen.append(graph.get_state(THREAD).next)

    assert seen == [("math",), ("law",), ("finish",), ()]
    assert result["messages"][-1].text == "## Math\n\n[math] The sum?\n\n## Law\n\n[law] Is it allowed?"
    assert [hop["expert"] for hop in result["hops"]] == ["math", "law"]


async def test_another_process_can_go_on(stream: Stream) -> None:
    saver = strict()
    await stream(compiled(BOTH, checkpointer=saver, interrupt_before=["law"]), "both", "values", THREAD)

    result = (await stream(compiled(BOTH, checkpointer=saver), None, "values", THREAD))[-1]

    assert [hop["answer"] for hop in result["hops"]] == ["[math] The sum?", "[law] Is it allowed?"]


async def test_a_human_may_edit_the_query_of_a_halted_run(stream: Stream) -> None:
    graph = compiled({"": "math"}, checkpointer=strict(), interrupt_before=["math"])
    await stream(graph, "2 + 2", "values", THREAD)
    call = graph.get_state(THREAD).values["messages"][-1]
    edited = AIMessage("", id=call.id, tool_calls=[{**call.tool_calls[0], "args": {"query": "What is 3 + 3?"}}])

    graph.update_state(THREAD, {"messages": [edited]}, as_node="route")
    result = (await stream(graph, Command(goto="math"), "values", THREAD))[-1]

    assert result["hops"][0]["query"] == "What is 3 + 3?"
    assert result["hops"][0]["rewritten"] is True


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_the_hops_before_a_failure_are_kept(durability: Any, stream: Stream) -> None:
    def fail(_: str) -> str:
        raise ConnectionError("refused")

    graph = compiled(BOTH, [EchoExpert("math"), Expert("law", "Fails", fail)], checkpointer=strict())

    with pytest.raises(ExpertError, match="'law'"):
        await stream(graph, "both", "values", THREAD, durability=durability)

    assert [hop["expert"] for hop in graph.get_state(THREAD).values["hops"]] == ["math"]


@pytest.mark.parametrize("limit", [None, 5])
async def test_an_expert_that_is_a_graph_may_ask_a_human(limit: float | None, stream: Stream) -> None:
    def node(state: MessagesState) -> dict[str, Any]:
        return {"messages": [AIMessage(f"the human said {interrupt('May I?')}")]}

    inner = StateGraph(MessagesState).add_node("node", node).add_edge(START, "node").add_edge("node", END).compile()
    asking = Expert("math", "Asks a human", inner, retries=2, fallback="law", timeout=limit)
    graph = compiled({"": "math"}, [asking, EchoExpert("law")], checkpointer=strict())

    await stream(graph, "2 + 2", "values", THREAD)
    [halted] = graph.get_state(THREAD).interrupts
    result = (await stream(graph, Command(resume="yes"), "values", THREAD))[-1]

    assert halted.value == "May I?"
    assert result["messages"][-1].text == "the human said yes"
    assert result["hops"][0]["served_by"] is None


async def test_threads_do_not_mix() -> None:
    graph = compiled(BOTH, checkpointer=strict())

    async def one(number: int) -> Any:
        config: RunnableConfig = {"configurable": {"thread_id": str(number)}}
        return await graph.ainvoke({"messages": [("user", f"question {number}")]}, config)

    results = await asyncio.gather(*(one(number) for number in range(20)))

    assert [result["messages"][-1].text for result in results] == [f"[math] question {number}" for number in range(20)]
