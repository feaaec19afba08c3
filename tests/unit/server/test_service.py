"""What all endpoints share."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI
from langgraph.checkpoint.memory import InMemorySaver

from octopus_graph.graph import create_octopus_graph
from octopus_graph.testing import EchoExpert, scripted_router
from octopus_graph_server import create_app
from octopus_graph_server.problems import TimedOutError, TooLargeError, TooManyRunsError, UnavailableError
from octopus_graph_server.service import Runs, Service

ASKED: Any = {"messages": [("user", "the derivative of x^3?")]}


async def test_a_run_too_many_is_told_when_to_come_back() -> None:
    runs = Runs(most=2, seconds=60)
    async with runs.one(), runs.one():
        with pytest.raises(TooManyRunsError) as caught:
            async with runs.one():
                pass
    assert caught.value.headers == {"retry-after": "1"}
    async with runs.one():
        assert runs.going == 1
    assert runs.going == 0


async def test_a_run_that_fails_counts_no_more() -> None:
    runs = Runs(most=1, seconds=60)
    with pytest.raises(ZeroDivisionError):
        async with runs.one():
            raise ZeroDivisionError
    assert runs.going == 0
    await asyncio.wait_for(runs.ended(), 1)


async def test_a_run_ends_when_its_time_is_over() -> None:
    runs = Runs(most=1, seconds=0.01)
    with pytest.raises(TimedOutError, match=r"0\.01 s"):
        async with runs.one():
            await asyncio.sleep(60)
    assert runs.going == 0


async def test_draining_waits_for_runs_in_the_background_and_lets_none_begin() -> None:
    runs = Runs(most=9, seconds=60)
    done: list[str] = []

    async def short() -> None:
        async with runs.one():
            await asyncio.sleep(0)
        done.append("short")

    async def endless() -> None:
        try:
            await asyncio.sleep(600)
        finally:
            done.append("endless, cancelled")

    tasks = [runs.spawn(short()), runs.spawn(endless())]
    await runs.drain(0.2)
    assert done == ["short", "endless, cancelled"]
    assert tasks[1].cancelled()
    with pytest.raises(UnavailableError, match="shutting down"):
        async with runs.one():
            pass


async def test_there_is_one_grace_period_whoever_waits_for_it() -> None:
    runs = Runs(most=9, seconds=60)
    task = runs.spawn(asyncio.sleep(600))
    runs.close()
    async with asyncio.timeout(30):
        await runs.drain(0.1)
        assert task.cancelled()
        assert runs.left(0.1) == 0
        later = runs.spawn(asyncio.sleep(600))
        began = asyncio.get_running_loop().time()
        await runs.drain(0.1)
    assert later.cancelled()
    assert asyncio.get_running_loop().time() - began < 0.1, "the second did not wait again"


async def test_a_built_graph_is_compiled_with_the_saver_and_without(
    make_app: Callable[..., FastAPI], opened: Any
) -> None:
    app = make_app(name="many-arms")
    service: Service = app.state.service
    with pytest.raises(UnavailableError, match="starting"):
        _ = service.graph
    async with opened(app):
        assert service.graph.name == "many-arms"
        config: Any = {"configurable": {"thread_id": "1"}}
        await service.graph.ainvoke(ASKED, config)
        assert (await service.graph.aget_state(config)).values["hops"]
        answer = await service.stateless.ainvoke(ASKED)
        assert answer["messages"][-1].text == "[math] the derivative of x^3?"
        assert service.saver is not None
    with pytest.raises(UnavailableError):
        _ = service.graph


@pytest.mark.parametrize("saver", [None, InMemorySaver()])
async def test_a_compiled_graph_keeps_its_own_saver(saver: Any, opened: Any) -> None:
    router, experts = scripted_router({"derivative": "math"}), [EchoExpert("math"), EchoExpert("law")]
    graph: Any = create_octopus_graph(experts, router).compile(name="own", checkpointer=saver)
    app = create_app(graph, router=router, experts=experts)
    service: Service = app.state.service
    assert list(service.experts) == ["math", "law"]
    async with opened(app) as client:
        assert service.graph is graph
        assert service.saver is saver
        assert (await client.get("/health/ready")).status_code == 200
        assert (await service.stateless.ainvoke(ASKED))["messages"][-1].text.startswith("[math]")


async def test_the_default_store_is_opened_when_the_app_starts_and_closed_when_it_stops(
    opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from octopus_graph import persistence

    events: list[str] = []

    class Saver(InMemorySaver):
        async def __aenter__(self) -> Any:
            events.append("opened")
            return self

        async def __aexit__(self, *error: Any) -> None:
            events.append("closed")

    monkeypatch.setattr(persistence, "open_saver", lambda where: events.append(where) or Saver())
    from octopus_graph.spec import build_graph, load_spec

    app = create_app(build_graph(load_spec("default"), dry_run=True, router=scripted_router({})))
    assert events == []
    async with opened(app):
        assert events == ["embedded", "opened"]
    assert events[-1] == "closed"


async def test_long_texts_are_refused(make_app: Callable[..., FastAPI]) -> None:
    service: Service = make_app(max_prompt=10).state.service
    service.check_prompt("x" * 10)
    with pytest.raises(TooLargeError, match="11 characters"):
        service.check_prompt("x" * 11)
