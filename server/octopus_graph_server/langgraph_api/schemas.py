"""What comes in: the bodies of requests, as LangGraph's clients send them. Unknown fields pass, as clients grow."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

__all__ = [
    "AssistantCreate",
    "AssistantPatch",
    "AssistantSearch",
    "Command",
    "HistorySearch",
    "ItemDelete",
    "ItemPut",
    "ItemSearch",
    "Latest",
    "NamespaceSearch",
    "RunCreate",
    "RunsCancel",
    "StateAt",
    "StateUpdateBody",
    "ThreadCreate",
    "ThreadPatch",
    "ThreadPrune",
    "ThreadSearch",
    "VersionSearch",
]

Text = Annotated[str, Field(max_length=1024)]
Fields = dict[str, Any]
OnConflict = Literal["raise", "do_nothing"]
Order = Literal["asc", "desc"]
Nodes = Literal["*"] | list[Text] | None
Mode = Literal[
    "values",
    "messages",
    "messages-tuple",
    "updates",
    "events",
    "debug",
    "tasks",
    "checkpoints",
    "custom",
]
Limit = Annotated[int, Field(ge=1, le=1000)]
Minutes = Annotated[float, Field(gt=0, le=10**8, description="Minutes")]
Offset = Annotated[int, Field(ge=0, le=10**9)]


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value or ["values"]


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


class Body(BaseModel):
    """The base of all bodies."""

    model_config = ConfigDict(extra="ignore")


class Config(Body):
    """What LangChain calls a config, as far as a client may set it."""

    tags: list[Text] | None = None
    recursion_limit: int | None = Field(default=None, ge=1, le=10_000)
    max_concurrency: int | None = Field(default=None, ge=1, le=1000)
    configurable: Fields | None = None
    metadata: Fields | None = None


class AssistantCreate(Body):
    """A new assistant: the graph with settings of its own."""

    graph_id: Text = Field(description="The graph's name", examples=["octopus"])
    assistant_id: Text | None = None
    config: Config | None = None
    context: Fields | None = None
    metadata: Fields | None = None
    if_exists: OnConflict | None = None
    name: Text | None = None
    description: str | None = Field(default=None, max_length=10_000)


class AssistantPatch(Body):
    """A new version of an assistant; what is left out stays as it is."""

    graph_id: Text | None = None
    config: Config | None = None
    context: Fields | None = None
    metadata: Fields | None = None
    name: Text | None = None
    description: str | None = Field(default=None, max_length=10_000)


class AssistantSearch(Body):
    """Which assistants are looked for."""

    metadata: Fields | None = None
    graph_id: Text | None = None
    name: Text | None = Field(default=None, description="A part of the name, whatever its case")
    limit: Limit | None = None
    offset: Offset | None = None
    sort_by: Literal["assistant_id", "graph_id", "name", "created_at", "updated_at"] | None = None
    sort_order: Annotated[Order | None, BeforeValidator(_lower)] = None
    select: list[Text] | None = None


class VersionSearch(Body):
    """Which versions of an assistant are looked for."""

    metadata: Fields | None = None
    limit: Limit | None = None
    offset: Offset | None = None


class Latest(Body):
    """The version that is to be in force."""

    version: int = Field(ge=1)


class Ttl(Body):
    """How long a thread lives."""

    ttl: Minutes
    strategy: Literal["delete", "keep_latest"] = "delete"


class Command(Body):
    """What a run that stopped is told."""

    resume: Any = None
    update: Any = None
    goto: Any = Field(default=None, description="A node's name, {node, input}, or a list of these")


class Update(Body):
    """One write of a superstep."""

    values: Any = None
    command: Command | None = None
    as_node: Text | None = None


class Superstep(Body):
    """Writes that belong together."""

    updates: list[Update]


class ThreadCreate(Body):
    """A new thread."""

    thread_id: Text | None = None
    metadata: Fields | None = None
    if_exists: OnConflict | None = None
    supersteps: list[Superstep] | None = None
    ttl: Ttl | Minutes | None = None


class ThreadPatch(Body):
    """What changes of a thread."""

    metadata: Fields | None = None
    ttl: Ttl | Minutes | None = None


class ThreadSearch(Body):
    """Which threads are looked for."""

    ids: list[Text] | None = Field(default=None, max_length=1000)
    metadata: Fields | None = None
    values: Fields | None = None
    status: Literal["idle", "busy", "interrupted", "error"] | None = None
    limit: Limit | None = None
    offset: Offset | None = None
    sort_by: Literal["thread_id", "status", "created_at", "updated_at", "state_updated_at"] | None = None
    sort_order: Annotated[Order | None, BeforeValidator(_lower)] = None
    select: list[Text] | None = None
    extract: dict[str, Text] | None = Field(default=None, max_length=10)


class ThreadPrune(Body):
    """Threads to be deleted, or cut down to their latest checkpoint."""

    thread_ids: list[Text] = Field(max_length=1000)
    strategy: Literal["delete", "keep_latest"] = "delete"


class Place(Body):
    """Where a checkpoint lies."""

    thread_id: Text | None = None
    checkpoint_ns: Text | None = None
    checkpoint_id: Text | None = None
    checkpoint_map: Fields | None = None


class StateAt(Body):
    """The checkpoint whose state is asked for."""

    checkpoint: Place
    subgraphs: bool = False
    select: list[Text] | None = None


class StateUpdateBody(Body):
    """What is written into a thread's state."""

    values: Any = None
    as_node: Text | None = None
    checkpoint: Place | None = None
    checkpoint_id: Text | None = None


class HistorySearch(Body):
    """Which checkpoints of a thread are looked for."""

    limit: Limit | None = None
    before: Text | Place | None = None
    metadata: Fields | None = None
    checkpoint: Place | None = None
    select: list[Text] | None = None


class RunCreate(Body):
    """A run of the graph."""

    assistant_id: Text = Field(description="An assistant's id, or the graph's name", examples=["octopus"])
    input: Any = Field(default=None, examples=[{"messages": [{"role": "user", "content": "What is 2 + 2?"}]}])
    command: Command | None = None
    config: Config | None = None
    context: Fields | None = None
    metadata: Fields | None = None
    checkpoint: Place | None = None
    checkpoint_id: Text | None = None
    stream_mode: Annotated[list[Mode], BeforeValidator(_listed)] = Field(default=["values"])
    stream_subgraphs: bool | None = False
    stream_resumable: bool | None = False
    interrupt_before: Nodes = None
    interrupt_after: Nodes = None
    webhook: str | None = Field(default=None, max_length=2048)
    multitask_strategy: Literal["reject", "interrupt", "rollback", "enqueue"] | None = None
    on_disconnect: Literal["cancel", "continue"] | None = None
    on_completion: Literal["delete", "keep"] | None = None
    if_not_exists: Literal["create", "reject"] | None = None
    after_seconds: float | None = Field(default=None, ge=0, le=86_400)
    durability: Literal["sync", "async", "exit"] | None = None
    checkpoint_during: bool | None = None


class RunsCancel(Body):
    """Runs to be stopped: by id on one thread, or all of a status."""

    status: Literal["pending", "running", "all"] | None = None
    thread_id: Text | None = None
    run_ids: list[Text] | None = Field(default=None, max_length=1000)


class ItemPut(Body):
    """An item of the store."""

    namespace: list[Text] = Field(min_length=1, max_length=32)
    key: Text
    value: Fields
    index: Literal[False] | list[str] | None = None
    ttl: Minutes | None = None


class ItemDelete(Body):
    """The item to be deleted."""

    namespace: list[Text] = Field(min_length=1, max_length=32)
    key: Text


class ItemSearch(Body):
    """Which items are looked for."""

    namespace_prefix: list[Text] = Field(default=[], max_length=32)
    filter: Fields | None = None
    limit: Limit | None = None
    offset: Offset | None = None
    query: str | None = None
    refresh_ttl: bool | None = None


class NamespaceSearch(Body):
    """Which namespaces are looked for."""

    prefix: list[Text] | None = None
    suffix: list[Text] | None = None
    max_depth: int | None = Field(default=None, ge=1, le=100)
    limit: Limit | None = None
    offset: Offset | None = None
