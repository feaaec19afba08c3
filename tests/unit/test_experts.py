"""Experts: whatever they are made of, however they fail."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, SystemMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from langgraph.graph import END, START, MessagesState, StateGraph
from pydantic import BaseModel

from octopus_graph import effects
from octopus_graph.effects import Logic, arun, run
from octopus_graph.errors import ConfigurationError, ExpertError
from octopus_graph.experts import Answer, Expert, ask_in_turn

Driver = Callable[[Logic[Any]], Awaitable[Any]]


@pytest.fixture(params=["sync", "async"])
def drive(request: pytest.FixtureRequest) -> Driver:
    async def blocking(logic: Logic[Any]) -> Any:
        return run(logic)

    return blocking if request.param == "sync" else arun


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were made, none of them waited for."""
    made: list[float] = []

    async def note(pause: effects.Pause) -> None:
        made.append(pause.seconds)

    monkeypatch.setattr(effects.Pause, "wait", lambda pause: made.append(pause.seconds))
    monkeypatch.setattr(effects.Pause, "wait_async", note)
    return made


@dataclass
class Failing:
    """Fails some times, then answers."""

    failures: int
    error: Exception = field(default_factory=lambda: ConnectionError("refused"))
    calls: int = 0

    def __call__(self, query: str) -> str:
        self.calls += 1
        if self.calls <= self.failures:
            raise self.error
        return f"after {self.calls}: {query}"


class Async:
    async def __call__(self, query: str) -> str:
        await asyncio.sleep(0)
        return query.upper()


async def shout(query: str) -> str:
    await asyncio.sleep(0)
    return query.upper()


def model(*answers: str) -> GenericFakeChatModel:
    return GenericFakeChatModel(messages=iter([AIMessage(answer) for answer in answers]))


def answered(prompt: Any) -> AIMessage:
    return AIMessage(prompt.messages[0].text.upper())


def shouting_graph() -> Any:
    def node(state: MessagesState) -> dict[str, Any]:
        return {"messages": [AIMessage(str(state["messages"][-1].text).upper())]}

    return StateGraph(MessagesState).add_node("node", node).add_edge(START, "node").add_edge("node", END).compile()


def asked(**options: Any) -> tuple[Expert, list[Any]]:
    """An expert and the list of what it is given."""
    given: list[Any] = []

    def note(value: Any) -> str:
        given.append(value)
        return "noted"

    return Expert("noting", "Notes", note, **options), given


@pytest.mark.parametrize(
    "runnable",
    [
        str.upper,
        lambda query: query.upper(),
        shout,
        Async(),
        RunnableLambda(str.upper),
        RunnableLambda(shout),
        ChatPromptTemplate.from_messages([("human", "{query}")]) | RunnableLambda(answered),
        shouting_graph(),
    ],
    ids=["builtin", "lambda", "async", "async object", "runnable", "async runnable", "chain", "graph"],
)
async def test_anything_that_answers_can_be_an_expert(runnable: Any, drive: Driver) -> None:
    expert = Expert("shouting", "Shouts", runnable)

    assert (await drive(expert.ask("hello"))).text == "HELLO"


async def test_a_chat_model_answers_and_its_message_keeps_its_id(drive: Driver) -> None:
    answer = await drive(Expert("model", "A model", model("It is 12.")).ask("x^3 at 2?"))

    assert answer.text == "It is 12."
    assert answer.message_id.startswith("lc_run-")


class Verdict(BaseModel):
    right: bool


@pytest.mark.parametrize(
    ("output", "text"),
    [
        ("words", "words"),
        (AIMessage("words"), "words"),
        (AIMessage([{"type": "reasoning", "reasoning": "hm"}, {"type": "text", "text": "words"}]), "words"),
        (HumanMessage("words"), "words"),
        ({"messages": [HumanMessage("hello"), AIMessage("words")]}, "words"),
        ([HumanMessage("hello"), AIMessage("words")], "words"),
        (12, "12"),
        (1.5, "1.5"),
        ({"wert": "ä"}, '{"wert": "ä"}'),
        (["a", "b"], '["a", "b"]'),
        (Verdict(right=True), '{"right":true}'),
    ],
    ids=repr,
)
def test_any_output_is_read_as_text(output: Any, text: str) -> None:
    assert run(Expert("e", "An expert", lambda _: output).ask("?")).text == text


@pytest.mark.parametrize("output", [None, {"messages": []}])
def test_no_output_is_a_failure(output: Any) -> None:
    with pytest.raises(ExpertError, match="it returned no answer"):
        run(Expert("e", "An expert", lambda _: output).ask("?"))


CHAT: list[AnyMessage] = [SystemMessage("Be brief."), HumanMessage("Earlier?"), AIMessage("Yes."), HumanMessage("Now?")]


def texts(messages: list[AnyMessage]) -> list[tuple[str, str]]:
    return [(message.type, str(message.text)) for message in messages]


def test_a_function_is_given_the_query() -> None:
    expert, given = asked(system_prompt="You note.")

    run(expert.ask("Now?", CHAT, {"messages": CHAT}))

    assert given == ["Now?"]


def test_messages_are_given_under_one_system_message() -> None:
    expert, given = asked(system_prompt="You note.", takes="messages")

    run(expert.ask("Now?", CHAT))

    assert texts(given[0]) == [
        ("system", "You note.\n\nBe brief."),
        ("human", "Earlier?"),
        ("ai", "Yes."),
        ("human", "Now?"),
    ]
    assert texts(CHAT)[0] == ("system", "Be brief.")  # the caller's list is left alone


def test_without_a_chat_the_query_is_the_message() -> None:
    expert, given = asked(takes="messages")

    run(expert.ask("Now?"))

    assert texts(given[0]) == [("human", "Now?")]


def test_the_state_is_given_whole() -> None:
    expert, given = asked(takes="state")
    state = {"messages": CHAT, "hops": [], "request": "Now?"}

    run(expert.ask("Now?", CHAT, state))

    assert given == [state]


class Listening(GenericFakeChatModel):
    """A chat model that keeps what it was given."""

    heard: list[Any]

    def _generate(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
        self.heard.append(messages)
        return super()._generate(messages, *args, **kwargs)


def heard_by(build: Callable[[Listening], Any]) -> list[tuple[str, str]]:
    listening = Listening(messages=iter([AIMessage("yes")]), heard=[])
    run(Expert("e", "An expert", build(listening), system_prompt="You listen.").ask("Now?", CHAT))
    return texts(listening.heard[0])


@pytest.mark.parametrize(
    "build",
    [
        lambda model: model,
        lambda model: model.bind(stop=["."]),
        lambda model: model.with_retry(),
        lambda model: model.with_fallbacks([model]),
        lambda model: model | StrOutputParser(),
    ],
    ids=["model", "bound", "retry", "fallbacks", "chain"],
)
def test_what_is_built_on_a_chat_model_is_given_messages(build: Callable[[Listening], Any]) -> None:
    assert heard_by(build) == [
        ("system", "You listen.\n\nBe brief."),
        ("human", "Earlier?"),
        ("ai", "Yes."),
        ("human", "Now?"),
    ]


def test_a_chain_that_takes_a_prompt_variable_is_given_the_query() -> None:
    assert heard_by(lambda model: ChatPromptTemplate.from_messages([("human", "Q: {query}")]) | model) == [
        ("human", "Q: Now?")
    ]


async def test_an_attempt_that_takes_too_long_fails(drive: Driver) -> None:
    expert = Expert("slow", "Takes its time", lambda _: time.sleep(0.5), timeout=0.05)

    with pytest.raises(ExpertError, match=r"'slow' did not answer \(TimeoutError: no answer within 0\.05 s\)"):
        await drive(expert.ask("?"))


async def test_an_async_attempt_that_takes_too_long_fails(drive: Driver) -> None:
    async def slow(_: str) -> str:
        await asyncio.sleep(0.5)
        return "late"

    with pytest.raises(ExpertError, match=r"no answer within 0\.05 s"):
        await drive(Expert("slow", "Takes its time", slow, timeout=0.05).ask("?"))


async def test_failed_attempts_are_repeated_after_growing_pauses(drive: Driver, pauses: list[float]) -> None:
    failing = Failing(3)

    answer = await drive(Expert("flaky", "Fails at times", failing, retries=3).ask("?"))

    assert answer == Answer("after 4: ?")
    assert len(pauses) == 3
    assert all(low <= pause <= high for pause, (low, high) in zip(pauses, [(0.25, 0.5), (0.5, 1), (1, 2)], strict=True))


async def test_pauses_stop_growing_and_attempts_stop_coming(drive: Driver, pauses: list[float]) -> None:
    failing = Failing(100)

    with pytest.raises(ExpertError, match=r"refused after 11 attempts"):
        await drive(Expert("flaky", "Fails at times", failing, retries=10).ask("?"))

    assert failing.calls == 11
    assert len(pauses) == 10
    assert max(pauses) <= 8


def test_a_failure_is_one_short_line_and_keeps_its_cause() -> None:
    cause = ValueError("first line\nsecond line\n" + "x" * 1000)

    with pytest.raises(ExpertError) as caught:
        run(Expert("broken", "Broken", Failing(9, cause)).ask("?"))

    assert "ValueError: first line second line xxx" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
    assert caught.value.__cause__ is cause


def test_a_model_with_nothing_left_to_say_is_a_failure() -> None:
    with pytest.raises(ExpertError, match="'empty'"):
        run(Expert("empty", "Says nothing", model()).ask("?"))


async def test_the_next_expert_is_asked_when_the_first_fails(drive: Driver) -> None:
    first, second = Expert("first", "Fails", Failing(9)), Expert("second", "Answers", str.upper)

    answer, server, error = await drive(ask_in_turn([first, second], "hello"))

    assert (answer.text, server, error) == ("HELLO", second, "ConnectionError: refused")


async def test_the_next_expert_is_left_alone_when_the_first_answers(drive: Driver) -> None:
    first, idle = Expert("first", "Answers", str.upper), Failing(0)

    answer, server, error = await drive(ask_in_turn([first, Expert("second", "Idle", idle)], "hello"))

    assert (answer.text, server, error, idle.calls) == ("HELLO", first, None, 0)


async def test_when_all_fail_one_line_names_them_all(drive: Driver) -> None:
    experts = [Expert("math", "Fails", Failing(9)), Expert("general", "Fails", Failing(9, ValueError("no key")))]

    with pytest.raises(ExpertError) as caught:
        await drive(ask_in_turn(experts, "?"))

    assert str(caught.value) == (
        "The expert 'math' did not answer (ConnectionError: refused), nor did its fallback 'general' "
        "(ValueError: no key): ask again, or raise its timeout or retries."
    )
    assert list(caught.value.failures) == ["math", "general"]


async def test_an_expert_is_a_tool_too() -> None:
    tool = Expert("shouting", "Shouts", shout, system_prompt="You shout.").as_tool()

    assert (tool.name, tool.description) == ("shouting", "Shouts")
    assert set(tool.args) == {"query"}
    assert tool.invoke({"query": "hello"}) == await tool.ainvoke({"query": "hello"}) == "HELLO"


def test_a_tool_keeps_the_retries_of_its_expert(pauses: list[float]) -> None:
    tool = Expert("flaky", "Fails at times", Failing(1), retries=1).as_tool()

    assert tool.invoke({"query": "?"}) == "after 2: ?"
    assert len(pauses) == 1


def test_a_tool_passes_its_callers_callbacks_on() -> None:
    seen: list[Any] = []

    def note(_: str, config: Any) -> str:
        seen.append(config["metadata"]["who"])
        return "noted"

    Expert("noting", "Notes", RunnableLambda(note)).as_tool().invoke({"query": "?"}, {"metadata": {"who": "me"}})

    assert seen == ["me"]


BAD: list[tuple[dict[str, Any], str]] = [
    ({"name": ""}, "cannot be named ''"),
    ({"name": "a b"}, "letters, digits, underscores and hyphens"),
    ({"name": "a:b"}, "cannot be named"),
    ({"name": "x" * 65}, "cannot be named"),
    ({"runnable": {"url": "x"}}, "'e' cannot ask a dict"),
    ({"runnable": None}, "cannot ask a NoneType"),
    ({"runnable": StateGraph(MessagesState)}, r"not compiled: call its compile\(\) first"),
    ({"takes": "everything"}, "cannot take 'everything'; it takes auto, messages, query, state"),
    ({"timeout": 0}, "must be above 0"),
    ({"timeout": float("nan")}, "must be above 0"),
    ({"retries": -1}, "cannot have -1 retries"),
]


@pytest.mark.parametrize(("change", "message"), BAD)
def test_a_value_that_cannot_be_used_is_refused(change: dict[str, Any], message: str) -> None:
    fields: dict[str, Any] = {"name": "e", "description": "An expert", "runnable": str.upper} | change

    with pytest.raises(ConfigurationError, match=message):
        Expert(**fields)
