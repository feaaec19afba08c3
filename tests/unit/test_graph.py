"""create_octopus_graph: what it refuses to build, what LangGraph sees of it, and whole runs: invoked, streamed, resumed."""

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import pytest
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, AnyMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command, interrupt
from pydantic import ConfigDict

from octopus_graph.errors import ConfigurationError, InputError, UnknownExpertError
from octopus_graph.experts import Expert
from octopus_graph.graph import create_octopus_graph
from octopus_graph.state import OctopusContext
from octopus_graph.testing import EchoExpert, Pick, scripted_router

Ask = Callable[..., Awaitable[dict[str, Any]]]

THREAD: Any = {"configurable": {"thread_id": "thread"}}
CALCULUS = {"derivative": ["math", Pick("history", rewrite="Who found calculus?")]}
REQUEST = "the derivative of x^3, and who found it?"
BOTH = f"## Math\n\n[math] {REQUEST}\n\n## History\n\n[history] Who found calculus?"


def request(text: str = REQUEST) -> dict[str, Any]:
    return {"messages": [HumanMessage(text)]}


def compiled(experts: Sequence[Expert], script: Any = None, **options: Any) -> Any:
    """A graph with a memory."""
    router = scripted_router(CALCULUS if script is None else script)
    return create_octopus_graph(experts, router, **options).compile(name="octopus", checkpointer=InMemorySaver())


def echoes(*names: str) -> list[Expert]:
    return [EchoExpert(name) for name in names or ("math", "history", "law")]


@pytest.fixture(params=["invoke", "ainvoke"])
def ask(request: pytest.FixtureRequest) -> Ask:
    """Runs a graph to its end, sync and async."""

    async def call(graph: Any, given: Any, config: Any = THREAD, **options: Any) -> dict[str, Any]:
        if request.param == "invoke":
            return graph.invoke(given, config, **options)
        return await graph.ainvoke(given, config, **options)

    return call


@pytest.fixture(params=["stream", "astream"])
def stream(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Streams a run, sync and async."""

    async def call(graph: Any, mode: Any, given: Any = None) -> Any:
        given = {"messages": [HumanMessage(REQUEST)]} if given is None else given
        if request.param == "stream":
            for part in graph.stream(given, THREAD, stream_mode=mode):
                yield part
        else:
            async for part in graph.astream(given, THREAD, stream_mode=mode):
                yield part

    return call


# ---------------------------------------------------------------- what is refused when it is built


@pytest.mark.parametrize(
    ("experts", "options", "names"),
    [
        ([EchoExpert("math", neighbours=("lwa",))], {}, ("neighbours of math", "'lwa'")),
        ([EchoExpert("math", fallback="lwa")], {}, ("fallback of math", "'lwa'")),
        (echoes("math"), {"fallback": "lwa"}, ("the graph's fallback", "'lwa'")),
        (echoes("math"), {"defaults": OctopusContext(experts=["lwa"])}, ("the experts allowed", "'lwa'")),
        (echoes("math", "cooking"), {}, ("the router", "'cooking'")),
    ],
    ids=["neighbour", "fallback of an expert", "fallback", "allow-list", "expert the router does not know"],
)
def test_an_unknown_name_is_refused_with_the_place_it_stands(
    experts: list[Expert], options: dict[str, Any], names: tuple[str, str]
) -> None:
    with pytest.raises(UnknownExpertError) as refusal:
        create_octopus_graph(experts, scripted_router({}), **options)

    assert all(name in str(refusal.value) for name in names)
    assert "math" in str(refusal.value)  # it says which there are
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", ["route", "finish", "end", "__end__", "__error__"])
def test_names_the_graph_takes_itself_are_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="another name"):
        create_octopus_graph(echoes(name), scripted_router({}, experts=[name]))


def test_a_graph_of_nobody_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="at least one expert"):
        create_octopus_graph([], scripted_router({}))


def test_a_name_that_stands_twice_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="Two experts are named 'math'"):
        create_octopus_graph(echoes("math", "law", "math"), scripted_router({}))


# ---------------------------------------------------------------- what LangGraph and its studio see


def test_the_drawing_shows_the_real_edges() -> None:
    experts = [EchoExpert("math", neighbours=("law",)), EchoExpert("law", neighbours=()), EchoExpert("history")]

    drawing = compiled(experts).get_graph()

    assert {(edge.source, edge.target) for edge in drawing.edges} == {
        ("__start__", "route"),
        *(("route", target) for target in ("math", "law", "history", "finish")),
        *(("math", target) for target in ("law", "finish")),
        ("law", "finish"),
        *(("history", target) for target in ("math", "law", "finish")),
        ("finish", "__end__"),
    }
    assert {edge.conditional for edge in drawing.edges if edge.source == "math"} == {True}
    assert drawing.nodes["math"].metadata == {"octopus_node": "expert"}


def test_the_schemas_name_the_fields_of_input_output_and_context() -> None:
    graph = compiled(echoes())

    assert set(graph.get_input_jsonschema()["properties"]) == {"messages"}
    assert set(graph.get_output_jsonschema()["properties"]) == {"messages", "hops", "request", "decision"}
    assert set(graph.get_context_jsonschema()["properties"]) == {"max_hops", "min_confidence", "rewrite", "experts"}
    assert graph.get_input_jsonschema()["properties"]["messages"]["items"]


def test_the_builder_is_the_callers_to_extend() -> None:
    builder = create_octopus_graph(echoes(), scripted_router(CALCULUS))

    assert isinstance(builder, StateGraph)
    assert builder.compile(name="mine").name == "mine"


# ---------------------------------------------------------------- runs


async def test_one_hop_gives_the_answer_as_it_is(ask: Ask) -> None:
    state = await ask(compiled(echoes(), {"derivative": "math"}), request())

    assert state["messages"][-1].text == f"[math] {REQUEST}"
    assert [hop["expert"] for hop in state["hops"]] == ["math"]
    assert state["request"] == REQUEST


async def test_two_hops_give_both_parts_under_their_headings(ask: Ask) -> None:
    state = await ask(compiled(echoes()), request())

    assert state["messages"][-1].text == BOTH
    assert [(hop["expert"], hop["query"], hop["rewritten"]) for hop in state["hops"]] == [
        ("math", REQUEST, False),
        ("history", "Who found calculus?", True),
    ]


async def test_each_decision_is_a_tool_call_and_each_answer_its_tool_message(ask: Ask) -> None:
    messages: list[AnyMessage] = (await ask(compiled(echoes()), request()))["messages"]

    assert [type(message) for message in messages] == [
        HumanMessage,
        AIMessage,
        ToolMessage,
        AIMessage,
        ToolMessage,
        AIMessage,
    ]
    first, answer, second = messages[1], messages[2], messages[3]
    assert isinstance(first, AIMessage)
    assert isinstance(answer, ToolMessage)
    assert isinstance(second, AIMessage)
    assert (first.tool_calls[0]["name"], first.tool_calls[0]["args"]) == ("math", {"query": REQUEST})
    assert (answer.name, answer.tool_call_id) == ("math", first.tool_calls[0]["id"])
    assert (second.tool_calls[0]["name"], second.tool_calls[0]["args"]) == ("history", {"query": "Who found calculus?"})


async def test_hops_say_how_they_came_about_and_are_plain_json(ask: Ask) -> None:
    state = await ask(compiled(echoes(), {"derivative": Pick("math", confidence=0.7)}), request())

    (hop,) = json.loads(json.dumps(state["hops"]))
    assert json.loads(json.dumps(state["decision"]))["expert"] is None
    assert hop["token"] == "<nexa_4>"
    assert hop["confidence"] == pytest.approx(0.7)
    assert hop["top"][0] == ["math", pytest.approx(0.7)]
    assert sum(probability for _, probability in hop["top"]) == pytest.approx(1)
    assert (hop["served_by"], hop["error"]) == (None, None)
    assert min(hop["decide_ms"], hop["expert_ms"]) > 0


async def upper(query: str) -> str:
    await asyncio.sleep(0)
    return query.upper()


def inner_graph() -> Any:
    """A graph as an expert: answers with the last message, shouted."""

    def node(state: MessagesState) -> dict[str, Any]:
        return {"messages": [AIMessage(str(state["messages"][-1].text).upper())]}

    return StateGraph(MessagesState).add_node("node", node).add_edge(START, "node").add_edge("node", END).compile()


@pytest.mark.parametrize(
    "runnable",
    [
        str.upper,
        upper,
        RunnableLambda(str.upper),
        RunnableLambda(upper),
        RunnableLambda(str.strip) | str.upper,
        ChatPromptTemplate.from_template("{q}") | GenericFakeChatModel(messages=iter([AIMessage("HELLO")] * 2)),
        GenericFakeChatModel(messages=iter([AIMessage("HELLO")] * 2)),
        inner_graph(),
    ],
    ids=["function", "coroutine", "runnable", "async runnable", "chain", "prompt and model", "chat model", "graph"],
)
async def test_an_expert_may_be_made_of_anything(runnable: Any, ask: Ask) -> None:
    graph = compiled([Expert("math", "", runnable)], {"hello": "math"})

    assert (await ask(graph, request("hello")))["messages"][-1].text == "HELLO"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"messages": []}, "no request"),
        ({"messages": [("ai", "hello")]}, "no request"),
        (request(" \n "), "empty"),
        (request("x" * 200_001), "shorten"),
        (request("\ud800"), "not valid text"),
    ],
    ids=["no message", "no human", "white space", "too long", "lone surrogate"],
)
async def test_bad_requests_end_in_one_sentence(given: Any, sentence: str, ask: Ask) -> None:
    with pytest.raises(InputError, match=sentence) as refusal:
        await ask(compiled(echoes()), given)

    assert "\n" not in str(refusal.value)


async def test_tokens_in_a_request_or_an_answer_stay_text(ask: Ask) -> None:
    graph = compiled([Expert("math", "", lambda _: "done <nexa_8> ('x')<nexa_end>")], {"": "math"})

    state = await ask(graph, request("say <nexa_8> and <nexa_end>"))

    assert state["messages"][-1].text == "done <nexa_8> ('x')<nexa_end>"
    assert state["hops"][0]["query"] == "say <nexa_8> and <nexa_end>"


async def test_runs_of_many_threads_at_once_keep_apart() -> None:
    graph = compiled([Expert("math", "", upper)], {"": "math"})

    answers = await asyncio.gather(
        *(graph.ainvoke(request(f"number {i}"), {"configurable": {"thread_id": str(i)}}) for i in range(20))
    )

    assert [state["messages"][-1].text for state in answers] == [f"NUMBER {i}" for i in range(20)]


async def test_it_serves_as_a_part_of_another_graph(ask: Ask) -> None:
    octopus = create_octopus_graph(echoes(), scripted_router(CALCULUS)).compile(name="octopus")
    builder = StateGraph(MessagesState, context_schema=dict)
    builder.add_node("octopus", octopus)
    outer = builder.add_edge(START, "octopus").add_edge("octopus", END).compile()

    state = await ask(outer, request(), None, context={"user": "somebody"})

    assert state["messages"][-1].text == BOTH


# ---------------------------------------------------------------- streams


async def test_custom_events_tell_the_run_as_it_goes(stream: Callable[..., Any]) -> None:
    events = [event async for event in stream(compiled(echoes()), "custom")]

    assert [(event["event"], event.get("by"), event.get("expert")) for event in events] == [
        ("decision", "route", "math"),
        ("hop", None, "math"),
        ("decision", "math", "history"),
        ("hop", None, "history"),
        ("decision", "history", None),
        ("answer", None, None),
    ]
    assert events[1]["answer"] == f"[math] {REQUEST}"
    assert (events[-1]["answer"], events[-1]["path"]) == (BOTH, ["math", "history"])
    json.dumps(events)


async def test_updates_come_node_by_node(stream: Callable[..., Any]) -> None:
    updates = [update async for update in stream(compiled(echoes()), "updates")]

    assert [name for update in updates for name in update] == ["route", "math", "history", "finish"]
    assert updates[1]["math"]["hops"][0]["expert"] == "math"


class Gated(BaseChatModel):
    """Says one word, and the next only after somebody has heard the first."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    heard: threading.Event

    @property
    def _llm_type(self) -> str:
        return "gated"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        raise AssertionError("it is to be streamed")

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        yield ChatGenerationChunk(message=AIMessageChunk("one "))
        assert self.heard.wait(5), "nobody heard the first word while the second was outstanding"
        yield ChatGenerationChunk(message=AIMessageChunk("two"))


@pytest.mark.parametrize("timeout", [None, 30], ids=["no timeout", "timeout"])
async def test_a_chat_models_words_are_streamed_as_they_come_and_once(
    timeout: float | None, stream: Callable[..., Any]
) -> None:
    heard = threading.Event()
    graph = compiled([Expert("math", "", Gated(heard=heard), timeout=timeout)], {"derivative": "math"})

    said: list[tuple[str, str]] = []
    async for message, metadata in stream(graph, "messages"):
        if message.text:
            said.append((type(message).__name__, message.text))
        if metadata["octopus_node"] == "expert" and message.text == "one ":
            heard.set()

    assert said == [("AIMessageChunk", "one "), ("AIMessageChunk", "two"), ("ToolMessage", "one two")]
    last = graph.get_state(THREAD).values["messages"][-1]
    assert (type(last), last.text) == (AIMessage, "one two")


async def test_the_words_of_several_experts_can_be_told_apart(stream: Callable[..., Any]) -> None:
    def says(text: str) -> GenericFakeChatModel:
        return GenericFakeChatModel(messages=iter([AIMessage(text)]))

    graph = compiled([Expert("math", "", says("3 x^2")), Expert("history", "", says("Newton and Leibniz"))])

    said: dict[str, str] = {}
    async for message, metadata in stream(graph, "messages"):
        if isinstance(message, AIMessageChunk):
            said[metadata["langgraph_node"]] = said.get(metadata["langgraph_node"], "") + str(message.text)

    assert said == {"math": "3 x^2", "history": "Newton and Leibniz"}
    final = graph.get_state(THREAD).values["messages"][-1]
    assert final.text == "## Math\n\n3 x^2\n\n## History\n\nNewton and Leibniz"


async def test_a_model_that_uses_one_id_for_all_its_answers_overwrites_none(ask: Ask) -> None:
    model = RunnableLambda(lambda query: AIMessage(f"re: {query}", id="always the same"))
    graph = compiled([Expert("math", "", model)], {"": "math"})

    await ask(graph, request("one"))
    state = await ask(graph, request("two"))

    assert [m.text for m in state["messages"] if isinstance(m, AIMessage) and m.text] == ["re: one", "re: two"]


# ---------------------------------------------------------------- checkpoints


async def test_a_run_goes_on_between_two_experts_where_it_was_halted(ask: Ask) -> None:
    asked: list[str] = []
    experts = [
        Expert("math", "", lambda query: asked.append("math") or "3x^2"),
        Expert("history", "", lambda query: asked.append("history") or "Newton"),
    ]
    builder = create_octopus_graph(experts, scripted_router(CALCULUS))
    saver = InMemorySaver()

    await ask(builder.compile(checkpointer=saver, interrupt_after=["math"]), request())
    assert asked == ["math"]

    # Another process would do as well: nothing of the run is anywhere but in the checkpointer.
    graph: Any = builder.compile(checkpointer=saver)
    assert graph.get_state(THREAD).next == ("history",)
    state = await ask(graph, None)

    assert asked == ["math", "history"]
    assert state["messages"][-1].text == "## Math\n\n3x^2\n\n## History\n\nNewton"


async def test_a_halted_decision_may_be_edited(ask: Ask) -> None:
    builder = create_octopus_graph(echoes(), scripted_router({"derivative": "math"}))
    graph: Any = builder.compile(checkpointer=InMemorySaver(), interrupt_before=["math"])
    await ask(graph, request())

    call = graph.get_state(THREAD).values["messages"][-1]
    edited = call.model_copy(update={"tool_calls": [{**call.tool_calls[0], "args": {"query": "2 + 2?"}}]})
    graph.update_state(THREAD, {"messages": [edited]}, as_node="route")
    state = await ask(graph, None)

    assert state["messages"][-1].text == "[math] 2 + 2?"
    assert (state["hops"][0]["query"], state["hops"][0]["rewritten"]) == ("2 + 2?", True)


@pytest.mark.parametrize("timeout", [None, 30], ids=["no timeout", "timeout"])
async def test_an_expert_that_is_a_graph_may_wait_for_a_human(timeout: float | None, ask: Ask) -> None:
    def node(state: MessagesState) -> dict[str, Any]:
        return {"messages": [AIMessage(f"signed by {interrupt('who signs?')}")]}

    inner = StateGraph(MessagesState).add_node("node", node).add_edge(START, "node").add_edge("node", END).compile()
    graph = compiled([Expert("law", "", inner, timeout=timeout, retries=2)], {"contract": "law"})

    halted = await ask(graph, request("the contract"))
    assert [wait.value for wait in halted["__interrupt__"]] == ["who signs?"]
    state = await ask(graph, Command(resume="Ada"))

    assert state["messages"][-1].text == "signed by Ada"
