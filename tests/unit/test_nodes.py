"""What the nodes decide, hop by hop, on the real LangGraph; every behaviour in `invoke` and in `ainvoke`."""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from langchain_core.messages import (
    AIMessage,
    AnyMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    convert_to_openai_messages,
)
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from octopus_graph.errors import ConfigurationError, ExpertError, InputError, UnknownExpertError
from octopus_graph.experts import Expert
from octopus_graph.graph import create_octopus_graph
from octopus_graph.risk import Calibration
from octopus_graph.router import OctopusRouter
from octopus_graph.state import OctopusContext
from octopus_graph.testing import EchoExpert, Pick, Scene, Script, ScriptedEngine, scripted_router

NAMES = ("math", "physics", "law", "general")
THREAD: RunnableConfig = {"configurable": {"thread_id": "1"}}

Ask = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture(params=["invoke", "ainvoke"])
def ask(request: pytest.FixtureRequest) -> Ask:
    """Asks a graph one question."""

    async def asks(graph: Any, question: str, config: RunnableConfig | None = None, **context: Any) -> dict[str, Any]:
        given = {"messages": [("user", question)]}
        if request.param == "invoke":
            return graph.invoke(given, config, context=context or None)
        return await graph.ainvoke(given, config, context=context or None)

    return asks


class Broken:
    """An expert's runnable that fails as long as it is told to."""

    def __init__(self) -> None:
        self.works = False
        self.calls = 0

    def __call__(self, query: str) -> str:
        self.calls += 1
        if not self.works:
            raise ConnectionError("refused")
        return f"works: {query}"


def compiled(
    script: Script | OctopusRouter, experts: Sequence[Expert] | None = None, *, remember: bool = False, **options: Any
) -> Any:
    router = script if isinstance(script, OctopusRouter) else scripted_router(script)
    builder = create_octopus_graph(experts or [EchoExpert(name) for name in NAMES], router, **options)
    return builder.compile(name="octopus", checkpointer=InMemorySaver() if remember else None)


def path(result: dict[str, Any]) -> list[str]:
    return [hop["expert"] for hop in result["hops"]]


def final(result: dict[str, Any]) -> str:
    assert isinstance(result["messages"][-1], AIMessage)
    return str(result["messages"][-1].text)


def scenes(router: OctopusRouter) -> list[Scene]:
    assert isinstance(router.engine, ScriptedEngine)
    return router.engine.scenes


def check_history(messages: Sequence[AnyMessage]) -> None:
    """OpenAI's rules: right after tool calls come their answers, each once; no answer without a call."""
    waiting: list[str] = []
    for message in convert_to_openai_messages(list(messages)):
        if message["role"] == "tool":
            assert message["tool_call_id"] in waiting, "an answer to no call"
            waiting.remove(message["tool_call_id"])
            continue
        assert not waiting, f"a {message['role']} message before the call was answered"
        waiting = [call["id"] for call in message.get("tool_calls", [])]
        assert message["content"] or waiting, "an empty message"
    assert not waiting, "a call nobody answered"


# ---------------------------------------------------------------- one hop


async def test_one_hop_gives_the_answer_as_it_is(ask: Ask) -> None:
    result = await ask(compiled({"derivative": "math"}), "the derivative of x^3?")

    assert final(result) == "[math] the derivative of x^3?"
    assert result["request"] == "the derivative of x^3?"
    [hop] = result["hops"]
    assert hop["expert_ms"] > 0
    assert hop["decide_ms"] > 0
    assert {key: hop[key] for key in ("expert", "token", "query", "rewritten", "answer", "served_by", "error")} == {
        "expert": "math",
        "token": "<nexa_4>",
        "query": "the derivative of x^3?",
        "rewritten": False,
        "answer": "[math] the derivative of x^3?",
        "served_by": None,
        "error": None,
    }
    assert hop["confidence"] == pytest.approx(0.99)
    assert hop["top"][0] == ["math", pytest.approx(0.99)]
    assert len(hop["top"]) == 3


async def test_a_decision_is_a_tool_call_and_an_answer_a_tool_message(ask: Ask) -> None:
    result = await ask(compiled({"2 + 2": Pick("math", rewrite="What is 2 + 2?")}), "2 + 2")

    human, decision, answer, last = result["messages"]
    assert [type(message) for message in (human, decision, answer, last)] == [
        HumanMessage,
        AIMessage,
        ToolMessage,
        AIMessage,
    ]
    [call] = decision.tool_calls
    assert (call["name"], call["args"]) == ("math", {"query": "What is 2 + 2?"})
    assert (answer.name, answer.tool_call_id, answer.text) == ("math", call["id"], "[math] What is 2 + 2?")
    assert result["hops"][0]["rewritten"] is True
    check_history(result["messages"])


async def test_rewriting_can_be_switched_off(ask: Ask) -> None:
    result = await ask(compiled({"": Pick("math", rewrite="What is 2 + 2?")}), "2 + 2", rewrite="never")

    assert (result["hops"][0]["query"], result["hops"][0]["rewritten"]) == ("2 + 2", False)


@pytest.mark.parametrize(("question", "message"), [("  ", "is empty"), ("x" * 200_001, "200,001 characters")])
async def test_a_request_that_cannot_be_used_is_refused(question: str, message: str, ask: Ask) -> None:
    with pytest.raises(InputError, match=message):
        await ask(compiled({}), question)


async def test_a_refused_request_does_not_spoil_its_thread(ask: Ask) -> None:
    graph = compiled({"2 + 2": "math"}, remember=True)

    with pytest.raises(InputError):
        await ask(graph, " ", THREAD)

    assert final(await ask(graph, "2 + 2", THREAD)) == "[math] 2 + 2"


async def test_the_event_loop_is_free_while_the_router_decides() -> None:
    import asyncio

    def slowly(_: Scene) -> str:
        time.sleep(0.2)
        return "math"

    beats = 0
    run = asyncio.create_task(compiled(slowly).ainvoke({"messages": [("user", "?")]}, context={"max_hops": 1}))
    while not run.done():
        beats += 1
        await asyncio.sleep(0.01)

    assert path(await run) == ["math"]
    assert beats >= 5


# ---------------------------------------------------------------- several hops

BOTH: Script = {"both": [Pick("math", rewrite="The sum?"), Pick("law", rewrite="Is it allowed?")]}


async def test_several_hops_give_their_answers_under_headings(ask: Ask) -> None:
    result = await ask(compiled(BOTH), "both")

    assert path(result) == ["math", "law"]
    assert final(result) == "## Math\n\n[math] The sum?\n\n## Law\n\n[law] Is it allowed?"
    check_history(result["messages"])


async def test_an_edge_router_sees_the_hops_and_has_its_own_adapter(ask: Ask) -> None:
    router = scripted_router(BOTH, adapters=["math", "law"])

    await ask(compiled(router), "both")

    assert scenes(router) == [
        Scene("both", None, (), None),
        Scene("both", None, ("[math] The sum?",), "math"),
        Scene("both", None, ("[math] The sum?", "[law] Is it allowed?"), "law"),
    ]


async def test_an_expert_that_takes_messages_sees_the_earlier_hops(ask: Ask) -> None:
    given: list[list[AnyMessage]] = []

    def note(messages: list[AnyMessage]) -> str:
        given.append(messages)
        return "noted"

    law = Expert("law", "Law", note, takes="messages", system_prompt="You are a lawyer.")

    await ask(compiled(BOTH, [EchoExpert("math"), law]), "both")

    assert [(message.type, str(message.text)) for message in given[0]] == [
        ("system", "You are a lawyer."),
        ("human", "Earlier in this run, math was asked “The sum?” and answered: [math] The sum?\n\nIs it allowed?"),
    ]


@pytest.mark.parametrize("budget", [1, 2, 3, 5])
async def test_the_hop_budget_ends_a_run_without_asking_the_router(budget: int, ask: Ask) -> None:
    def onwards(scene: Scene) -> Pick:
        return Pick(NAMES[len(scene.answers) % 3], rewrite=f"part {'i' * len(scene.answers)}")

    router = scripted_router(onwards)

    result = await ask(compiled(router), "both", max_hops=budget)

    assert path(result) == [NAMES[place % 3] for place in range(budget)]
    assert len(scenes(router)) == budget
    check_history(result["messages"])


async def test_the_hop_budget_of_one_turn_does_not_leak_into_the_next(ask: Ask) -> None:
    graph = compiled(BOTH, remember=True)

    runs = [await ask(graph, "both", THREAD, max_hops=2) for _ in range(3)]

    assert [path(result) for result in runs] == [["math", "law"]] * 3
    assert len(runs[-1]["messages"]) == 3 * 6
    check_history(runs[-1]["messages"])


async def test_hops_a_caller_sends_in_are_not_believed(ask: Ask) -> None:
    graph = compiled(BOTH)

    result = graph.invoke({"messages": [("user", "both")], "hops": [{"expert": "x"}] * 3, "request": "other"})

    assert path(result) == ["math", "law"]


async def test_no_expert_is_asked_the_same_twice(ask: Ask) -> None:
    """The router would go round in circles: math, physics, math, physics …"""
    again: Script = {"": ["math", "physics", "math", "physics", "math"]}

    result = await ask(compiled(again, [EchoExpert("math"), EchoExpert("physics")]), "2 + 2", max_hops=10)

    assert path(result) == ["math", "physics"]


async def test_an_expert_may_be_asked_something_else(ask: Ask) -> None:
    again: Script = {"": [Pick("math", rewrite="part a"), "physics", Pick("math", rewrite="part b"), "physics"]}

    result = await ask(compiled(again), "both parts", max_hops=10)

    assert [(hop["expert"], hop["query"]) for hop in result["hops"]] == [
        ("math", "part a"),
        ("physics", "both parts"),
        ("math", "part b"),
    ]


async def test_white_space_and_case_make_no_new_question(ask: Ask) -> None:
    again: Script = {"": [Pick("math", rewrite="Part A"), "physics", Pick("math", rewrite=" part  a")]}

    assert path(await ask(compiled(again), "both", max_hops=10)) == ["math", "physics"]


async def test_other_words_make_no_new_question(ask: Ask) -> None:
    """The router would go round in circles and word it anew each time: math, physics, math, physics …"""
    again: Script = {
        "": [
            Pick("math", rewrite="What is the area of the circle?"),
            Pick("physics", rewrite="How heavy is the disc?"),
            Pick("math", rewrite="Please compute the circle's area"),
            Pick("physics", rewrite="What is heavy about the disc?"),
        ]
    }

    result = await ask(compiled(again), "the area of this circle, and how heavy is the disc", max_hops=10)

    assert path(result) == ["math", "physics"]


async def test_whoever_would_be_asked_the_same_makes_room_for_the_next_best(ask: Ask) -> None:
    def prefer(scene: Scene) -> dict[str, float]:
        return {"math": 3.0, "physics": 2.0, "law": 1.0, "end": 0.0}

    assert path(await ask(compiled(prefer), "2 + 2", max_hops=3)) == ["math", "physics", "law"]


async def test_whoever_stood_in_is_not_asked_the_same_again(ask: Ask) -> None:
    math = Expert("math", "Fails", Broken(), fallback="general")

    result = await ask(compiled({"": ["math", "general"]}, [math, EchoExpert("general")]), "2 + 2")

    assert [(hop["expert"], hop["served_by"]) for hop in result["hops"]] == [("math", "general")]


async def test_only_neighbours_come_next(ask: Ask) -> None:
    experts = [EchoExpert("math", neighbours=("physics",)), EchoExpert("physics", neighbours=()), EchoExpert("law")]
    router = scripted_router(lambda scene: {"law": 3.0, "math": 2.0, "physics": 1.0, "end": -5.0})

    result = await ask(compiled(router, experts), "2 + 2", experts=["math", "physics"])

    assert path(result) == ["math", "physics"]
    assert len(scenes(router)) == 2  # physics has no neighbours: nothing to decide


# ---------------------------------------------------------------- the context


async def test_only_allowed_experts_are_asked(ask: Ask) -> None:
    script: Script = {"": {"math": 3.0, "law": 2.0, "physics": 1.0, "end": 0.0}}

    result = await ask(compiled(script), "2 + 2", experts=["physics", "law"])

    assert path(result) == ["law", "physics"]


async def test_an_unknown_expert_in_the_allow_list_is_named(ask: Ask) -> None:
    with pytest.raises(UnknownExpertError, match="the experts allowed: there is no expert 'maths'"):
        await ask(compiled({}), "2 + 2", experts=["maths"])


async def test_an_empty_allow_list_is_refused(ask: Ask) -> None:
    with pytest.raises(ConfigurationError, match="allow at least one"):
        await ask(compiled({}), "2 + 2", experts=[])


async def test_a_run_s_context_goes_over_the_graph_s_defaults(ask: Ask) -> None:
    graph = compiled(BOTH, defaults=OctopusContext(max_hops=1, experts=["math", "law"]))

    assert path(await ask(graph, "both")) == ["math"]
    assert path(await ask(graph, "both", max_hops=2)) == ["math", "law"]
    assert path(await ask(graph, "both", rewrite="auto")) == ["math"]  # what is not set stays as the graph has it


async def test_the_context_may_be_an_object(ask: Ask) -> None:
    result = compiled(BOTH).invoke({"messages": [("user", "both")]}, context=OctopusContext(max_hops=1))

    assert path(result) == ["math"]


# ---------------------------------------------------------------- not sure enough

UNSURE: Script = {"": {"math": 1.0, "law": 0.8, "physics": 0.5, "general": 0.0}}


async def test_below_the_threshold_the_fallback_is_asked_the_request_itself(ask: Ask) -> None:
    script: Script = {"": Pick("math", rewrite="What is hm?", confidence=0.3)}

    result = await ask(compiled(script, fallback="general"), "hm", min_confidence=0.5, max_hops=1)

    assert final(result) == "[general] hm"
    [hop] = result["hops"]
    assert (hop["expert"], hop["token"], hop["rewritten"]) == ("general", "<nexa_16>", False)
    assert hop["confidence"] == pytest.approx(0.3)
    assert hop["top"][0][0] == "math"


async def test_below_the_threshold_without_a_fallback_the_graph_abstains(ask: Ask) -> None:
    result = await ask(compiled(UNSURE), "hm", min_confidence=0.5)

    assert result["hops"] == []
    assert final(result) == (
        "No expert is sure enough to be asked; the likeliest are math (36%), law (29%), physics (22%): "
        "please say more about what you need."
    )
    assert [type(message) for message in result["messages"]] == [HumanMessage, AIMessage]


async def test_a_fallback_that_is_not_allowed_is_not_asked(ask: Ask) -> None:
    graph = compiled(UNSURE, fallback="general")

    result = await ask(graph, "hm", min_confidence=0.5, experts=["math", "law", "physics"])

    assert result["hops"] == []
    assert "math (" in final(result)


async def test_at_the_threshold_the_router_is_believed(ask: Ask) -> None:
    graph = compiled({"": "math"}, [EchoExpert("math")], fallback="math")  # one candidate: confidence 1

    assert path(await ask(graph, "2 + 2", min_confidence=1.0)) == ["math"]


async def test_an_unsure_edge_takes_no_further_hop(ask: Ask) -> None:
    script: Script = {"": ["math", Pick("law", confidence=0.4)]}

    result = await ask(compiled(script, fallback="general"), "2 + 2", min_confidence=0.5)

    assert path(result) == ["math"]
    assert final(result) == "[math] 2 + 2"


# ---------------------------------------------------------------- experts that fail


async def test_a_fallback_expert_answers_in_the_place_of_one_that_fails(ask: Ask) -> None:
    math = Expert("math", "Fails", Broken(), fallback="general")

    result = await ask(compiled({"": "math"}, [math, EchoExpert("general")]), "2 + 2")

    [hop] = result["hops"]
    assert (hop["expert"], hop["served_by"], hop["error"]) == ("math", "general", "ConnectionError: refused")
    assert final(result) == "[general] 2 + 2"
    check_history(result["messages"])


async def test_fallbacks_are_followed_and_circles_end(ask: Ask) -> None:
    broken = Broken()
    experts = [
        Expert("math", "Fails", Broken(), fallback="physics"),
        Expert("physics", "Fails", broken, fallback="math"),
    ]

    with pytest.raises(ExpertError) as caught:
        await ask(compiled({"": "math"}, experts), "2 + 2")

    assert list(caught.value.failures) == ["math", "physics"]
    assert broken.calls == 1


async def test_a_fallback_expert_that_is_not_allowed_is_not_asked(ask: Ask) -> None:
    math = Expert("math", "Fails", Broken(), fallback="general")

    with pytest.raises(ExpertError, match="'math' did not answer") as caught:
        await ask(compiled({"": "math"}, [math, EchoExpert("general")]), "2 + 2", experts=["math"])

    assert list(caught.value.failures) == ["math"]


async def test_a_slow_expert_is_given_up_for_its_fallback(ask: Ask) -> None:
    slow = Expert("math", "Slow", lambda _: time.sleep(0.5), timeout=0.05, fallback="general")

    result = await ask(compiled({"": "math"}, [slow, EchoExpert("general")]), "2 + 2")

    assert final(result) == "[general] 2 + 2"
    assert result["hops"][0]["error"] == "TimeoutError: no answer within 0.05 s"
    assert 50 <= result["hops"][0]["expert_ms"] < 400


async def test_a_failing_expert_is_one_line(ask: Ask) -> None:
    with pytest.raises(ExpertError) as caught:
        await ask(compiled({"": "math"}, [Expert("math", "Fails", Broken())]), "2 + 2")

    assert str(caught.value) == (
        "The expert 'math' did not answer (ConnectionError: refused): "
        "ask again, or give it a fallback, a longer timeout or more retries."
    )


async def test_a_failing_hop_does_not_lose_the_ones_before_it(ask: Ask) -> None:
    broken, math = Broken(), EchoExpert("math")
    graph = compiled(BOTH, [math, Expert("law", "Fails", broken)], remember=True)

    with pytest.raises(ExpertError, match="'law'"):
        await ask(graph, "both", THREAD)

    halted = graph.get_state(THREAD)
    assert [hop["answer"] for hop in halted.values["hops"]] == ["[math] The sum?"]
    assert halted.next == ("law",)

    broken.works = True
    result = await graph.ainvoke(None, THREAD)  # go on where it halted
    assert final(result) == "## Math\n\n[math] The sum?\n\n## Law\n\nworks: Is it allowed?"
    check_history(result["messages"])


async def test_after_a_failure_the_thread_goes_on_with_a_sound_history(ask: Ask) -> None:
    heard: list[list[AnyMessage]] = []

    def note(messages: list[AnyMessage]) -> str:
        heard.append(messages)
        return "noted"

    experts = [Expert("math", "Notes", note, takes="messages"), Expert("law", "Fails", Broken())]
    graph = compiled({"both": ["math", Pick("law", rewrite="allowed?")], "": "math"}, experts, remember=True)
    with pytest.raises(ExpertError):
        await ask(graph, "both", THREAD)

    result = await ask(graph, "2 + 2", THREAD)

    check_history(result["messages"])
    check_history(heard[-1])
    assert path(result) == ["math"]
    assert [message.type for message in result["messages"]] == [
        *("human", "ai", "tool", "ai"),  # the failed turn: math answered, law did not
        *("human", "ai", "tool", "ai"),
    ]
    assert result["messages"][3].text == "No answer came from: law."


# ---------------------------------------------------------------- threads


async def test_a_follow_up_is_routed_with_the_turn_before_in_view(ask: Ask) -> None:
    def follow(scene: Scene) -> str | None:
        if scene.answers:
            return None
        return "math" if "derivative" in (scene.request + (scene.previous or "")) else "general"

    router = scripted_router(follow)
    graph = compiled(router, remember=True)

    first = await ask(graph, "the derivative of x^3 at x = 2?", THREAD)
    second = await ask(graph, "and at x = 3?", THREAD)
    other = await ask(graph, "and at x = 3?", {"configurable": {"thread_id": "2"}})

    assert [path(result) for result in (first, second, other)] == [["math"], ["math"], ["general"]]
    assert scenes(router)[2] == Scene("and at x = 3?", "the derivative of x^3 at x = 2?", (), None)
    edge = scenes(router)[3]
    assert (edge.answers, edge.previous) == (("[math] and at x = 3?",), "the derivative of x^3 at x = 2?")
    check_history(second["messages"])


async def test_a_follow_up_s_expert_sees_the_conversation_unless_the_query_stands_alone(ask: Ask) -> None:
    given: list[list[AnyMessage]] = []

    def note(messages: list[AnyMessage]) -> str:
        given.append(messages)
        return f"answer {len(given)}"

    script: Script = {"first": "math", "plain": "math", "": Pick("math", rewrite="by itself")}
    graph = compiled(script, [Expert("math", "Notes", note, takes="messages")], remember=True)

    for question in ("first", "plain", "rewritten"):
        await ask(graph, question, THREAD)

    assert [[str(message.text) for message in messages] for messages in given] == [
        ["first"],
        ["first", "answer 1", "plain"],
        ["by itself"],
    ]


async def test_a_history_sent_along_serves_as_well_as_a_thread() -> None:
    given: list[list[AnyMessage]] = []

    def note(messages: list[AnyMessage]) -> str:
        given.append(messages)
        return "noted"

    graph = compiled({"": "math"}, [Expert("math", "Notes", note, takes="messages", system_prompt="You note.")])
    sent = [SystemMessage("Be brief."), HumanMessage("2 + 2?"), AIMessage("4"), HumanMessage("and 3 + 3?")]

    await graph.ainvoke({"messages": sent})

    assert [str(message.text) for message in given[0]] == ["You note.\n\nBe brief.", "2 + 2?", "4", "and 3 + 3?"]


async def test_an_expert_may_take_the_state(ask: Ask) -> None:
    def count(state: dict[str, Any]) -> str:
        return f"{state['request']}: {len(state['messages'])} messages, {len(state['hops'])} hops"

    experts = [EchoExpert("math"), Expert("law", "Counts", count, takes="state")]

    result = await ask(compiled(BOTH, experts), "both")

    assert result["hops"][1]["answer"] == "both: 4 messages, 1 hops"


# Unsure


def calibrated(script: Script) -> OctopusRouter:
    """Of what this router was less than 0.6 sure of, half was wrong."""
    rows = [(index / 1000, index >= 600 or index % 2 == 0) for index in range(1000)]
    router = scripted_router(script)
    router.calibration = Calibration(hop=tuple(rows), path=tuple((sure, right and sure > 0.8) for sure, right in rows))
    return router


async def test_a_bound_on_errors_sets_the_threshold_of_the_first_hop(ask: Ask) -> None:
    router = calibrated({"hm": Pick("math", confidence=0.4), "": Pick("math", confidence=0.7)})
    graph = compiled(router, fallback="general")
    assert path(await ask(graph, "hm", max_hops=1)) == ["math"]
    assert path(await ask(graph, "hm", max_hops=1, max_error=0.05)) == ["general"]
    assert path(await ask(graph, "2 + 2", max_hops=1, max_error=0.05)) == ["math"]
    # Whole paths go wrong more often than their first hops.
    assert path(await ask(graph, "2 + 2", max_hops=2, max_error=0.05))[0] == "general"


async def test_a_bound_needs_a_router_that_carries_a_calibration(ask: Ask) -> None:
    with pytest.raises(ConfigurationError, match=r"carries no calibration\.json"):
        await ask(compiled({"": "math"}), "2 + 2", max_error=0.05)
    with pytest.raises(ConfigurationError, match=r"carries no calibration\.json"):
        compiled({"": "math"}, defaults=OctopusContext(max_error=0.05))


async def test_unsure_of_a_request_the_likeliest_experts_all_answer_it(ask: Ask) -> None:
    script: Script = {"": [Pick("physics", rewrite="What is hm?", confidence=0.4), "law"]}
    context = {"min_confidence": 0.5, "when_unsure": "fan_out", "fan_out": 2}
    result = await ask(compiled(script, remember=True), "hm", THREAD, **context)
    first, second = sorted(result["hops"], key=lambda hop: hop["expert"] != "physics")
    assert first["query"] == second["query"] == "hm"
    assert [first["confidence"], second["confidence"]] == [pytest.approx(value) for _, value in first["top"][:2]]
    answer = str(result["messages"][-1].text)  # the likeliest comes first, whoever answered first
    assert answer.startswith("## Physics\n\n[physics] hm\n\n## ")
    call = next(message for message in result["messages"] if isinstance(message, AIMessage))
    assert [made["name"] for made in call.tool_calls] == [first["expert"], second["expert"]]
    assert convert_to_openai_messages(result["messages"])


@pytest.mark.parametrize(
    ("said", "asked", "query"), [("law", "law", "hm"), ("it is about forces", "physics", "hm\nit is about forces")]
)
async def test_unsure_of_a_request_the_run_asks_its_human_once(said: str, asked: str, query: str, ask: Ask) -> None:
    script: Script = {"forces": "physics", "": Pick("math", confidence=0.4)}
    graph = compiled(script, remember=True)
    context = OctopusContext(min_confidence=0.5, when_unsure="ask", max_hops=1)
    stopped = await ask(graph, "hm", THREAD, **context.model_dump(exclude_unset=True))
    (interrupt,) = stopped["__interrupt__"]
    assert interrupt.value["request"] == "hm"
    assert interrupt.value["experts"][0] == ["math", pytest.approx(0.4)]
    assert "Is this about math or" in interrupt.value["question"]
    result = graph.invoke(Command(resume=said), THREAD, context=context)
    (hop,) = result["hops"]
    assert (hop["expert"], hop["query"]) == (asked, query)
    assert [str(message.text) for message in result["messages"] if isinstance(message, HumanMessage)] == ["hm", said]


async def test_a_human_who_does_not_make_it_clearer_leaves_it_to_the_fallback(ask: Ask) -> None:
    graph = compiled({"": Pick("math", confidence=0.4)}, fallback="general", remember=True)
    context = OctopusContext(min_confidence=0.5, when_unsure="ask", max_hops=1)
    await ask(graph, "hm", THREAD, **context.model_dump(exclude_unset=True))
    assert path(graph.invoke(Command(resume="dunno"), THREAD, context=context)) == ["general"]


async def test_the_humans_words_count_even_if_whoever_brings_them_sets_no_context(ask: Ask) -> None:
    graph = compiled({"forces": "physics", "": Pick("math", confidence=0.4)}, remember=True)
    await ask(graph, "hm", THREAD, min_confidence=0.5, when_unsure="ask", max_hops=1)
    result = graph.invoke(Command(resume="it is about forces"), THREAD)
    assert result["hops"][0]["expert"] == "physics"
    assert [m.text for m in result["messages"] if isinstance(m, HumanMessage)] == ["hm", "it is about forces"]


async def test_what_is_no_text_does_not_answer_the_question(ask: Ask) -> None:
    graph = compiled({"": Pick("math", confidence=0.4)}, remember=True)
    context = OctopusContext(min_confidence=0.5, when_unsure="ask", max_hops=1)
    await ask(graph, "hm", THREAD, **context.model_dump(exclude_unset=True))
    with pytest.raises(InputError, match="goes on with a text"):
        graph.invoke(Command(resume={"expert": "law"}), THREAD, context=context)


async def test_without_a_checkpointer_nobody_is_asked(ask: Ask) -> None:
    graph = compiled({"": Pick("math", confidence=0.4)}, fallback="general")
    assert path(await ask(graph, "hm", min_confidence=0.5, when_unsure="ask", max_hops=1)) == ["general"]
