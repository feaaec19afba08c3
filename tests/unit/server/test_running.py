"""Runs told as events: nothing twice, whatever the graph does."""

import asyncio
from collections.abc import Iterator
from typing import Any, cast

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.messages.tool import ToolCall
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from pydantic import Field

from octopus_graph.errors import ExpertError, InputError
from octopus_graph.experts import Expert
from octopus_graph.graph import create_octopus_graph
from octopus_graph.options import ModelOptions
from octopus_graph.state import OctopusContext
from octopus_graph.testing import EchoExpert, scripted_router
from octopus_graph_server.listening import Speech
from octopus_graph_server.problems import NotFoundError, TimedOutError, TooManyRunsError, UnavailableError
from octopus_graph_server.running import Ask, CallPart, Decided, Ended, Event, Hopped, Run, Stopped, Words
from octopus_graph_server.service import Opened, Runs, Service
from octopus_graph_server.settings import ServerSettings
from octopus_graph_server.toolcalls import Calls, own_ids
from octopus_graph_server.walking import heading

SCRIPT: dict[str, Any] = {
    "twice": ["math", "law"],
    "unsure": {"law": 1.0, "math": 0.9},
    "physics": "physics",
    "chemistry": "chemistry",
    "math": "math",
    "law": "law",
}


class Frail(BaseChatModel):
    """Says two words and fails, the first time; then says three."""

    calls: list[int] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "frail"

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        raise NotImplementedError("it streams")

    def _stream(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> Iterator[ChatGenerationChunk]:
        self.calls.append(1)
        for word in ("one ", "two ", "three"):
            if len(self.calls) == 1 and word == "three":
                raise ConnectionError("gone")
            yield ChatGenerationChunk(message=AIMessageChunk(content=word))


class Waiting:
    """An expert that answers when it may."""

    def __init__(self) -> None:
        self.asked, self.may, self.cancelled = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def __call__(self, query: str) -> str:
        self.asked.set()
        try:
            await self.may.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return f"at last {query}"


def service_of(*more: Expert, runs: Runs | None = None, fallback: str | None = None) -> Service:
    experts = [EchoExpert("math"), EchoExpert("law"), *more]
    router = scripted_router(SCRIPT)
    builder: Any = create_octopus_graph(experts, router, fallback=fallback)
    saver = InMemorySaver()
    service = Service(ServerSettings(), router, {expert.name: expert for expert in experts}, runs or Runs(8, 30.0))
    service.opened = Opened(builder.compile(checkpointer=saver), builder.compile(), saver)
    return service


async def told(service: Service, text: str, **more: Any) -> list[Event]:
    async with Run(service, Ask([HumanMessage(text)], **more)) as run:
        return [event async for event in run]


def words(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Words))


@pytest.mark.parametrize("wanted", [True, False])
async def test_a_run_is_told_from_the_decision_to_the_end(wanted: bool) -> None:
    events = await told(service_of(), "math", words=wanted)
    assert [type(event) for event in events] == [Decided, Words, Hopped, Ended]
    assert events[0] == Decided("math", cast(float, pytest.approx(0.99)))
    assert isinstance(events[-1], Ended)
    assert (events[-1].answer, events[-1].path) == ("[math] math", ["math"])


@pytest.mark.parametrize("wanted", [True, False])
async def test_the_parts_of_several_hops_come_with_the_headings_of_the_whole(wanted: bool) -> None:
    events = await told(service_of(), "twice", words=wanted)
    end = events[-1]
    assert isinstance(end, Ended)
    assert heading("math") + words(events) == end.answer


@pytest.mark.parametrize("wanted", [True, False])
async def test_experts_asked_together_are_told_once_and_in_order(wanted: bool) -> None:
    context = OctopusContext(min_confidence=0.9, when_unsure="fan_out")
    events = await told(service_of(), "unsure", words=wanted, context=context)
    end = events[-1]
    assert isinstance(end, Ended)
    assert end.path == ["law", "math"]
    assert words(events) == end.answer


@pytest.mark.parametrize("wanted", [True, False])
async def test_where_nobody_is_sure_enough_the_graph_says_so(wanted: bool) -> None:
    events = await told(service_of(), "unsure", words=wanted, context=OctopusContext(min_confidence=0.9))
    end = events[-1]
    assert events[0] == Decided(None, cast(float, pytest.approx(0.52, abs=0.01)))
    assert isinstance(end, Ended)
    assert "No expert is sure enough" in end.answer
    assert words(events) == end.answer


async def test_a_request_with_a_form_that_nobody_takes_is_declined_too() -> None:
    options = ModelOptions(response_format={"type": "json_object"})
    events = await told(service_of(), "unsure", options=options, context=OctopusContext(min_confidence=0.9))
    assert isinstance(events[-1], Ended)
    assert "No expert is sure enough" in events[-1].answer


async def test_a_second_attempt_begins_anew_and_is_not_said_twice() -> None:
    events = await told(service_of(Expert("physics", "", Frail(), retries=1)), "physics", words=True)
    end = events[-1]
    assert isinstance(end, Ended)
    assert end.answer == "one two three"
    assert words(events) == "one two \n\none two three"


async def test_the_same_holds_for_an_expert_that_was_named() -> None:
    events = await told(service_of(Expert("physics", "", Frail(), retries=1)), "hello", words=True, expert="physics")
    assert events[0] == Decided("physics")
    assert words(events) == "one two \n\none two three"


async def test_a_named_expert_has_its_fallback() -> None:
    def broken(query: str) -> str:
        raise RuntimeError(query)

    service = service_of(Expert("chemistry", "", broken, fallback="law"))
    events = await told(service, "hello", expert="chemistry")
    end = events[-1]
    assert isinstance(end, Ended)
    assert end.answer == "[law] hello"
    assert end.hops[0]["served_by"] == "law"


async def test_errors_are_raised_where_events_are_read() -> None:
    def broken(query: str) -> str:
        raise RuntimeError(query)

    with pytest.raises(ExpertError):
        await told(service_of(Expert("chemistry", "", broken)), "chemistry")
    with pytest.raises(InputError, match="empty"):
        await told(service_of(), "  ")
    with pytest.raises(NotFoundError):
        await told(service_of(), "hello", expert="nobody")


async def test_a_run_that_nobody_reads_any_more_is_cancelled() -> None:
    expert = Waiting()
    service = service_of(Expert("physics", "", expert))
    async with Run(service, Ask([HumanMessage("physics")])) as run:
        assert (await run.decided()).expert == "physics"
        await expert.asked.wait()
        assert service.runs.going == 1
    assert expert.cancelled.is_set()
    assert service.runs.going == 0


async def test_runs_are_counted_and_limited() -> None:
    expert = Waiting()
    service = service_of(Expert("physics", "", expert), runs=Runs(1, 30.0))
    async with Run(service, Ask([HumanMessage("physics")])) as run:
        await expert.asked.wait()
        with pytest.raises(TooManyRunsError):
            await told(service, "law")
        expert.may.set()
        assert (await run.ended()).answer == "at last physics"


async def test_a_run_that_takes_too_long_is_ended() -> None:
    expert = Waiting()
    with pytest.raises(TimedOutError):
        await told(service_of(Expert("physics", "", expert), runs=Runs(1, 0.1)), "physics")
    assert expert.cancelled.is_set()


async def test_whoever_reads_when_the_server_shuts_down_is_told() -> None:
    expert = Waiting()
    service = service_of(Expert("physics", "", expert))
    async with Run(service, Ask([HumanMessage("physics")])) as run:
        await expert.asked.wait()
        await service.runs.drain(0.01)
        with pytest.raises(UnavailableError):
            await run.ended()


async def test_a_run_on_a_thread_stops_to_ask_and_goes_on_with_the_answer() -> None:
    service = service_of()
    more: dict[str, Any] = {"thread": "1", "context": OctopusContext(max_hops=1, min_confidence=0.9, when_unsure="ask")}
    asked = await told(service, "unsure", **more)
    assert asked[0] == Decided(None)
    assert isinstance(asked[-1], Stopped)
    assert asked[-1].question.startswith("Is this about law or math")
    done = await told(service, "law", **more)
    assert done[0] == Decided("law", 1.0)
    assert isinstance(done[-1], Ended)
    assert done[-1].answer.startswith("[law] unsure")


async def test_a_graph_of_somebody_elses_is_told_by_its_last_message() -> None:
    builder: Any = StateGraph(MessagesState)
    builder.add_node("reply", lambda state: {"messages": [AIMessage(f"heard {state['messages'][-1].text}")]})
    builder.add_edge(START, "reply")
    builder.add_edge("reply", END)
    service = Service(ServerSettings(), None, {}, Runs(8, 30.0))
    service.opened = Opened(builder.compile(), builder.compile(), None)
    events = await told(service, "hello", words=True)
    assert events == [Decided(None), Words("heard hello"), Ended("heard hello")]


def test_speech_says_the_rest() -> None:
    speech = Speech()
    assert [speech.hear(AIMessageChunk(content=text, id="1")) for text in ("a", "", "b")] == ["a", "", "b"]
    assert speech.rest("abc") == "c"
    assert speech.rest(" ab ") == ""
    assert speech.rest("other") == "\n\nother"
    assert Speech().rest("whole") == "whole"


def test_calls_that_come_whole_are_told_whole() -> None:
    calls = Calls("math")
    made = [ToolCall(name="f", args={"x": 1}, id=None), ToolCall(name="g", args={}, id="2")]
    first, second = calls.rest(made)
    assert isinstance(first, CallPart)
    assert (first.index, first.name, first.arguments) == (0, "f", '{"x": 1}')
    assert second == CallPart(1, "{}", "math:2", "g")
    assert [call["id"] for call in calls.made(made)] == [first.id, "math:2"]
    assert calls.rest(made) == []


def test_ids_of_calls_find_back_to_their_expert() -> None:
    experts = {"math": EchoExpert("math")}
    chat = [
        HumanMessage("hello"),
        AIMessage("", tool_calls=[ToolCall(name="f", args={}, id="math:a:b"), ToolCall(name="f", args={}, id="law:c")]),
        ToolMessage("1", tool_call_id="law:c"),
        ToolMessage("2", tool_call_id="math:a:b"),
    ]
    own, caller = own_ids(chat, experts)
    calls: Any = own[1]
    results: Any = own[2:]
    assert caller == "math"
    assert [call["id"] for call in calls.tool_calls] == ["a:b", "law:c"]  # of law this server knows nothing
    assert [result.tool_call_id for result in results] == ["law:c", "a:b"]
