"""A server whose router follows a script and whose experts echo: python scripted.py [--redis …] [--key-hash …]

Run in a process of its own by the tests, by benchmarks/http.py and by `make schemathesis`.
"""

import argparse
import asyncio
from typing import Any

from octopus_graph.experts import Expert
from octopus_graph.graph import create_octopus_graph
from octopus_graph.spec import BuiltGraph, build_graph, load_spec
from octopus_graph.testing import scripted_router
from octopus_graph_server import ServerSettings, create_app
from octopus_graph_server.serving import serve

SCRIPT = {"derivative": "math", "contract": "law", "fever": "health", "slow": "physics", "broken": "chemistry"}
SECRET = "a text that must not get out"


async def slow(query: str) -> str:
    """Takes a second and a half."""
    await asyncio.sleep(1.5)
    return f"[physics] {query}"


def broken(query: str) -> str:
    """Fails, and quotes what it was asked."""
    raise RuntimeError(f"{SECRET}: {query}")


def build() -> BuiltGraph:
    """Makes the shipped default graph with doubles in the places of its models."""
    spec = load_spec("default")
    router = scripted_router(SCRIPT)
    built = build_graph(spec, dry_run=True, router=router)
    special = {"physics": slow, "chemistry": broken}
    experts = tuple(
        Expert(expert.name, expert.description, special[expert.name], neighbours=expert.neighbours)
        if expert.name in special
        else expert
        for expert in built.experts
    )
    graph = create_octopus_graph(experts, router, fallback=spec.fallback, defaults=spec.defaults)
    return BuiltGraph(spec, experts, router, graph)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--redis", default="memory")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--key-hash", action="append", default=[])
    parser.add_argument("--set", action="append", default=[], metavar="NAME=NUMBER", help="a setting")
    options = parser.parse_args()
    given: dict[str, Any] = dict(pair.split("=") for pair in options.set)
    settings = ServerSettings(redis=options.redis, key_hashes=tuple(options.key_hash), **given)
    saver: Any = None
    if options.redis == "memory":
        from langgraph.checkpoint.memory import InMemorySaver

        saver = InMemorySaver()
    serve(create_app(build(), settings=settings, saver=saver), "127.0.0.1", options.port)


if __name__ == "__main__":
    main()
