"""From a request to a run that can go: assistant, thread, config, context and input are put together and checked."""

from collections.abc import Mapping, Sequence
from typing import Any, cast
from uuid import UUID

from langgraph.types import Command, Send  # pyright: ignore[reportMissingTypeStubs]
from pydantic import BaseModel, ValidationError

from octopus_graph.persistence.records import Document
from octopus_graph_server.langgraph_api import schemas
from octopus_graph_server.langgraph_api.backend import Backend
from octopus_graph_server.langgraph_api.streaming import Plan
from octopus_graph_server.problems import UnprocessableError
from octopus_graph_server.service import Graph, Service

__all__ = ["command_of", "place_of", "plan_of", "uuid_of"]

OWN = {"thread_id", "checkpoint_id", "checkpoint_ns", "checkpoint_map"}  # said by other fields of a request


def uuid_of(text: str, what: str) -> str:
    """Reads a UUID, and writes it as everybody does.

    Raises:
        UnprocessableError: If it is none.
    """
    try:
        return str(UUID(text))
    except ValueError:
        raise UnprocessableError(f"The {what} id is not a UUID.") from None


def place_of(thread_id: str, checkpoint: schemas.Place | None, checkpoint_id: str | None = None) -> dict[str, Any]:
    """Writes where on a thread a config points."""
    place = checkpoint.model_dump(exclude_none=True, exclude={"thread_id"}) if checkpoint else {}
    if checkpoint_id:
        place["checkpoint_id"] = checkpoint_id
    return {"checkpoint_ns": "", **place, "thread_id": thread_id}


def plan_of(
    backend: Backend, request: schemas.RunCreate, assistant: Document, *, run_id: str, thread_id: str, kept: bool
) -> Plan:
    """Puts a run together.

    Args:
        backend: Where things are kept.
        request: What is asked for.
        assistant: Whose settings hold where the request says nothing.
        run_id: The run's id.
        thread_id: The thread's.
        kept: Whether the thread is kept.

    Raises:
        UnprocessableError: If the graph cannot take the context, the input or the command.
        TooLargeError: If a message is too long.
    """
    graph = backend.graph
    given = request.config or schemas.Config()
    standing = schemas.Config.model_validate(assistant["config"])
    configurable = _clean(standing.configurable) | _clean(given.configurable)
    place = place_of(thread_id, request.checkpoint, request.checkpoint_id) if kept else {}
    metadata = {
        **_clean(standing.metadata),
        **_clean(given.metadata),
        **(request.metadata or {}),
        "graph_id": backend.graph_id,
        "assistant_id": assistant["assistant_id"],
        "run_id": run_id,
        "thread_id": thread_id,
    }
    config: dict[str, Any] = {
        "run_id": UUID(run_id),
        "configurable": {**configurable, **place},
        "metadata": metadata,
        "tags": [*(standing.tags or ()), *(given.tags or ())],
    }
    for name in ("recursion_limit", "max_concurrency"):
        value = getattr(given, name) or getattr(standing, name)
        if value is not None:
            config[name] = value
    options: dict[str, Any] = {"subgraphs": bool(request.stream_subgraphs)}
    for name in ("interrupt_before", "interrupt_after"):
        nodes = getattr(request, name)
        if nodes:
            options[name] = _known_nodes(graph, nodes)
    if kept:
        during = "exit" if request.checkpoint_during is False else "async"
        options["durability"] = request.durability or during
    return Plan(
        input=_input_of(backend.service, graph, request),
        config=cast(Any, config),
        context=_context_of(graph, assistant["context"], request.context, configurable),
        modes=frozenset(request.stream_mode),
        options=options,
    )


def command_of(command: schemas.Command, graph: Graph) -> Command[Any]:
    """Reads a command.

    Raises:
        UnprocessableError: If it names a node that is not there, or is none.
    """
    given: Any = command.goto
    listed = cast(list[Any], given) if isinstance(given, list) else [given]
    goto: list[str | Send] = []
    for one in listed:
        match one:
            case None:
                continue
            case str():
                _known_nodes(graph, [one])
                goto.append(one)
            case {"node": str() as node}:
                _known_nodes(graph, [node])
                goto.append(Send(node, cast(dict[str, Any], one).get("input")))
            case _:
                raise UnprocessableError("A command's goto is a node's name, {node, input}, or a list of these.")
    update = command.update
    if isinstance(update, list):
        pairs = cast(list[Any], update)
        if not all(isinstance(pair, list) and len(cast(list[Any], pair)) == 2 for pair in pairs):
            raise UnprocessableError("A command's update is an object, or a list of [key, value].")
        update = [(str(pair[0]), pair[1]) for pair in pairs]
    return Command(update=update, goto=goto, resume=command.resume)


def _input_of(service: Service, graph: Graph, request: schemas.RunCreate) -> Any:
    if request.command is not None:
        _check_texts(service, request.command.model_dump())
        return command_of(request.command, graph)
    given: Any = request.input
    if given is not None and not isinstance(given, dict):
        raise UnprocessableError('The input is an object, such as {"messages": [{"role": "user", "content": "…"}]}.')
    _check_texts(service, given)
    return cast("dict[str, Any] | None", given)


def _check_texts(service: Service, value: Any) -> None:
    if isinstance(value, str):
        service.check_prompt(value)
    elif isinstance(value, Mapping):
        for one in cast(Mapping[Any, Any], value).values():
            _check_texts(service, one)
    elif isinstance(value, Sequence):
        for one in cast(Sequence[Any], value):
            _check_texts(service, one)


def _known_nodes(graph: Graph, nodes: str | list[str]) -> str | list[str]:
    unknown = [node for node in nodes if node not in graph.nodes] if isinstance(nodes, list) else []
    if unknown:
        known = ", ".join(name for name in graph.nodes if not name.startswith("__"))
        raise UnprocessableError(f"The graph has no node of that name; its nodes are {known}.")
    return nodes


def _context_of(
    graph: Graph, standing: dict[str, Any] | None, given: dict[str, Any] | None, configurable: Mapping[str, Any]
) -> Any:
    schema: Any = graph.context_schema
    if schema is None:
        return {**(standing or {}), **(given or {})} or None
    known = set((graph.get_context_jsonschema() or {}).get("properties", {}))
    # Clients from before there was a context, Studio among them, set its fields under `configurable`.
    older = {name: value for name, value in configurable.items() if name in known}
    context: dict[str, Any] = {**(standing or {}), **older, **(given or {})}
    if not context:
        return None
    if isinstance(schema, type) and issubclass(schema, BaseModel):
        try:
            return schema.model_validate(context)
        except ValidationError as error:
            said = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()[:5])
            raise UnprocessableError(f"The graph cannot take this context: {said[:500]}.", param="context") from None
    return context


def _clean(values: Mapping[str, Any] | None) -> dict[str, Any]:
    """Drops what belongs to LangGraph's inside, and what other fields of a request say."""
    return {name: one for name, one in (values or {}).items() if not name.startswith("__") and name not in OWN}
