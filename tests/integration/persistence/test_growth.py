"""A thread that runs on and on: what it leaves in Redis is bounded by pruning or by a TTL."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command
from typing_extensions import TypedDict

from octopus_graph.persistence import RedisSaver

pytestmark = pytest.mark.integration

STATIC = "x" * 50_000
STEPS = [400, pytest.param(10_000, marks=[pytest.mark.slow, pytest.mark.timeout(900)])]


class Loop(TypedDict):
    count: int
    static: str


def run(saver: RedisSaver, steps: int, after: Callable[[int], object]) -> None:
    """Runs a graph whose node goes back to itself."""

    def work(state: Loop) -> Command[str]:
        count = state["count"] + 1
        return Command(goto=END if count >= steps else "work", update={"count": count})

    builder: Any = StateGraph(Loop)
    builder.add_node("work", work, destinations=("work", END))
    builder.add_edge(START, "work")
    graph = builder.compile(checkpointer=saver)
    config: Any = {"configurable": {"thread_id": "t"}, "recursion_limit": steps + 10}
    given = {"count": 0, "static": STATIC}
    for number, _ in enumerate(graph.stream(given, config, durability="sync", stream_mode="updates"), start=1):
        after(number)
    assert graph.get_state(config).values == {"count": steps, "static": STATIC}


@pytest.mark.parametrize("steps", STEPS)
def test_pruned_now_and_then_a_thread_stays_as_small_as_it_began(private: Any, steps: int) -> None:
    most: list[tuple[int, int]] = []
    with RedisSaver(f"redis://127.0.0.1:{private.port}") as saver, private.client() as client:

        def after(number: int) -> None:
            if number % 100 == 0:
                most.append((client.dbsize(), sum(client.memory_usage(key, samples=0) for key in client.scan_iter())))
                saver.prune(["t"])

        run(saver, steps, after)
        saver.prune(["t"])
        assert client.dbsize() == 3
        assert client.hlen("octopus:{t}:b") <= 3
    assert max(keys for keys, _ in most) <= 110
    assert max(size for _, size in most) < 400_000


@pytest.mark.parametrize("steps", STEPS)
def test_what_expires_bounds_a_thread_by_its_pace(private: Any, steps: int) -> None:
    ends: list[float] = []
    keys: list[int] = []
    with RedisSaver(f"redis://127.0.0.1:{private.port}", ttl=0.5) as saver, private.client() as client:

        def after(number: int) -> None:
            ends.append(time.monotonic())
            keys.append(client.dbsize())
            # One key a step, of the steps of the last half second, and a second for the server to notice.
            assert keys[-1] <= 20 + sum(end > ends[-1] - 1.5 for end in ends[-3000:])

        run(saver, steps, after)
        # What has expired leaves the index and the blobs behind, to be swept by later puts: never more than a part.
        assert client.zcard("octopus:{t}:i") <= 2 * keys[-1] + 100
        assert client.hlen("octopus:{t}:b") <= 4 * keys[-1] + 300
