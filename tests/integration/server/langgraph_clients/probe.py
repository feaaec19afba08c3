"""A server whose graph does what its tests ask of it: python probe.py [--port N] [--set NAME=JSON]

ask …       the subgraph stops and asks whether it is sure
fail …      a node fails, and quotes what it was asked
count N …   N custom events, `pause` seconds apart
keep …      writes what was said into the store
else        a chat model that says it again, word by word
"""

import argparse
import asyncio
import json
import operator
from typing import Annotated, Any

from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, AnyMessage
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.runtime import Runtime
from langgraph.types import interrupt
from pydantic import BaseModel, ConfigDict
from typing_extensions import TypedDict

from octopus_graph.persistence import open_saver
from octopus_graph_server import ServerSettings, create_app
from octopus_graph_server.serving import serve


class State(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]
    steps: Annotated[list[str], operator.add]


class Context(BaseModel):
    model_config = ConfigDict(extra="forbid")
    pause: float = 0.0


async def talk(state: State, runtime: Runtime[Context]) -> dict[str, Any]:
    said = state["messages"][-1].text
    pause = (runtime.context or Context()).pause
    if said.startswith("fail"):
        raise RuntimeError(f"could not do {said}")
    if said.startswith("count"):
        for number in range(int(said.split()[1])):
            get_stream_writer()({"number": number})
            await asyncio.sleep(pause)
    else:
        await asyncio.sleep(pause)
    if said.startswith("keep"):
        assert runtime.store is not None
        await runtime.store.aput(("said",), "last", {"text": said})
    model = GenericFakeChatModel(messages=iter([AIMessage(f"you said: {said}")]))
    return {"messages": [await model.ainvoke(state["messages"])], "steps": ["talk"]}


async def check(state: State) -> dict[str, Any]:
    asked = state["messages"][-2].text.startswith("ask")
    return {"steps": [str(interrupt({"question": "sure?"})) if asked else "checked"]}


def build() -> Any:
    below = StateGraph(State).add_node("check", check).add_edge(START, "check").compile(name="below")
    builder = StateGraph(State, context_schema=Context)
    builder.add_node("talk", talk).add_node("below", below)
    builder.add_edge(START, "talk").add_edge("talk", "below").add_edge("below", END)
    return builder


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=JSON", help="a setting")
    options = parser.parse_args()
    given = {name: json.loads(value) for name, _, value in (pair.partition("=") for pair in options.set)}
    with open_saver("embedded") as saver:
        app = create_app(build().compile(name="octopus", checkpointer=saver), settings=ServerSettings(**given))
        serve(app, "127.0.0.1", options.port)


if __name__ == "__main__":
    main()
