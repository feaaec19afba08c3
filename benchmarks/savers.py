r"""Checkpointers side by side, in turns on one machine; and how one thread grows over many steps.

python -m benchmarks.savers [--rounds 300] [--others FOLDER] [--json]
python -m benchmarks.savers --growth 10000

FOLDER holds other savers for Redis, installed apart so that they change nothing here:
pip install --target FOLDER langgraph-checkpoint-redis 'langgraph-checkpoint-aws[valkey]' \
    langgraph-checkpoint-plainredis langgraph-checkpoint-hotkv
"""

import argparse
import asyncio
import json
import operator
import random
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import redis
from langchain_core.messages import AIMessage
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command
from typing_extensions import TypedDict

from octopus_graph.persistence import RedisSaver
from octopus_graph.persistence.embedded import server_program

STATIC = "x" * 50_000
OPERATIONS = ("put", "put_writes", "get", "list 20")
THREAD: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}


@dataclass
class Entrant:
    """A saver under test; `run` awaits where it is async."""

    saver: Any
    run: Callable[[Any], Any] | None
    taken: Callable[[], int]
    config: Any = field(default_factory=lambda: THREAD)
    count: int = 0
    changed: Any = None
    static: Any = None
    ms: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in OPERATIONS})

    def call(self, name: str, *arguments: Any, **options: Any) -> Any:
        if self.run is None:
            found = getattr(self.saver, name)(*arguments, **options)
            return list(found) if name == "list" else found
        if name == "list":
            return self.run(_all(self.saver.alist(*arguments, **options)))
        return self.run(getattr(self.saver, f"a{name}")(*arguments, **options))

    def works(self, number: int) -> dict[str, Callable[[], Any]]:
        """One step of a run, in which one channel changes and 50 KB do not: each operation, to be timed by itself."""
        self.changed = self.saver.get_next_version(self.changed, None)
        self.static = self.static or self.saver.get_next_version(None, None)
        message = AIMessage(f"answer {number} " + "word " * 40)
        checkpoint: Any = {
            **empty_checkpoint(),
            "channel_values": {"messages": [message], "static": STATIC},
            "channel_versions": {"messages": self.changed, "static": self.static},
        }
        new = {"messages": self.changed} | ({} if number else {"static": self.static})
        metadata: Any = {"source": "loop", "step": number, "parents": {}}
        writes = [("messages", [message]), ("branch:to:next", None)]
        return {
            "put": lambda: self.put(checkpoint, metadata, new),
            "put_writes": lambda: self.call("put_writes", self.config, writes, f"task-{number}"),
            "get": lambda: self.call("get_tuple", THREAD),
            "list 20": lambda: self.call("list", THREAD, limit=20),
        }

    def step(self, number: int) -> None:
        """Does a whole step, and looks whether it is right."""
        found = {name: work() for name, work in self.works(number).items()}
        assert found["get"].checkpoint["channel_values"]["static"] == STATIC
        assert len(found["list 20"]) == min(20, number + 1)

    def put(self, checkpoint: Any, metadata: Any, new: Any) -> None:
        self.config = self.call("put", self.config, checkpoint, metadata, new)
        self.count += 1

    def timed(self, name: str, work: Callable[[], Any]) -> Any:
        started = time.perf_counter()
        result = work()
        self.ms[name].append((time.perf_counter() - started) * 1e3)
        return result


async def _all(found: Any) -> list[Any]:
    return [one async for one in found]


@contextmanager
def valkey(folder: Path) -> Generator[int]:
    """A Valkey that writes each command to disk, as the embedded one does."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [server_program(), "--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--save", ""]
    with subprocess.Popen([*command, "--appendonly", "yes"], stdout=subprocess.DEVNULL) as server:
        try:
            client = redis.Redis(port=port)
            while True:
                try:
                    client.ping()
                    break
                except redis.ConnectionError:
                    time.sleep(0.02)
            yield port
        finally:
            server.terminate()


def memory_of(port: int, database: int) -> Callable[[], int]:
    def taken() -> int:
        with redis.Redis(port=port, db=database) as client:
            return sum(int(client.memory_usage(key, samples=0) or 0) for key in client.scan_iter(count=1000))

    return taken


def entrants(stack: ExitStack, others: Path | None) -> tuple[dict[str, Entrant], dict[str, str]]:
    """Opens every saver there is."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    port = stack.enter_context(valkey(folder))
    loop = asyncio.new_event_loop()
    stack.callback(loop.close)
    await_ = loop.run_until_complete
    found: dict[str, Entrant] = {}
    refused: dict[str, str] = {}
    databases = iter(range(16))

    def add(name: str, make: Callable[[str], Any], *, awaits: bool = False) -> None:
        database = next(databases)
        try:
            saver = make(f"redis://127.0.0.1:{port}/{database}")
            entrant = Entrant(saver, await_ if awaits else None, memory_of(port, database))
            entrant.step(0)
        except Exception as error:  # noqa: BLE001 - whatever keeps another saver from working is a result
            refused[name] = f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
        else:
            found[name] = entrant

    add("RedisSaver", lambda url: stack.enter_context(RedisSaver(url)))
    add("RedisSaver, async", lambda url: _awaited(stack, await_, RedisSaver(url)), awaits=True)
    memory = InMemorySaver()
    found["InMemorySaver"] = Entrant(memory, None, lambda: _held(memory))
    found["InMemorySaver"].step(0)
    _add_sqlite(stack, folder, await_, found)
    if others is not None:
        sys.path.append(str(others))
        for name, make in (
            ("langgraph-checkpoint-redis", _official),
            ("-aws ValkeySaver", _aws),
            ("-plainredis", _plain),
        ):
            add(name, lambda url, make=make: make(stack, url))
        add("-hotkv", lambda url: _hotkv(stack, url))
    return found, refused


def _awaited(stack: ExitStack, await_: Callable[[Any], Any], saver: Any) -> Any:
    stack.callback(lambda: await_(saver.aclose()))
    return saver


def _add_sqlite(stack: ExitStack, folder: Path, await_: Callable[[Any], Any], found: dict[str, Entrant]) -> None:
    from langgraph.checkpoint.sqlite import SqliteSaver
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

    def size(name: str) -> Callable[[], int]:
        def taken() -> int:
            with sqlite3.connect(folder / name) as connection:
                pages = connection.execute("PRAGMA page_count").fetchone()[0]
                return int(pages * connection.execute("PRAGMA page_size").fetchone()[0])

        return taken

    sync = stack.enter_context(SqliteSaver.from_conn_string(str(folder / "sync.db")))
    manager = AsyncSqliteSaver.from_conn_string(str(folder / "async.db"))
    aio = await_(manager.__aenter__())
    stack.callback(lambda: await_(manager.__aexit__(None, None, None)))
    found["SqliteSaver"] = Entrant(sync, None, size("sync.db"))
    found["AsyncSqliteSaver"] = Entrant(aio, await_, size("async.db"))
    for name in ("SqliteSaver", "AsyncSqliteSaver"):
        found[name].step(0)


def _official(stack: ExitStack, url: str) -> Any:
    from langgraph.checkpoint.redis import RedisSaver as Official  # pyright: ignore[reportMissingImports]

    saver = stack.enter_context(Official.from_conn_string(url))
    saver.setup()
    return saver


def _aws(stack: ExitStack, url: str) -> Any:
    from langgraph_checkpoint_aws import ValkeySaver  # pyright: ignore[reportMissingImports]

    return stack.enter_context(ValkeySaver.from_conn_string(url.replace("redis://", "valkey://")))


def _plain(stack: ExitStack, url: str) -> Any:
    from langgraph_checkpoint_plainredis import RedisSaver as Plain  # pyright: ignore[reportMissingImports]

    saver = Plain(url=url)
    stack.callback(saver.close)
    return saver


def _hotkv(stack: ExitStack, url: str) -> Any:
    from langgraph.checkpoint.hotkv import HotKVSaver  # pyright: ignore[reportMissingImports]

    return stack.enter_context(HotKVSaver.from_conn_string(url))


def _held(saver: InMemorySaver) -> int:
    blobs = sum(len(data) for _, data in saver.blobs.values())
    heads = sum(
        len(checkpoint[1]) + len(metadata[1])
        for spaces in saver.storage.values()
        for one in spaces.values()
        for checkpoint, metadata, _ in one.values()
    )
    return blobs + heads


def compare(rounds: int, others: Path | None) -> dict[str, Any]:
    """Runs all savers in turns, so that what else the machine does hits each alike."""
    with ExitStack() as stack:
        found, refused = entrants(stack, others)
        for number in range(1, rounds):
            works = {name: entrant.works(number) for name, entrant in found.items()}
            for operation in OPERATIONS[: 4 if number % 5 == 0 else 3]:
                for name in random.sample(list(found), len(found)):
                    found[name].timed(operation, works[name][operation])
        rows = {
            name: {
                **{operation: _quantiles(entrant.ms[operation]) for operation in OPERATIONS},
                "bytes": round(entrant.taken() / entrant.count),
            }
            for name, entrant in found.items()
        }
    return {"rounds": rounds, "savers": rows, "refused": refused}


def _quantiles(values: Sequence[float]) -> list[float]:
    ranked = sorted(values)
    return [round(statistics.median(ranked), 2), round(ranked[min(len(ranked) - 1, int(0.99 * len(ranked)))], 2)]


# ---------------------------------------------------------------- growth


class Loop(TypedDict):
    count: int
    recent: Annotated[list[str], operator.add]
    static: str


def loop_graph(saver: Any, steps: int) -> Any:
    """A graph whose one node goes back to itself."""

    def work(state: Loop) -> Command[str]:
        count = state["count"] + 1
        return Command(goto=END if count >= steps else "work", update={"count": count})

    builder: Any = StateGraph(Loop)
    builder.add_node("work", work, destinations=("work", END))
    builder.add_edge(START, "work")
    return builder.compile(checkpointer=saver)


def growth(steps: int, policy: str, report: Callable[[int, int, int], object]) -> None:
    """Runs one thread for many steps, and reports (step, keys, bytes) along the way.

    Args:
        steps: How many.
        policy: `keep all`; `prune`, every 100 steps; `ttl`, of 2 s.
        report: Called ten times.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        port = stack.enter_context(valkey(folder))
        client = stack.enter_context(redis.Redis(port=port))
        ttl = 2 if policy == "ttl" else None
        saver = stack.enter_context(RedisSaver(f"redis://127.0.0.1:{port}", ttl=ttl))
        graph, config = loop_graph(saver, steps), {"configurable": {"thread_id": "t"}, "recursion_limit": steps + 10}
        given = {"count": 0, "static": STATIC}
        taken = memory_of(port, 0)
        for number, _ in enumerate(graph.stream(given, config, durability="sync", stream_mode="updates"), start=1):
            if policy == "prune" and number % 100 == 0:
                saver.prune(["t"])
            if number % max(1, steps // 10) == 0:
                report(number, client.dbsize(), taken())
        state = graph.get_state(config)
        assert state.values["count"] == steps
        assert state.values["static"] == STATIC


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--others", type=Path, help="a folder with other savers")
    parser.add_argument("--growth", type=int, metavar="STEPS", help="how one thread grows instead")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    if chosen.growth:
        for policy in ("keep all", "prune", "ttl"):
            print(f"{policy}: keys and bytes along {chosen.growth:,} steps")
            growth(chosen.growth, policy, lambda step, keys, size: print(f"  {step:>7,} {keys:>7,} keys {size:>12,} B"))
        return
    figures = compare(chosen.rounds, chosen.others)
    if chosen.json:
        print(json.dumps(figures, indent=2))
        return
    print(f"{'p50/p99 ms':32}" + "".join(f"{name:>16}" for name in OPERATIONS) + f"{'B a checkpoint':>16}")
    for name, row in figures["savers"].items():
        print(
            f"{name:28}" + "".join(f"{row[one][0]:>9}/{row[one][1]:<6}" for one in OPERATIONS) + f"{row['bytes']:>16,}"
        )
    for name, reason in figures["refused"].items():
        print(f"{name:32}does not run: {reason}")


if __name__ == "__main__":
    main()
