"""A server whose router follows a script and whose experts echo: python scripted.py [--redis …] [--key-hash …]

Run in a process of its own by the tests, by benchmarks/http.py and by `make schemathesis`.
"""

import argparse
import asyncio
import json
import statistics
import time
from typing import Any

import uvloop

from octopus_graph.caching import GraphCache
from octopus_graph.experts import Expert
from octopus_graph.graph import create_octopus_graph
from octopus_graph.spec import BuiltGraph, build_graph, load_spec
from octopus_graph.state import OctopusContext
from octopus_graph.testing import Pick, scripted_router
from octopus_graph_server import ServerSettings, create_app
from octopus_graph_server.serving import serve

SCRIPT: dict[str, Any] = {"derivative": "math", "contract": "law", "fever": "health"}
SCRIPT |= {"slow": "physics", "broken": "chemistry", "stuck": "biology"}
UNSURE = {"whisper": Pick("law", confidence=0.4)}
SECRET = "a text that must not get out"


async def slow(query: str) -> str:
    """Takes a second and a half."""
    await asyncio.sleep(1.5)
    return f"[physics] {query}"


async def stuck(query: str) -> str:
    """Takes longer than anybody waits."""
    await asyncio.sleep(600)
    return query


def broken(query: str) -> str:
    """Fails, and quotes what it was asked."""
    raise RuntimeError(f"{SECRET}: {query}")


def build(*, ask: bool = False, cache: GraphCache | None = None) -> BuiltGraph:
    """Makes the shipped default graph with doubles in the places of its models; it may ask its human."""
    spec = load_spec("default")
    router = scripted_router(SCRIPT | UNSURE if ask else SCRIPT)
    built = build_graph(spec, dry_run=True, router=router)
    special = {"physics": slow, "chemistry": broken, "biology": stuck}
    experts = tuple(
        Expert(expert.name, expert.description, special[expert.name], neighbours=expert.neighbours)
        if expert.name in special
        else expert
        for expert in built.experts
    )
    defaults = OctopusContext(when_unsure="ask", min_confidence=0.5) if ask else spec.defaults
    graph = create_octopus_graph(experts, router, fallback=spec.fallback, defaults=defaults, cache=cache)
    return BuiltGraph(spec, experts, router, graph, cache)


async def bare(seconds: float, rate: float, clients: int) -> None:
    """Times the graph without a server and prints milliseconds.

    Args:
        seconds: How long.
        rate: Runs a second; 0 for one after the other.
        clients: How many begin at the same moment, as hey has it.
    """
    graph: Any = build().graph
    graph = graph.compile(name="octopus")
    asked = {"messages": [("user", "The derivative of x^3 when x is 2?")]}
    for _ in range(50):
        await graph.ainvoke(asked)
    times: list[float] = []

    async def one(started: float) -> None:
        await graph.ainvoke(asked)
        times.append((time.perf_counter() - started) * 1e3)

    due, cpu = time.perf_counter(), time.process_time()
    until = due + seconds
    while (started := time.perf_counter()) < until:
        await asyncio.gather(*(one(started) for _ in range(clients)))
        if rate:
            due = max(due + clients / rate, started)  # as hey: what came late is not made up for
            await asyncio.sleep(due - time.perf_counter())
    cpu = (time.process_time() - cpu) * 1e3 / len(times)
    cuts = statistics.quantiles(times, n=100)
    print(json.dumps({"p50": cuts[49], "p99": cuts[98], "cpu": cpu}))  # noqa: T201


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--redis", default="memory")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--key-hash", action="append", default=[])
    parser.add_argument("--set", action="append", default=[], metavar="NAME=NUMBER", help="a setting")
    parser.add_argument("--bare", type=float, metavar="SECONDS", help="serve nothing: time the graph alone")
    parser.add_argument("--rate", type=float, default=0.0, help="of --bare: runs a second")
    parser.add_argument("--clients", type=int, default=1, help="of --bare: runs that begin at the same moment")
    parser.add_argument("--ask", action="store_true", help="ask the human where the router is unsure")
    parser.add_argument("--cached", action="store_true", help="cache decisions and answers in that Redis")
    options = parser.parse_args()
    if options.bare:
        uvloop.run(bare(options.bare, options.rate, options.clients))
        return
    given: dict[str, Any] = dict(pair.split("=") for pair in options.set)
    settings = ServerSettings(redis=options.redis, key_hashes=tuple(options.key_hash), **given)
    saver: Any = None
    if options.redis == "memory":
        from langgraph.checkpoint.memory import InMemorySaver

        saver = InMemorySaver()
    cache = None
    if options.cached:
        from octopus_graph.persistence import open_cache

        cache = GraphCache(open_cache(options.redis), answers=["math"])
    serve(create_app(build(ask=options.ask, cache=cache), settings=settings, saver=saver), "127.0.0.1", options.port)


if __name__ == "__main__":
    main()
