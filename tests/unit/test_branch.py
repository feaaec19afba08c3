"""OctopusBranch: like RunnableBranch, but with a learned condition."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.prompt_values import ChatPromptValue
from langchain_core.runnables import RunnableConfig, RunnableGenerator, RunnableLambda

from octopus_graph.branch import OctopusBranch, text_of
from octopus_graph.errors import ConfigurationError, InputError, UnknownExpertError
from octopus_graph.router import OctopusRouter
from octopus_graph.testing import Pick, scripted_router

ROUTER = scripted_router({"x^3": "math", "landlord": "law", "hm": Pick("law", confidence=0.55)})


def branch(**options: Any) -> OctopusBranch[Any, Any]:
    return OctopusRouter.from_runnables({"math": str.upper, "law": str.title}, router=ROUTER, **options)


class Runs(BaseCallbackHandler):
    def __init__(self) -> None:
        self.metadata: list[dict[str, Any]] = []
        self.names: list[str] = []

    def on_chain_start(self, serialized: Any, inputs: Any, **kwargs: Any) -> None:
        self.names.append(kwargs["name"])
        self.metadata.append(kwargs["metadata"])


def test_each_input_goes_to_the_runnable_of_the_expert_the_router_chooses() -> None:
    assert branch().batch(["of x^3", "my landlord"]) == ["OF X^3", "My Landlord"]


async def test_it_is_async_too() -> None:
    assert await branch().abatch(["of x^3", "my landlord"]) == ["OF X^3", "My Landlord"]


async def test_it_streams_what_the_chosen_one_streams() -> None:
    def letters(values: Iterator[str]) -> Iterator[str]:
        yield from "".join(values)

    async def aletters(values: AsyncIterator[str]) -> AsyncIterator[str]:
        async for value in values:
            for letter in value:
                yield letter

    streaming = OctopusRouter.from_runnables({"math": RunnableGenerator(letters, aletters)}, router=ROUTER)
    assert list(streaming.stream("x^3")) == ["x", "^", "3"]
    assert [chunk async for chunk in streaming.astream("x^3")] == ["x", "^", "3"]


def test_config_reaches_the_chosen_one_and_its_run_shows_the_decision() -> None:
    seen: list[RunnableConfig] = []

    def keep(value: str, config: RunnableConfig) -> str:
        seen.append(config)
        return value

    runs = Runs()
    keeping = OctopusRouter.from_runnables({"math": RunnableLambda(keep)}, router=ROUTER)
    keeping.invoke("x^3", {"callbacks": [runs], "configurable": {"user": "ada"}, "tags": ["mine"]})
    assert seen[0].get("configurable", {})["user"] == "ada"
    assert seen[0].get("tags") == ["mine"]
    assert runs.names == ["OctopusBranch", "keep"]
    assert runs.metadata[1]["octopus_expert"] == "math"
    assert runs.metadata[1]["octopus_confidence"] == 1.0  # there was nobody else


def test_below_the_confidence_the_default_takes_it() -> None:
    assert branch().invoke("hm ok") == "Hm Ok"
    assert branch(default="math", min_confidence=0.6).invoke("hm ok") == "HM OK"
    assert branch(default="math", min_confidence=0.6).invoke("my landlord") == "My Landlord"


def test_it_composes_and_can_be_drawn() -> None:
    chain = RunnableLambda(str.strip) | branch() | RunnableLambda(len)
    assert chain.invoke("  x^3 ") == 3
    drawn = branch().get_graph().draw_mermaid()
    assert "choose -. &nbsp;math&nbsp; .-> math" in drawn
    assert "law --> output" in drawn


def test_a_failing_branch_fails_the_call() -> None:
    def broken(value: str) -> str:
        raise ZeroDivisionError(value)

    with pytest.raises(ZeroDivisionError):
        OctopusRouter.from_runnables({"math": broken}, router=ROUTER).invoke("x^3")


@pytest.mark.parametrize(
    "value",
    [
        "x^3",
        HumanMessage("x^3"),
        [HumanMessage("x^3"), AIMessage("3x^2")],
        [("system", "Be brief."), ("user", "x^3")],
        {"messages": [{"role": "user", "content": "x^3"}]},
        {"question": "x^3", "context": "landlords"},
        {"input": "x^3"},
        ChatPromptValue(messages=[HumanMessage("x^3")]),
    ],
)
def test_the_request_is_found_in_what_chains_are_given(value: Any) -> None:
    assert text_of(value) == "x^3"


def test_a_key_finds_it_elsewhere() -> None:
    named = OctopusRouter.from_runnables(
        {"math": RunnableLambda(lambda value: value["ticket"])}, router=ROUTER, key=lambda value: value["ticket"]
    )
    assert named.invoke({"ticket": "x^3"}) == "x^3"


@pytest.mark.parametrize("value", [{"ticket": "x^3"}, 3, [], None])
def test_an_input_without_a_request_is_refused_with_advice(value: Any) -> None:
    with pytest.raises(InputError, match="`key`"):
        branch().invoke(value)


def test_a_name_the_router_does_not_know_is_refused_with_the_way_to_train_it() -> None:
    with pytest.raises(UnknownExpertError, match=r"docs/own-experts\.md.*'shipping'.*physics"):
        OctopusRouter.from_runnables({"shipping": str.upper}, router=ROUTER)


@pytest.mark.parametrize(
    ("runnables", "options", "says"),
    [
        ({}, {}, "at least one runnable"),
        ({"math": str.upper}, {"default": "law"}, "the default: there is no expert 'law'"),
        ({"math": str.upper}, {"min_confidence": 0.5}, "name a default"),
    ],
)
def test_what_cannot_work_is_said_when_it_is_built(runnables: Any, options: Any, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        OctopusRouter.from_runnables(runnables, router=ROUTER, **options)
