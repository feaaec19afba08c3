"""What a key depends on, and what it does not."""

from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from octopus_graph.caching.keys import answer_digest, decision_digest, normalised, space_digest
from octopus_graph.codec import Done, Turn
from octopus_graph.errors import InputError
from octopus_graph.experts import Expert
from octopus_graph.options import ModelOptions, with_options
from octopus_graph.router import OctopusRouter
from octopus_graph.testing import EchoExpert, scripted_router

ROUTER = scripted_router({}, adapters=["math"])
GIVEN: dict[str, Any] = {"adapter": None, "previous": (), "done": (), "rewrite": "auto"}


def decision(
    request: str = "2 + 2?", candidates: Any = ("math", "law"), router: OctopusRouter = ROUTER, **given: Any
) -> str:
    return decision_digest(router, request, candidates, **GIVEN | given)


def test_what_makes_no_difference_to_a_decision() -> None:
    same = {
        decision(),
        decision("  2  + 2?\n"),
        decision(candidates=("law", "math")),
        decision(candidates=("law", "math", "law")),
        decision(adapter="law"),  # it has no edge adapter: the router itself decides
        decision(router=scripted_router({}, adapters=["math"])),
    }
    assert len(same) == 1


def test_what_does() -> None:
    engine, tokens, codec = ROUTER.engine, ROUTER.tokens, ROUTER.codec
    different = [
        decision(),
        decision("2 + 3?"),
        decision(candidates=("math",)),
        decision(adapter="math"),
        decision(previous=[Turn("x", "<nexa_1>")]),
        decision(previous=[Turn("x", "<nexa_2>")]),
        decision(previous=[Turn("x", "<nexa_1>"), Turn("x", "<nexa_1>")]),
        decision(done=[Done("<nexa_1>", "4")]),
        decision(done=[Done("<nexa_1>", "5")]),
        decision(rewrite="never"),
        decision(router=OctopusRouter(engine, tokens, codec, temperature=2.0)),
        decision(router=scripted_router({}, adapters=["math"], experts=("law", "math"))),
    ]
    assert len(set(different)) == len(different)


def test_an_answer_depends_on_the_expert_the_options_and_all_that_it_is_told() -> None:
    law = EchoExpert("law")
    chat = [HumanMessage("x")]
    different = [
        answer_digest(law, "x", chat, None),
        answer_digest(EchoExpert("math"), "x", chat, None),
        answer_digest(EchoExpert("law", version="2"), "x", chat, None),
        answer_digest(EchoExpert("law", system_prompt="Be brief."), "x", chat, None),
        answer_digest(law, "y", chat, None),
        answer_digest(law, "x", [AIMessage("x")], None),
        answer_digest(law, "x", [HumanMessage("x"), HumanMessage("x")], None),
        answer_digest(law, "x", [HumanMessage([{"type": "text", "text": "x"}])], None),
        answer_digest(law, "x", chat, with_options({}, ModelOptions(temperature=0))),
        answer_digest(law, "x", chat, with_options({}, ModelOptions(max_tokens=5))),
    ]
    assert len(set(different)) == len(different)
    again = answer_digest(Expert("law", "Another description", str), "x", [HumanMessage("x", id="other")], {})
    assert again == different[0]


def test_questions_of_one_list_were_asked_in_the_same_circumstances() -> None:
    lists = [
        space_digest(EchoExpert("law"), "r1", None),
        space_digest(EchoExpert("law"), "r2", None),
        space_digest(EchoExpert("law", version="2"), "r1", None),
        space_digest(EchoExpert("law"), "r1", with_options({}, ModelOptions(seed=1))),
    ]
    assert len(set(lists)) == 4


def test_an_unusable_request_has_no_key() -> None:
    assert normalised("a\u00a0 b\tc") == "a b c"
    assert normalised("e\u0301") == normalised("\u00e9")
    with pytest.raises(InputError):
        normalised(" \n")
