"""From a GraphSpec to experts, a router and a graph. Whatever is wired wrongly is said here, before the first question."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from langchain_core.language_models import BaseChatModel
from langgraph.graph import StateGraph

from octopus_graph import weights
from octopus_graph.engines import chat
from octopus_graph.errors import ConfigurationError, WeightsError
from octopus_graph.experts import Expert
from octopus_graph.graph import create_octopus_graph
from octopus_graph.router import OctopusRouter
from octopus_graph.spec.loading import check_names
from octopus_graph.spec.models import EMBEDDED, ExpertSpec, GraphSpec, HuggingFaceModel, UrlModel
from octopus_graph.state import OctopusContext, OctopusInput, OctopusState
from octopus_graph.testing import EchoExpert

if TYPE_CHECKING:  # loads torch
    from octopus_graph.engines.chat.local import SharedModel

__all__ = ["BuiltGraph", "build_graph", "build_router"]

EMBEDDED_CONTEXT = 2048
"""Tokens. The embedded model reads four times as many, in most of a minute on two cores; nobody waits so long for a small answer."""


@dataclass(frozen=True)
class BuiltGraph:
    """What a graph file describes, made.

    Attributes:
        spec: The description.
        experts: In the order of the file.
        router: Loaded.
        graph: Uncompiled: call `graph.compile(name="octopus")`, with a checkpointer if threads are to be remembered.
    """

    spec: GraphSpec
    experts: tuple[Expert, ...]
    router: OctopusRouter
    graph: StateGraph[OctopusState, OctopusContext, OctopusInput, OctopusState]


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
    models = _Models(spec, router)
    experts = tuple(
        _echo(name, expert) if dry_run else _expert(name, expert, models.chat_of(name)) for name, expert in spec.experts.items()
    )
    graph = create_octopus_graph(experts, router, fallback=spec.fallback, defaults=spec.defaults)
    return BuiltGraph(spec, experts, router, graph)


class _Models:
    """The chat models of one graph; experts that name the same model in this process share it."""

    def __init__(self, spec: GraphSpec, router: OctopusRouter) -> None:
        self._spec = spec
        self._router = router
        self._shared: dict[str, SharedModel] = {}

    def chat_of(self, name: str) -> BaseChatModel:
        expert = self._spec.experts[name]
        try:
            return self._chat(expert)
        except (ConfigurationError, WeightsError) as error:
            raise self._spec.error(("experts", name, "model"), str(error)) from error

    def _chat(self, expert: ExpertSpec) -> BaseChatModel:
        match expert.model:
            case UrlModel() as model:
                return chat.openai_compatible_chat(
                    model.url, model.model, _secret(model.api_key_env), timeout=expert.timeout
                )
            case HuggingFaceModel(provider=str(provider)) as model:
                key = _secret(model.api_key_env)
                return chat.hosted_chat(model.huggingface, provider, key, timeout=expert.timeout)
            case HuggingFaceModel(huggingface=model):
                source = _beside(self._spec, model)
                shared = self._shared_model(source, lambda: chat.huggingface_model(source))
                return chat.local_chat(shared, max_seconds=expert.timeout)
            case "embedded":
                shared = self._shared_model(EMBEDDED, self._embedded)
                return chat.local_chat(shared, max_seconds=expert.timeout, context=EMBEDDED_CONTEXT)
            case model:
                return chat.named_chat(model)

    def _shared_model(self, key: str, make: "Callable[[], SharedModel]") -> "SharedModel":
        if key not in self._shared:
            self._shared[key] = make()
        return self._shared[key]

    def _embedded(self) -> "SharedModel":
        """Takes the router's own base where that is the embedded model: one copy in memory then serves router and experts."""
        folder = weights.resolve(weights.EMBEDDED)
        base = getattr(self._router.engine, "base", None)
        if base is not None and Path(base[0].name_or_path) == folder:
            return chat.loaded_model(*base)
        return chat.huggingface_model(str(folder))


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
        raise spec.error(("router", "model"), str(error)) from error


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
