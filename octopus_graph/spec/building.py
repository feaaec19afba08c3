"""From a GraphSpec to experts, a router and a graph; what is wired wrongly is said here, before the first question."""

import os
from dataclasses import dataclass
from pathlib import Path

from langchain_core.language_models import BaseChatModel
from langgraph.graph import StateGraph  # pyright: ignore[reportMissingTypeStubs]

from octopus_graph.caching import DAY, GraphCache
from octopus_graph.engines import chat
from octopus_graph.engines.base import Embeds
from octopus_graph.errors import ConfigurationError, OctopusError, SpecError, WeightsError
from octopus_graph.experts import Expert
from octopus_graph.graph import create_octopus_graph
from octopus_graph.persistence.entries import digest
from octopus_graph.router import OctopusRouter
from octopus_graph.spec.document import FieldPath
from octopus_graph.spec.loading import check_names
from octopus_graph.spec.models import EMBEDDED, ExpertSpec, GraphSpec, HuggingFaceModel, UrlModel
from octopus_graph.state import OctopusContext, OctopusInput, OctopusState
from octopus_graph.testing import EchoExpert

__all__ = ["BuiltGraph", "build_graph", "build_router", "store_of"]

LONGEST_ANSWER = 512
"""Tokens. Of models in this process that a graph file names; the embedded one has less to say."""


@dataclass(frozen=True)
class BuiltGraph:
    """What a graph file describes, made.

    Attributes:
        spec: The description.
        experts: In the order of the file.
        router: Loaded.
        graph: Uncompiled: call `graph.compile(name="octopus")`, with a checkpointer if threads are to be remembered.
        cache: Where the graph keeps what it computed, opened; `None` where the file says nothing of it. Close its
            `store` when the graph has served its time.
    """

    spec: GraphSpec
    experts: tuple[Expert, ...]
    router: OctopusRouter
    graph: StateGraph[OctopusState, OctopusContext, OctopusInput, OctopusState]
    cache: GraphCache | None = None


def build_graph(spec: GraphSpec, *, dry_run: bool = False, router: OctopusRouter | None = None) -> BuiltGraph:
    """Makes experts, router and graph.

    Models that run in this process are loaded when an expert is first asked, and once however many experts name them.

    Example:
        >>> from octopus_graph.spec import load_spec
        >>> from octopus_graph.testing import scripted_router
        >>> built = build_graph(load_spec("default"), dry_run=True, router=scripted_router({"x^3": "math"}))
        >>> built.graph.compile().invoke({"messages": [("user", "d/dx x^3?")]})["messages"][-1].text
        '[math] d/dx x^3?'

    Args:
        spec: The description.
        dry_run: Puts an echo in each expert's place: no model of an expert, key or server is needed.
        router: Decides in place of the router of the file.

    Raises:
        SpecError: If an expert is none of the router's, or a name or an environment variable is missing.
        ConfigurationError: If a model cannot be set up.
        ModelNotFoundError: If the router's model is neither here nor to be fetched.
        MissingExtraError: If an optional package is needed and not installed.
    """
    check_names(spec)
    if not dry_run:
        _check_secrets(spec)
    router = router or build_router(spec)
    for name in spec.experts:
        if name not in router.experts:
            raise spec.error(
                ("experts", name), f"the router knows no expert {name!r}; its experts are {', '.join(router.experts)}."
            )
    experts = tuple(
        _echo(name, expert) if dry_run else _expert(name, expert, _chat(name, spec, router))
        for name, expert in spec.experts.items()
    )
    cache = None if dry_run else _cache(spec, router)
    graph = create_octopus_graph(experts, router, fallback=spec.fallback, defaults=spec.defaults, cache=cache)
    return BuiltGraph(spec, experts, router, graph, cache)


def _cache(spec: GraphSpec, router: OctopusRouter) -> GraphCache | None:
    """Opens the cache of a graph. It connects when it is first used, and the graph runs without it."""
    if spec.cache is None:
        return None
    answers = spec.cache.answers
    if answers is not None and answers.semantic is not None and not isinstance(router.engine, Embeds):
        path = ("cache", "answers", "semantic")
        raise spec.error(path, "the engine of this router makes no vectors of questions: leave it out.")
    from octopus_graph.persistence import open_cache

    return GraphCache(
        open_cache(store_of(spec)),
        decisions=spec.cache.ttl if spec.cache.decisions else None,
        answers=() if answers is None else tuple(answers.experts),
        answer_ttl=DAY if answers is None else answers.ttl,
        semantic=None if answers is None else answers.semantic,
    )


def _chat(name: str, spec: GraphSpec, router: OctopusRouter) -> BaseChatModel:
    """Makes the chat model of an expert. Those in this process that name the same model share it."""
    expert = spec.experts[name]
    seconds = expert.timeout
    try:
        match expert.model:
            case UrlModel(url=url, model=model, api_key_env=variable):
                return chat.openai_compatible_chat(url, model, _secret(variable), timeout=seconds)
            case HuggingFaceModel(huggingface=model, provider=str(provider), api_key_env=variable):
                return chat.hosted_chat(model, provider, _secret(variable), timeout=seconds)
            case HuggingFaceModel(huggingface=model):
                # Not chat.huggingface_chat: nine experts may name one model of 16 GB, and anybody may ask them.
                shared = chat.huggingface_model(_beside(spec, model))
                return chat.local_chat(shared, max_seconds=seconds, max_new_tokens=LONGEST_ANSWER)
            case "embedded":
                return chat.embedded_chat(router, max_seconds=seconds)
            case model:
                return chat.named_chat(model)
    except (ConfigurationError, WeightsError) as error:
        raise _placed(error, spec, ("experts", name, "model")) from error


def build_router(spec: GraphSpec) -> OctopusRouter:
    """Loads the router of a spec alone.

    Raises:
        SpecError: If what the file names is no router, or is neither here nor to be fetched.
        ModelNotFoundError: If the embedded router's model cannot be fetched.
        MissingExtraError: If the extra `local` is not installed.
    """
    if spec.router.model == EMBEDDED:
        return OctopusRouter.from_pretrained()
    try:
        return OctopusRouter.from_pretrained(_beside(spec, spec.router.model), format=spec.router.format)
    except (ConfigurationError, WeightsError) as error:
        raise _placed(error, spec, ("router", "model")) from error


def store_of(spec: GraphSpec) -> str | None:
    """Returns where the threads of a graph are kept, for `open_saver`; `None` leaves it to OCTOPUS_REDIS_URL.

    Raises:
        SpecError: If the file names an environment variable that is not set.
    """
    if spec.redis is None or not spec.redis.startswith("${"):
        return spec.redis
    variable = spec.redis[2:-1]
    if not (url := os.environ.get(variable, "").strip()):
        raise spec.error(("redis",), f"the environment variable {variable} is not set: set it to a Redis URL.")
    return url


def _placed(error: OctopusError, spec: GraphSpec, path: FieldPath) -> OctopusError:
    """Puts file, line and field before an error's sentence; its type, and so the exit code, stays."""
    kind = SpecError if type(error) is ConfigurationError else type(error)
    return kind(str(spec.error(path, str(error))))


def _expert(name: str, spec: ExpertSpec, runnable: BaseChatModel) -> Expert:
    return Expert(
        name,
        spec.description,
        runnable,
        neighbours=None if spec.neighbours == "*" else tuple(spec.neighbours),
        system_prompt=spec.system_prompt,
        timeout=spec.timeout,
        retries=spec.retries,
        fallback=spec.fallback,
        version=digest(repr(spec.model), spec.version),
    )


def _echo(name: str, spec: ExpertSpec) -> Expert:
    neighbours = None if spec.neighbours == "*" else tuple(spec.neighbours)
    return EchoExpert(name, spec.description, neighbours=neighbours, fallback=spec.fallback)


def _check_secrets(spec: GraphSpec) -> None:
    for name, expert in spec.experts.items():
        variable = None if isinstance(expert.model, str) else expert.model.api_key_env
        if variable and not os.environ.get(variable, "").strip():
            raise spec.error(
                ("experts", name, "model", "api_key_env"),
                f"the environment variable {variable} is not set: set it to the key, or use --dry-run.",
            )


def _secret(variable: str | None) -> str | None:
    return os.environ[variable].strip() if variable else None


def _beside(spec: GraphSpec, model: str) -> str:
    """Returns a model's folder where one lies beside the graph file, else what was named."""
    if spec.document is not None and (folder := spec.document.folder / Path(model).expanduser()).is_dir():
        return str(folder)
    return model
