"""Graph files opened: as a router, as a graph that runs, or as one that only shows its shape."""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from octopus_graph.cli.output import spinner
from octopus_graph.errors import UnknownExpertError

if TYPE_CHECKING:
    from octopus_graph.persistence import RedisSaver
    from octopus_graph.router import OctopusRouter
    from octopus_graph.spec import BuiltGraph, GraphSpec

__all__ = ["asking", "build", "check_experts", "open_graph", "open_router", "open_store", "outline", "shape"]


def open_router(
    graph: str, experts: Sequence[str] | None, folder: Path | None = None
) -> "tuple[OctopusRouter, Sequence[str]]":
    """Opens the router of a graph.

    Args:
        graph: A file, or the name of a shipped graph.
        experts: The only candidates; `None` for every expert of the graph.
        folder: A router's folder, in the graph's place; its experts are then all it knows.

    Returns:
        The router and its candidates.
    """
    if folder is not None:
        from octopus_graph.router import OctopusRouter, read_card

        known = read_card(folder).experts
        for name in experts or ():
            if name not in known:
                raise UnknownExpertError(name, list(known), where="--expert")
        return OctopusRouter.from_pretrained(folder), list(experts or known)
    from octopus_graph.spec import building, load_spec

    spec = load_spec(graph)
    check_experts(spec, experts)
    with _loading(spec):
        return building.build_router(spec), list(experts or spec.experts)


def open_store(graph: str, redis: str | None = None) -> "RedisSaver":
    """Opens the store in which the threads of a graph are.

    Args:
        graph: A file, or the name of a shipped graph.
        redis: A URL; by default where the graph file says, else what OCTOPUS_REDIS_URL names, else embedded.

    Returns:
        The saver, to be used in a `with`.
    """
    from octopus_graph.persistence import open_saver
    from octopus_graph.spec import load_spec, store_of

    return open_saver(redis or store_of(load_spec(graph)))


def open_graph(graph: str, experts: Sequence[str] | None, *, dry_run: bool, saver: "RedisSaver | None" = None) -> Any:
    """Opens a graph and compiles it.

    Args:
        graph: A file, or the name of a shipped graph.
        experts: The experts allowed; only checked here, as they are a run's own affair.
        dry_run: Put an echo in the place of each expert.
        saver: Keeps its threads.

    Returns:
        The compiled graph.
    """
    return _compiled(build(graph, experts, dry_run=dry_run), saver)


def build(graph: str, experts: Sequence[str] | None = None, *, dry_run: bool) -> "BuiltGraph":
    """Opens a graph and leaves it uncompiled, for whoever brings a checkpointer.

    Args:
        graph: A file, or the name of a shipped graph.
        experts: The experts allowed; only checked here, as they are a run's own affair.
        dry_run: Put an echo in the place of each expert.

    Returns:
        The graph and its parts.
    """
    from octopus_graph.spec import build_graph, load_spec

    spec = load_spec(graph)
    check_experts(spec, experts)
    with _loading(spec):
        return build_graph(spec, dry_run=dry_run)


def asking(graph: str, router: "OctopusRouter") -> Callable[[str, str], str]:
    """Opens a graph's experts to be asked one at a time, by name."""
    from octopus_graph.effects import run
    from octopus_graph.spec import build_graph, load_spec

    built = build_graph(load_spec(graph), router=router)
    experts = {expert.name: expert for expert in built.experts}

    def ask(name: str, prompt: str) -> str:
        if name not in experts:
            raise UnknownExpertError(name, list(experts), where="--graph")
        return run(experts[name].ask(prompt)).text

    return ask


def outline(spec: "GraphSpec") -> Any:
    """Compiles a graph for its shape: every name is checked, and no model is loaded."""
    return _compiled(shape(spec))


def shape(spec: "GraphSpec") -> "BuiltGraph":
    """Builds a graph for its shape, with doubles in the places of router and experts."""
    from octopus_graph.spec import build_graph
    from octopus_graph.testing import scripted_router

    return build_graph(spec, dry_run=True, router=scripted_router({}, experts=_known(spec)))


def check_experts(spec: "GraphSpec", experts: Sequence[str] | None) -> None:
    """Checks an allow-list before anything is loaded.

    Raises:
        UnknownExpertError: If it names an expert the graph has not.
    """
    for name in experts or ():
        if name not in spec.experts:
            raise UnknownExpertError(name, list(spec.experts), where="--expert")


@contextmanager
def _loading(spec: "GraphSpec") -> Generator[None]:
    """Shows that the router is being loaded; a model is fetched before that, for it shows a bar of its own."""
    from octopus_graph import weights
    from octopus_graph.router import CARD, SHIPPED
    from octopus_graph.spec.models import EMBEDDED

    if spec.router.model != EMBEDDED or not (SHIPPED / CARD).is_file():
        yield
        return
    weights.resolve(weights.EMBEDDED)
    with spinner("Loading the router …"):
        yield


def _compiled(built: "BuiltGraph", saver: "RedisSaver | None" = None) -> Any:
    builder: Any = built.graph  # LangGraph leaves types of its own parameters open
    return builder.compile(name="octopus", checkpointer=saver)


def _known(spec: "GraphSpec") -> tuple[str, ...]:
    """Returns the experts of a graph's router, read from its card; a model without one holds the paper's tokens."""
    from octopus_graph.router import CARD, SHIPPED, read_card
    from octopus_graph.spec.models import EMBEDDED
    from octopus_graph.tokens import PAPER_EXPERTS

    beside = spec.document.folder if spec.document else Path()
    folder = SHIPPED if spec.router.model == EMBEDDED else beside / Path(spec.router.model).expanduser()
    return read_card(folder).experts if (folder / CARD).is_file() else PAPER_EXPERTS
