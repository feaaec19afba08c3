"""What goes out, for the OpenAPI document: the shapes of answers, by which nothing is validated while it is served.

`shapes` and the endpoints write the answers; tests hold what they write against these.
"""

from typing import Annotated, Any, Literal, NotRequired

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

__all__ = [
    "Assistant",
    "Checkpoint",
    "CommandFailed",
    "CommandObeyed",
    "Drawing",
    "Failure",
    "GraphSchemas",
    "Item",
    "Items",
    "Namespaces",
    "Patched",
    "Pruned",
    "Result",
    "Run",
    "SomeOfAssistant",
    "SomeOfRun",
    "SomeOfState",
    "SomeOfThread",
    "State",
    "Stopped",
    "Subgraphs",
    "Thread",
    "Written",
]


def _some(schema: dict[str, Any]) -> None:
    """Lets any field be left out, and parts of one that is an object: `select` names those that are wanted."""
    schema.pop("required", None)
    for name, part in schema["properties"].items():
        if "$ref" in part or any("$ref" in one for one in part.get("anyOf", ())):
            schema["properties"][name] = {"type": ["object", "null"], "description": part["description"]}


Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
Object = dict[str, Any]
Status = Literal["pending", "running", "success", "error", "timeout", "interrupted"]


class Failure(TypedDict):
    """Why a run failed."""

    error: Annotated[str, Field(description="The kind of error", examples=["GraphRecursionError"])]
    message: Annotated[str, Field(description="One sentence that says what to do; it never quotes what was asked")]


class Interrupt(TypedDict):
    """What a human is asked."""

    id: Annotated[str, Field(description="The interrupt's id, for `Command(resume={id: answer})`")]
    value: Annotated[Any, Field(description="The question, as the graph puts it")]
    response_schema: NotRequired[Annotated[Any, Field(description="The JSON schema of the answer, where there is one")]]


class Assistant(TypedDict):
    """The graph under settings of its own."""

    assistant_id: Annotated[str, Field(description="The assistant's id")]
    graph_id: Annotated[str, Field(description="The graph's name")]
    name: Annotated[str, Field(description="A name for people")]
    description: Annotated[str | None, Field(description="What it is, in words")]
    config: Annotated[Object, Field(description="What its runs have for a config, unless they bring their own")]
    context: Annotated[Object, Field(description="What its runs have for a context, unless they bring their own")]
    metadata: Annotated[Object, Field(description="Values of the caller's own")]
    version: Annotated[int, Field(description="The version in force")]
    created_at: Annotated[Time, Field(description="When it was made; of a version, when that was made")]
    updated_at: Annotated[Time, Field(description="When it last changed")]


@with_config(ConfigDict(json_schema_extra=_some))
class SomeOfAssistant(Assistant):
    """An assistant, or those of its fields that `select` names."""


class Node(TypedDict):
    """A node of the graph's drawing."""

    id: Annotated[str | int, Field(description="The node's name")]
    type: NotRequired[Annotated[str, Field(description="What it is: runnable, schema")]]
    data: NotRequired[Annotated[Any, Field(description="What runs there")]]
    metadata: NotRequired[Annotated[Object, Field(description="What the graph says about it")]]


class Edge(TypedDict):
    """An edge of the graph's drawing."""

    source: Annotated[str | int, Field(description="The node it leaves")]
    target: Annotated[str | int, Field(description="The node it leads to")]
    data: NotRequired[Annotated[Any, Field(description="What stands at the edge")]]
    conditional: NotRequired[Annotated[bool, Field(description="Whether it is taken only sometimes")]]


class Drawing(TypedDict):
    """The graph as it is drawn."""

    nodes: Annotated[list[Node], Field(description="All nodes, `__start__` and `__end__` among them")]
    edges: Annotated[list[Edge], Field(description="All edges")]


class GraphSchemas(TypedDict):
    """JSON schemas of a graph; null where a type has none."""

    graph_id: Annotated[str, Field(description="The graph's name")]
    input_schema: Annotated[Object | None, Field(description="Of a run's input")]
    output_schema: Annotated[Object | None, Field(description="Of a run's result")]
    state_schema: Annotated[Object | None, Field(description="Of a thread's values")]
    config_schema: Annotated[Object | None, Field(description="Of a run's config")]
    context_schema: Annotated[Object | None, Field(description="Of a run's context")]


Subgraphs = Annotated[dict[str, GraphSchemas], Field(description="By their place in the graph")]


class Lifetime(TypedDict):
    """How long a thread lives."""

    strategy: Annotated[Literal["delete", "keep_latest"], Field(description="What becomes of it then")]
    ttl_minutes: Annotated[float, Field(description="Minutes after its last change")]
    expires_at: Annotated[Time | None, Field(description="When that is")]


class Thread(TypedDict):
    """A conversation that is kept."""

    thread_id: Annotated[str, Field(description="The thread's id")]
    metadata: Annotated[Object, Field(description="Values of the caller's own, and the assistant that ran last")]
    status: Annotated[
        Literal["idle", "busy", "interrupted", "error"],
        Field(description="Whether a run goes on; else how the last one ended"),
    ]
    error: Annotated[Failure | None, Field(description="Why the last run failed")]
    config: Annotated[Object, Field(description="Always empty; clients look for it")]
    created_at: Annotated[Time, Field(description="When it was made")]
    updated_at: Annotated[Time, Field(description="When it last changed")]
    state_updated_at: Annotated[Time, Field(description="When its values last changed")]
    values: Annotated[Object | None, Field(description="The state's values, `messages` among them; null before a run")]
    interrupts: Annotated[dict[str, list[Interrupt]], Field(description="What a human is asked, by task")]
    ttl: NotRequired[Annotated[Lifetime, Field(description="How long it lives, with `include=ttl`")]]


@with_config(ConfigDict(json_schema_extra=_some))
class SomeOfThread(Thread):
    """A thread, or those of its fields that `select` names."""

    extracted: NotRequired[Annotated[Object, Field(description="What `extract` asked for")]]


class Pruned(TypedDict):
    """What was pruned."""

    pruned_count: Annotated[int, Field(description="How many of the threads there were")]


class Checkpoint(TypedDict, total=False):
    """Where a state lies."""

    thread_id: Annotated[str | None, Field(description="The thread's id")]
    checkpoint_ns: Annotated[str, Field(description="The subgraph; empty for the graph itself")]
    checkpoint_id: Annotated[str | None, Field(description="The checkpoint's id; null where nothing was kept yet")]
    checkpoint_map: Annotated[Object | None, Field(description="The checkpoints of the graphs around a subgraph")]


class Task(TypedDict):
    """A node that follows, or waits for a human."""

    id: Annotated[str, Field(description="The task's id")]
    name: Annotated[str, Field(description="The node")]
    path: Annotated[list[Any], Field(description="How LangGraph came to it")]
    error: Annotated[str | None, Field(description="The kind of error it failed with")]
    interrupts: Annotated[list[Interrupt], Field(description="What it asks a human")]
    checkpoint: Annotated[Object | None, Field(description="Where the state of its subgraph lies")]
    state: Annotated[Object | None, Field(description="The state of its subgraph, with `subgraphs`")]
    result: Annotated[Any, Field(description="What it wrote")]


class State(TypedDict):
    """A thread at one checkpoint."""

    values: Annotated[Object, Field(description="The state's values, `messages` among them")]
    next: Annotated[list[str], Field(description="The nodes that follow; empty at a run's end")]
    tasks: Annotated[list[Task], Field(description="The same, with what they ask")]
    metadata: Annotated[Object, Field(description="Which step of which run wrote it")]
    created_at: Annotated[Time | None, Field(description="When it was written")]
    checkpoint: Annotated[Checkpoint, Field(description="Where it lies")]
    parent_checkpoint: Annotated[Checkpoint | None, Field(description="Where the one before it lies")]
    checkpoint_id: Annotated[str | None, Field(description="Its checkpoint's id")]
    parent_checkpoint_id: Annotated[str | None, Field(description="The id of the one before it")]
    interrupts: Annotated[list[Interrupt], Field(description="What a human is asked")]


@with_config(ConfigDict(json_schema_extra=_some))
class SomeOfState(State):
    """A state, or those of its fields that `select` names."""


class Written(Checkpoint):
    """Where values were written: three times over, as older and newer clients look for it."""

    checkpoint: Annotated[Checkpoint | None, Field(description="The new checkpoint")]
    configurable: Annotated[Object | None, Field(description="The same, for a run's config")]


class Patched(TypedDict):
    """Where the thread stands."""

    checkpoint: Annotated[Checkpoint | None, Field(description="Its newest checkpoint; null before a run")]


class Run(TypedDict):
    """A run of the graph."""

    run_id: Annotated[str, Field(description="The run's id")]
    thread_id: Annotated[str, Field(description="Its thread; one of its own where it has none")]
    assistant_id: Annotated[str, Field(description="The assistant's id")]
    status: Annotated[Status, Field(description="How far it is, or how it ended")]
    metadata: Annotated[Object, Field(description="Values of the caller's own")]
    multitask_strategy: Annotated[
        Literal["reject", "interrupt", "rollback", "enqueue"],
        Field(description="What it did where a run went on on its thread"),
    ]
    kwargs: Annotated[Object, Field(description="What it was asked for: the body it was begun with")]
    error: Annotated[Failure | None, Field(description="Why it failed")]
    created_at: Annotated[Time, Field(description="When it was asked for")]
    updated_at: Annotated[Time, Field(description="When its status last changed")]


@with_config(ConfigDict(json_schema_extra=_some))
class SomeOfRun(Run):
    """A run, or those of its fields that `select` names."""


class Result(TypedDict):
    """The state's values when the run ended, by key; beside `messages` what the graph keeps."""

    messages: NotRequired[Annotated[list[Object], Field(description="The whole thread's, the answer last")]]
    __interrupt__: NotRequired[Annotated[list[Interrupt], Field(description="What a human is asked, if it stopped")]]
    __error__: NotRequired[Annotated[Failure, Field(description="Why it failed; then there is nothing else")]]


class Stopped(TypedDict):
    """Nothing more to say: the run has stopped."""


class CommandObeyed(TypedDict):
    """What a command led to."""

    type: Annotated[Literal["success"], Field(description="That it was obeyed")]
    id: Annotated[int, Field(description="The id the command came with")]
    result: Annotated[Object, Field(description="`run_id`; of state.get the values; of state.listCheckpoints a list")]


class CommandFailed(TypedDict):
    """Why a command was not obeyed. The status is 200 all the same, as the protocol has it."""

    type: Annotated[Literal["error"], Field(description="That it was not obeyed")]
    id: Annotated[int, Field(description="The id the command came with")]
    error: Annotated[
        Literal["unknown_command", "invalid_argument", "no_such_run"], Field(description="The kind, for programs")
    ]
    message: Annotated[str, Field(description="One sentence that says what to do")]


class Item(TypedDict):
    """An item of the store."""

    namespace: Annotated[list[str], Field(description="Where it is")]
    key: Annotated[str, Field(description="Its key there")]
    value: Annotated[Object, Field(description="What it holds")]
    created_at: Annotated[Time, Field(description="When it was first put")]
    updated_at: Annotated[Time, Field(description="When it was last put")]


class Found(Item):
    """An item that a search found."""

    score: Annotated[None, Field(description="Null: nothing is ranked")]


class Items(TypedDict):
    """Items that a search found."""

    items: Annotated[list[Found], Field(description="The page")]


class Namespaces(TypedDict):
    """Namespaces in use."""

    namespaces: Annotated[list[list[str]], Field(description="Each the parts of its path")]
