"""RemoteGraph: the server's graph as if it were here, even inside another graph."""

from collections.abc import Callable, Generator
from typing import Annotated, Any
from uuid import uuid4

import pytest
from langchain_core.messages import AnyMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.pregel.remote import RemoteException, RemoteGraph
from langgraph.types import Command
from langgraph_sdk import get_client, get_sync_client
from typing_extensions import TypedDict

pytestmark = pytest.mark.integration

Say = Callable[[str], dict[str, Any]]


@pytest.fixture
def sync_graph(probe: Any) -> Generator[RemoteGraph]:
    with get_sync_client(url=probe.url, api_key=None) as client:
        yield RemoteGraph("octopus", sync_client=client)


@pytest.fixture
def config() -> RunnableConfig:
    return {"configurable": {"thread_id": str(uuid4())}}


def texts(values: Any) -> list[str]:
    return [one["content"] if isinstance(one, dict) else one.content for one in values["messages"]]


def test_it_is_invoked_and_streamed(sync_graph: RemoteGraph, say: Say) -> None:
    assert texts(sync_graph.invoke(say("hi"))) == ["hi", "you said: hi"]
    updates = list(sync_graph.stream(say("hi"), stream_mode="updates"))
    assert [list(one) for one in updates] == [["talk"], ["below"]]
    parts: Any = sync_graph.stream(say("hi"), stream_mode="messages")
    words = [part[0]["content"] for part in parts]
    assert "".join(words[:5]) == "you said: hi"
    spaces = [space for space, _ in sync_graph.stream(say("hi"), stream_mode="updates", subgraphs=True)]
    assert any(space and space[0].startswith("below:") for space in spaces)


def test_it_stops_to_ask_is_looked_at_changed_and_resumed(
    sync_graph: RemoteGraph, config: RunnableConfig, say: Say
) -> None:
    asked = sync_graph.invoke(say("ask me"), config)
    assert asked["__interrupt__"][0]["value"] == {"question": "sure?"}
    state: Any = sync_graph.get_state(config, subgraphs=True)
    assert state.next == ("below",)
    assert state.tasks[0].state.next == ("check",)
    sync_graph.update_state(config, {"steps": ["meanwhile"]}, as_node="talk")
    asked = sync_graph.invoke(None, config)
    assert "__interrupt__" in asked
    assert sync_graph.invoke(Command(resume="yes"), config)["steps"] == [
        "talk",
        "meanwhile",
        "talk",
        "meanwhile",
        "yes",
    ]
    history = list(sync_graph.get_state_history(config))
    earlier = next(one for one in history if one.next == ("talk",))
    assert sync_graph.get_state(earlier.config).next == ("talk",)


def test_what_fails_there_fails_here(sync_graph: RemoteGraph, say: Say) -> None:
    with pytest.raises(RemoteException, match="InternalError"):
        sync_graph.invoke(say("fail now"))


def test_it_can_be_drawn(sync_graph: RemoteGraph) -> None:
    assert {"talk", "below"} <= set(sync_graph.get_graph().nodes)


async def test_it_works_async_and_as_a_node_of_another_graph(probe: Any, config: RunnableConfig, say: Say) -> None:
    class State(TypedDict):
        messages: Annotated[list[AnyMessage], add_messages]

    async with get_client(url=probe.url, api_key=None) as client:
        remote = RemoteGraph("octopus", client=client, name="remote")
        assert texts(await remote.ainvoke(say("hi"), config))[-1] == "you said: hi"
        assert len([one async for one in remote.aget_state_history(config)]) == 4
        outer = StateGraph(State).add_node("remote", remote).add_edge(START, "remote")
        graph: Any = outer.compile(checkpointer=InMemorySaver())
        own: RunnableConfig = {"configurable": {"thread_id": str(uuid4())}}
        result = await graph.ainvoke({"messages": [("user", "hello")]}, own)
        assert texts(result)[-1] == "you said: hello"
        asked = await graph.ainvoke({"messages": [("user", "ask me")]}, own)
        assert asked["__interrupt__"][0].value == {"question": "sure?"}
