"""Messages read as turns, and histories that chat models accept."""

from collections.abc import Sequence

import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, SystemMessage, ToolCall, ToolMessage

from octopus_graph.codec import Turn
from octopus_graph.effects import Logic, run
from octopus_graph.errors import InputError
from octopus_graph.router import RouterDecision
from octopus_graph.state import Hop
from octopus_graph.tokens import PAPER_EXPERTS, FunctionalTokens
from octopus_graph.turns import (
    briefing,
    following,
    handoff,
    mended,
    pending_call,
    previous_turns,
    repeats,
    request_of,
)

TOKENS = FunctionalTokens(PAPER_EXPERTS)


def call(expert: str, number: int = 1) -> AIMessage:
    return AIMessage("", id=f"ai-{number}", tool_calls=[ToolCall(name=expert, args={"query": "q"}, id=f"c{number}")])


def result(expert: str, number: int = 1) -> ToolMessage:
    return ToolMessage("a", name=expert, tool_call_id=f"c{number}")


def turn(request: str, expert: str, answer: str, number: int = 1) -> list[AnyMessage]:
    return [HumanMessage(request), call(expert, number), result(expert, number), AIMessage(answer)]


def texts(messages: list[AnyMessage]) -> list[tuple[str, str]]:
    return [(message.type, str(message.text)) for message in messages]


def hop(expert: str, query: str, answer: str) -> Hop:
    return Hop(
        expert=expert,
        token=TOKENS.token(expert),
        query=query,
        rewritten=True,
        answer=answer,
        confidence=1.0,
        top=[],
        decide_ms=0.0,
        rewrite_ms=0.0,
        expert_ms=0.0,
        served_by=None,
        error=None,
    )


def test_the_request_is_the_last_message_cleaned() -> None:
    assert request_of([HumanMessage("before"), AIMessage("yes"), HumanMessage(" now\x00? ")]) == "now ?"


def test_the_request_may_come_in_blocks_and_before_a_system_message() -> None:
    blocks = HumanMessage([{"type": "text", "text": "What is this?"}, {"type": "image", "url": "https://example.com"}])

    assert request_of([blocks, SystemMessage("Be brief.")]) == "What is this?"


@pytest.mark.parametrize(
    "messages", [[], [SystemMessage("Be brief.")], [HumanMessage("2 + 2?"), AIMessage("4")]], ids=len
)
def test_without_a_request_there_is_nothing_to_do(messages: list[AnyMessage]) -> None:
    with pytest.raises(InputError, match="There is no request: the last message must be the user's"):
        request_of(messages)


def test_earlier_turns_come_with_the_first_expert_they_went_to() -> None:
    two_hops: list[AnyMessage] = [
        HumanMessage("both"),
        call("math", 2),
        result("math", 2),
        call("law", 3),
        result("law", 3),
        AIMessage("both answers"),
    ]
    messages = [*turn("derivative of x^3", "math", "3x^2"), *two_hops, HumanMessage("and then?")]

    assert previous_turns(messages, TOKENS) == [Turn("derivative of x^3", "<nexa_4>"), Turn("both", "<nexa_4>")]


def test_turns_that_went_to_nobody_or_to_a_stranger_are_left_out() -> None:
    declined: list[AnyMessage] = [HumanMessage("hm"), AIMessage("No expert is sure enough.")]
    refused: list[AnyMessage] = [HumanMessage("  ")]
    messages = [*declined, *refused, *turn("weather?", "weather_tool", "rain"), HumanMessage("now")]

    assert previous_turns(messages, TOKENS) == []


def test_an_expert_is_told_the_caller_s_prompt_the_last_turns_and_the_query() -> None:
    earlier = [message for number in range(5) for message in turn(f"q{number}", "math", f"a{number}", number)]

    told = briefing([SystemMessage("Be brief."), *earlier, HumanMessage("and now?")], [], "and now?", rewritten=False)

    assert texts(told) == [
        ("system", "Be brief."),
        *(pair for number in (2, 3, 4) for pair in (("human", f"q{number}"), ("ai", f"a{number}"))),
        ("human", "and now?"),
    ]


def test_a_rewritten_query_comes_without_the_earlier_turns() -> None:
    messages = [*turn("derivative of x^3", "math", "3x^2"), HumanMessage("and at x = 3?")]

    assert texts(briefing(messages, [], "What is 3x^2 at x = 3?", rewritten=True)) == [
        ("human", "What is 3x^2 at x = 3?")
    ]


def test_an_expert_is_told_the_earlier_hops_of_the_run() -> None:
    told = briefing([HumanMessage("both")], [hop("math", "2 + 2?", "4")], "Who found that?", rewritten=True)

    assert texts(told) == [("human", "Earlier in this run, math was asked “2 + 2?” and answered: 4\n\nWho found that?")]


def test_a_handoff_is_found_again_by_its_expert() -> None:
    message = handoff(["math"], "2 + 2?")

    found = pending_call([HumanMessage("2 + 2?"), message], "math")

    assert (found["name"], found["args"]) == ("math", {"query": "2 + 2?"})
    assert found["id"] == message.tool_calls[0]["id"] != handoff(["math"], "2 + 2?").tool_calls[0]["id"]


@pytest.mark.parametrize(
    "messages", [[HumanMessage("?")], [call("law")], [call("math"), result("math"), AIMessage("4")]]
)
def test_an_expert_without_a_call_says_so(messages: list[AnyMessage]) -> None:
    with pytest.raises(InputError, match="no tool call for the expert 'math'"):
        pending_call(messages, "math")


def test_a_sound_history_needs_no_mending() -> None:
    assert mended([*turn("2 + 2?", "math", "4"), HumanMessage("now")]) == []


def test_a_call_that_nobody_answered_is_replaced_in_place() -> None:
    [replacement] = mended([HumanMessage("2 + 2?"), call("math"), HumanMessage("now")])

    assert isinstance(replacement, AIMessage)
    assert (replacement.id, replacement.text, replacement.tool_calls) == ("ai-1", "No answer came from: math.", [])


def test_of_several_calls_the_answered_ones_stay() -> None:
    both = AIMessage("two things", id="ai-1", tool_calls=[*call("math", 1).tool_calls, *call("law", 2).tool_calls])

    [replacement] = mended([HumanMessage("both"), both, result("law", 2), HumanMessage("now")])

    assert isinstance(replacement, AIMessage)
    assert replacement.text == "two things"
    assert [kept["name"] for kept in replacement.tool_calls] == ["law"]


@pytest.mark.parametrize(
    ("earlier", "query", "again"),
    [
        ("What is the area of a circle?", " what is  THE area of a circle?", True),
        ("What is the area of a circle?", "Please find the circle's area.", True),
        ("What is the area of a circle?", "What is the area of a square?", False),
        ("Find the interest on 500 dollars at 5 percent over 3 years in a savings account", "", False),
        (
            "Find the interest on 500 dollars at 5 percent over 3 years in a savings account",
            "Find the interest on 500 dollars at 6 percent over 3 years in a savings account",
            False,
        ),
        ("?", "!", False),
        ("?", "?", True),
    ],
)
def test_a_question_in_other_words_is_the_same_question(earlier: str, query: str, again: bool) -> None:
    assert repeats("math", query, [("law", "x"), ("math", earlier)]) is again
    assert not repeats("physics", query, [("math", earlier)])


def test_whoever_would_be_asked_again_makes_room_and_in_the_end_there_is_nobody() -> None:
    seen: list[tuple[str, ...]] = []

    def decide(candidates: Sequence[str]) -> Logic[RouterDecision]:
        yield from ()
        seen.append(tuple(candidates))
        return RouterDecision(candidates[0], "<nexa_0>", 0.9, ())

    asked = [("math", "x"), ("law", "x")]
    assert run(following(decide, ["math", "law"], "x", asked)) is None
    assert seen == [("math", "law"), ("law",)]
    chosen = run(following(decide, ["math", "law"], "x", asked, min_confidence=0.95))
    assert chosen is not None  # the run ends there anyway: nobody else is looked for
    assert chosen.expert == "math"
