"""What the cache is worth and what it costs: found against computed, one flight of many processes, a frozen Redis.

python -m benchmarks.cache [--rounds 30] [--processes 6] [--scripted] [--json]
"""

import argparse
import asyncio
import json
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from octopus_graph.caching import GraphCache
from octopus_graph.effects import Logic, Pause, arun, run
from octopus_graph.experts import Expert
from octopus_graph.graph import create_octopus_graph
from octopus_graph.persistence import EmbeddedServer, RedisCache, open_cache
from octopus_graph.persistence.entries import Entry, Made
from octopus_graph.router import OctopusRouter
from octopus_graph.testing import scripted_router

QUESTION = "My landlord keeps my deposit because of a few scratches. What can I do? ({})"
ANSWER = "Write to him and name a date by which he has to pay. " * 40
FLIGHT = """\
import sys, time
from octopus_graph.effects import Pause, run
from octopus_graph.persistence import RedisCache
from octopus_graph.persistence.entries import Entry, Made

def compute():
    print("computes", flush=True)
    yield Pause(1.0)
    return Made("value")

with RedisCache(sys.argv[1], prefix="flight") as cache:
    print("ready", flush=True)
    sys.stdin.readline()
    run(cache.once(Entry("answer", "one", 60, str, str), compute))
"""


def milliseconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1e3


def p50(times: list[float]) -> float:
    return round(statistics.median(times), 2)


def decisions(store: RedisCache, router: OctopusRouter, rounds: int) -> dict[str, object]:
    """A decision made, and the same found, in turns."""
    cache = GraphCache(store)
    made: list[float] = []
    found: list[float] = []
    work: list[float] = []
    for number in range(rounds + 2):
        request = QUESTION.format(number)
        begun = time.process_time()
        times = [
            milliseconds(lambda request=request: run(cache.decide(router, request, router.experts, rewrite="never")))
            for _ in range(2)
        ]
        if number >= 2:  # the first ones warm up
            work.append((time.process_time() - begun) * 1e3)
            made.append(times[0])
            found.append(times[1])
    return {
        "made_p50_ms": p50(made),
        "found_p50_ms": p50(found),
        "ratio": round(p50(made) / p50(found), 1),
        "cpu_of_both_p50_ms": p50(work),
    }


def answers(store: RedisCache, router: OctopusRouter, rounds: int) -> dict[str, object]:
    """A whole run of one hop: without a cache, and with decision and answer found; the expert answers at once."""
    expert = Expert("law", "Law", lambda _: ANSWER)
    plain: Any = create_octopus_graph([expert], router).compile()
    kept: Any = create_octopus_graph([expert], router, cache=GraphCache(store, answers=["law"])).compile()
    given = {"messages": [("user", QUESTION.format("answers"))]}
    kept.invoke(given)
    times: dict[str, list[float]] = {"plain": [], "found": []}
    for _ in range(rounds):
        times["plain"].append(milliseconds(lambda: plain.invoke(given)))
        times["found"].append(milliseconds(lambda: kept.invoke(given)))
    return {f"{name}_run_p50_ms": p50(values) for name, values in times.items()}


def hits(store: RedisCache, rounds: int) -> dict[str, object]:
    """One value found again and again, from a thread and from an event loop."""
    entry = Entry[str]("answer", "hit", 600, str, str)

    def compute() -> Logic[Made[str]]:
        yield Pause(0)
        return Made(ANSWER)

    async def from_a_loop() -> list[float]:
        times: list[float] = []
        for _ in range(rounds * 10):
            started = time.perf_counter()
            await arun(store.once(entry, compute))
            times.append((time.perf_counter() - started) * 1e3)
        await store.link.aclose()
        return times

    sync = [milliseconds(lambda: run(store.once(entry, compute))) for _ in range(rounds * 10)]
    return {"thread_p50_ms": p50(sync), "event_loop_p50_ms": p50(asyncio.run(from_a_loop()))}


def flight(url: str, processes: int) -> dict[str, object]:
    """Many processes that want the same at the same time."""
    command = [sys.executable, "-c", FLIGHT, url]
    started = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(processes)
    ]
    for one in started:
        assert one.stdout is not None
        one.stdout.readline()
    begun = time.perf_counter()
    for one in started:
        assert one.stdin is not None
        one.stdin.write("\n")
        one.stdin.flush()
    outputs = [one.communicate()[0] for one in started]
    taken = time.perf_counter() - begun
    return {"processes": processes, "computed": sum("computes" in text for text in outputs), "seconds": round(taken, 2)}


def frozen(folder: Path, url: str) -> dict[str, object]:
    """A hundred lookups while Redis is frozen."""
    (server,) = [
        one for one in psutil.process_iter(["cmdline"]) if f"unixsocket:{folder}" in " ".join(one.info["cmdline"] or [])
    ]
    with RedisCache(url, prefix="frozen") as store:
        store.get([(("a",), "k")])
        server.send_signal(signal.SIGSTOP)
        try:
            times = sorted(milliseconds(lambda: store.get([(("a",), "k")])) for _ in range(100))
        finally:
            server.send_signal(signal.SIGCONT)
    return {"slowest_ms": round(times[-1]), "p50_ms": round(times[50], 4), "all_100_ms": round(sum(times))}


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cache", description="What the cache is worth.")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--processes", type=int, default=6)
    parser.add_argument("--scripted", action="store_true", help="Without the model: the cache's own time.")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    router = scripted_router({"": "law"}) if arguments.scripted else OctopusRouter.from_pretrained()
    figures: dict[str, dict[str, object]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with EmbeddedServer(folder).use() as url, open_cache("embedded", folder=folder) as store:
            figures["decision"] = decisions(store, router, arguments.rounds)
            figures["run"] = answers(store, router, arguments.rounds)
            figures["hit"] = hits(store, arguments.rounds)
            figures["single_flight"] = flight(url, arguments.processes)
            figures["frozen_redis"] = frozen(folder, url)
    if arguments.json:
        print(json.dumps(figures))
        return
    for group, values in figures.items():
        print(group, "  ".join(f"{key} {value}" for key, value in values.items()))


if __name__ == "__main__":
    main()
