"""LangGraph's Python client, async and sync, against a real server."""

import asyncio
import json
from collections.abc import Callable
from contextlib import aclosing
from typing import Any, cast
from uuid import uuid4

import httpx
import pytest
from langgraph_sdk import get_sync_client
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import ConflictError, NotFoundError, UnprocessableEntityError

pytestmark = pytest.mark.integration

Say = Callable[[str], dict[str, Any]]
OWN = "323211ba-05d3-5a60-a45e-01b44f136368"  # uuid5 of the graph's name, known to all clients


def texts(values: Any) -> list[str]:
    return [message["content"] for message in values["messages"]]


async def heard(stream: Any) -> list[Any]:
    return [part async for part in stream]


# ---------------------------------------------------------------- assistants


async def test_the_graphs_own_assistant_is_found_as_studio_looks_for_it(client: LangGraphClient) -> None:
    found = await client.assistants.search(metadata={"created_by": "system"})
    assert [(one["assistant_id"], one["graph_id"]) for one in found] == [(OWN, "octopus")]
    assert (await client.assistants.get("octopus"))["assistant_id"] == OWN
    graph = await client.assistants.get_graph("octopus", xray=True)
    assert "below:check" in {node["id"] for node in graph["nodes"]}
    schemas = await client.assistants.get_schemas(OWN)
    assert "pause" in cast(Any, schemas["context_schema"])["properties"]
    assert "messages" in cast(Any, schemas["state_schema"])["properties"]
    assert list(await client.assistants.get_subgraphs(OWN)) == ["below"]


async def test_assistants_have_versions_and_settings_of_their_own(client: LangGraphClient, say: Say) -> None:
    mark = str(uuid4())
    made = await client.assistants.create("octopus", name="Quick", metadata={"mark": mark}, context={"pause": 0.0})
    changed = await client.assistants.update(made["assistant_id"], name="Slow", context={"pause": 60.0})
    assert (changed["version"], changed["metadata"]) == (2, {"mark": mark})
    back = await client.assistants.set_latest(made["assistant_id"], 1)
    assert (back["name"], back["context"]) == ("Quick", {"pause": 0.0})
    assert texts(await client.runs.wait(None, made["assistant_id"], input=say("hi"))) == ["hi", "you said: hi"]
    page = await client.assistants.search(metadata={"mark": mark}, name="QUI", limit=1, response_format="object")
    assert [one["name"] for one in page["assistants"]] == ["Quick"]
    assert await client.assistants.count(metadata={"mark": mark}) == 1
    with pytest.raises(ConflictError):
        await client.assistants.create("octopus", assistant_id=made["assistant_id"])
    await client.assistants.delete(made["assistant_id"])
    with pytest.raises(NotFoundError):
        await client.assistants.get(made["assistant_id"])


# ---------------------------------------------------------------- threads


async def test_threads_are_found_by_what_they_say_sorted_and_paged(client: LangGraphClient) -> None:
    mark = str(uuid4())
    made = [
        (await client.threads.create(metadata={"mark": mark, "number": number, "deep": {"even": number % 2 == 0}}))
        for number in range(5)
    ]
    ids = [one["thread_id"] for one in made]
    found = await client.threads.search(metadata={"mark": mark}, sort_by="created_at", sort_order="asc", limit=3)
    assert [one["thread_id"] for one in found] == ids[:3]
    rest = await client.threads.search(
        metadata={"mark": mark}, sort_by="created_at", sort_order="asc", limit=3, offset=3
    )
    assert [one["thread_id"] for one in rest] == ids[3:]
    even = await client.threads.search(metadata={"mark": mark, "deep": {"even": True}}, select=["thread_id"])
    assert sorted(one["thread_id"] for one in even) == sorted(ids[::2])
    assert await client.threads.count(metadata={"mark": mark, "number": 3}) == 1
    await client.threads.update(ids[0], metadata={"mark": "another"})
    assert await client.threads.count(metadata={"mark": mark}) == 4
    assert await client.threads.search(ids=[ids[1], str(uuid4())], select=["thread_id"]) == [{"thread_id": ids[1]}]


async def test_a_thread_id_may_be_chosen_and_is_taken_once(client: LangGraphClient) -> None:
    chosen = str(uuid4())
    await client.threads.create(thread_id=chosen, metadata={"first": True})
    with pytest.raises(ConflictError):
        await client.threads.create(thread_id=chosen)
    same = await client.threads.create(thread_id=chosen, if_exists="do_nothing")
    assert same["metadata"] == {"first": True}


async def test_threads_are_copied_pruned_and_deleted(client: Any, thread: str, say: Say) -> None:
    await client.runs.wait(thread, "octopus", input=say("one"))
    copy: Any = await client.threads.copy(thread)
    await client.runs.wait(copy["thread_id"], "octopus", input=say("two"))
    assert len((await client.threads.get_state(thread))["values"]["messages"]) == 2
    assert len((await client.threads.get_state(copy["thread_id"]))["values"]["messages"]) == 4
    assert await client.threads.prune([copy["thread_id"]], strategy="keep_latest") == {"pruned_count": 1}
    assert len(await client.threads.get_history(copy["thread_id"])) == 1
    await client.threads.delete(copy["thread_id"])
    with pytest.raises(NotFoundError):
        await client.threads.get_state(copy["thread_id"])


async def test_a_thread_whose_time_is_over_goes(client: LangGraphClient, say: Say) -> None:
    made = await client.threads.create(ttl={"ttl": 0.01, "strategy": "delete"})  # 0.6 s
    shown: Any = await client.threads.get(made["thread_id"], include=["ttl"])
    assert shown["ttl"]["strategy"] == "delete"
    async with asyncio.timeout(30):
        while True:
            try:
                await client.threads.get(made["thread_id"])
            except NotFoundError:
                break
            await asyncio.sleep(0.2)


async def test_supersteps_fill_a_new_thread(client: Any) -> None:
    steps = [
        {"updates": [{"values": {"messages": [{"role": "user", "content": "old"}]}, "as_node": "__start__"}]},
        {"updates": [{"values": {"steps": ["imported"]}, "as_node": "talk"}]},
    ]
    made = await client.threads.create(supersteps=steps)
    state = await client.threads.get_state(made["thread_id"])
    assert (texts(state["values"]), state["values"]["steps"], state["next"]) == (["old"], ["imported"], ["below"])


# ---------------------------------------------------------------- state


async def test_state_is_read_and_written_at_any_checkpoint(client: Any, thread: str, say: Say) -> None:
    await client.runs.wait(thread, "octopus", input=say("one"))
    written = await client.threads.update_state(thread, {"steps": ["by hand"]}, as_node="talk")
    now = await client.threads.get_state(thread)
    assert now["checkpoint"]["checkpoint_id"] == written["checkpoint"]["checkpoint_id"]
    assert now["next"] == ["below"]
    history = await client.threads.get_history(thread, limit=20)
    assert [state["metadata"]["step"] for state in history] == sorted(
        (state["metadata"]["step"] for state in history), reverse=True
    )
    first = history[-2]
    by_id = await client.threads.get_state(thread, checkpoint_id=first["checkpoint"]["checkpoint_id"])
    by_place = await client.threads.get_state(thread, checkpoint=first["checkpoint"])
    assert by_id["next"] == by_place["next"] == first["next"]
    older = await client.threads.get_history(thread, before=first["checkpoint"]["checkpoint_id"])
    assert len(older) == 1
    updates = await client.threads.get_history(thread, metadata={"source": "update"})
    assert [state["values"]["steps"][-1] for state in updates] == ["by hand"]
    part = await client.threads.get_state(thread, select=["next", "values.steps"])
    assert part == {"next": ["below"], "values": {"steps": now["values"]["steps"]}}
    with pytest.raises(UnprocessableEntityError, match="as_node is one of"):
        await client.threads.update_state(thread, {"steps": ["x"]}, as_node="nobody")
    with pytest.raises(NotFoundError):
        await client.threads.get_state(thread, checkpoint_id=str(uuid4()))


# ---------------------------------------------------------------- runs


@pytest.mark.parametrize(
    ("modes", "names"),
    [
        (["values"], {"values"}),
        (["updates", "custom"], {"updates", "custom"}),
        (["messages-tuple"], {"messages"}),
        (["messages"], {"messages/metadata", "messages/partial"}),
        (["debug"], {"debug"}),
        (["tasks", "checkpoints"], {"tasks", "checkpoints"}),
        (["events", "values"], {"events", "values"}),
    ],
)
async def test_each_stream_mode_says_its_own(
    client: LangGraphClient, thread: str, say: Say, modes: Any, names: set[str]
) -> None:
    parts = await heard(client.runs.stream(thread, "octopus", input=say("count 2"), stream_mode=modes))
    assert {part.event for part in parts} == names | {"metadata", "end"}
    assert (parts[0].event, parts[-1].event) == ("metadata", "end")
    assert [int(part.id) for part in parts] == list(range(1, len(parts) + 1))


async def test_checkpoints_of_a_stream_can_be_read(client: LangGraphClient, thread: str, say: Say) -> None:
    for mode in ("checkpoints", "debug"):
        parts = await heard(client.runs.stream(thread, "octopus", input=say("hi"), stream_mode=mode))
        said = [part.data if mode == "checkpoints" else part.data["payload"] for part in parts[1:-1]]
        points = [one["checkpoint"] for one in said if "checkpoint" in one]
        assert points
        for point in points:
            assert (await client.threads.get_state(thread, checkpoint=point))["checkpoint"] == point


async def test_subgraphs_stream_under_their_namespace(client: LangGraphClient, say: Say) -> None:
    parts = await heard(
        client.runs.stream(None, "octopus", input=say("hi"), stream_mode="updates", stream_subgraphs=True)
    )
    below = [part for part in parts if part.event.startswith("updates|below:")]
    assert [part.data for part in below] == [{"check": {"steps": ["checked"]}}]


async def test_a_run_stops_to_ask_and_goes_on_with_the_answer(client: LangGraphClient, thread: str, say: Say) -> None:
    asked: Any = await client.runs.wait(thread, "octopus", input=say("ask me"))
    assert [one["value"] for one in asked["__interrupt__"]] == [{"question": "sure?"}]
    found = await client.threads.get(thread)
    assert found["status"] == "interrupted"
    assert [one["value"] for ones in found["interrupts"].values() for one in ones] == [{"question": "sure?"}]
    state: Any = await client.threads.get_state(thread, subgraphs=True)
    assert (state["next"], state["tasks"][0]["state"]["next"]) == (["below"], ["check"])
    parts = await heard(client.runs.stream(thread, "octopus", command={"resume": "yes"}, stream_mode="values"))
    assert parts[-2].data["steps"][-1] == "yes"
    assert (await client.threads.get(thread))["status"] == "idle"


async def test_a_run_stops_before_a_node_and_goes_elsewhere(client: LangGraphClient, thread: str, say: Say) -> None:
    await client.runs.wait(thread, "octopus", input=say("hi"), interrupt_before=["below"])
    assert (await client.threads.get_state(thread))["next"] == ["below"]
    command = {"update": {"steps": ["changed"]}, "goto": "talk"}
    after: Any = await client.runs.wait(thread, "octopus", command=cast(Any, command))
    assert "you said: you said: hi" in texts(after)
    assert "changed" in after["steps"]
    with pytest.raises(httpx.HTTPStatusError, match="422"):
        await client.runs.wait(thread, "octopus", command={"goto": "nobody"})


async def test_a_run_in_the_background_is_joined(client: LangGraphClient, thread: str, say: Say) -> None:
    run = await client.runs.create(
        thread, "octopus", input=say("count 30"), stream_mode=["custom", "values"], context={"pause": 0.01}
    )
    assert run["status"] == "pending"
    parts, custom, result = await asyncio.gather(
        heard(client.runs.join_stream(thread, run["run_id"])),
        heard(client.runs.join_stream(thread, run["run_id"], stream_mode="custom")),
        client.runs.join(thread, run["run_id"]),
    )
    assert [part.data["number"] for part in parts if part.event == "custom"] == list(range(30))
    assert {part.event for part in custom} == {"metadata", "custom", "end"}
    assert texts(result) == ["count 30", "you said: count 30"]
    assert (await client.runs.get(thread, run["run_id"]))["status"] == "success"
    assert texts(await client.runs.join(thread, run["run_id"])) == texts(result)
    await client.runs.delete(thread, run["run_id"])
    assert await client.runs.list(thread) == []


async def test_runs_without_a_thread_leave_nothing_behind(client: LangGraphClient, say: Say) -> None:
    before = await client.threads.count()
    made = await client.runs.create_batch(
        [{"assistant_id": "octopus", "input": say(f"run {number}")} for number in range(3)]  # type: ignore[typeddict-item]
    )
    results = await asyncio.gather(*(client.runs.join(run["thread_id"], run["run_id"]) for run in made))
    assert [texts(one)[-1] for one in results] == [f"you said: run {number}" for number in range(3)]
    assert await client.threads.count() == before


async def test_a_busy_thread_refuses_or_queues(client: LangGraphClient, thread: str, say: Say) -> None:
    first = await client.runs.create(thread, "octopus", input=say("one"), context={"pause": 1.0})
    with pytest.raises(ConflictError, match="busy"):
        await client.runs.create(thread, "octopus", input=say("two"), multitask_strategy="reject")
    with pytest.raises(ConflictError, match="busy"):
        await client.threads.update_state(thread, {"steps": ["x"]})
    assert (await client.threads.get(thread))["status"] == "busy"
    result = await client.runs.wait(thread, "octopus", input=say("two"), multitask_strategy="enqueue")
    assert texts(result) == ["one", "you said: one", "two", "you said: two"]
    assert (await client.runs.get(thread, first["run_id"]))["status"] == "success"


async def test_a_new_run_interrupts_the_old_one(client: LangGraphClient, thread: str, say: Say) -> None:
    first = await client.runs.create(thread, "octopus", input=say("one"), context={"pause": 60.0})
    await until_busy(client, thread)
    result = await client.runs.wait(thread, "octopus", input=say("two"), multitask_strategy="interrupt")
    assert texts(result) == ["one", "two", "you said: two"]
    assert (await client.runs.get(thread, first["run_id"]))["status"] == "interrupted"


async def test_a_new_run_rolls_the_old_one_back(client: LangGraphClient, thread: str, say: Say) -> None:
    await client.runs.wait(thread, "octopus", input=say("zero"))
    first = await client.runs.create(thread, "octopus", input=say("one"), context={"pause": 60.0})
    await until_busy(client, thread)
    result = await client.runs.wait(thread, "octopus", input=say("two"), multitask_strategy="rollback")
    assert texts(result) == ["zero", "you said: zero", "two", "you said: two"]
    with pytest.raises(NotFoundError):
        await client.runs.get(thread, first["run_id"])


@pytest.mark.parametrize("action", ["interrupt", "rollback"])
async def test_a_run_is_cancelled(client: LangGraphClient, thread: str, say: Say, action: Any) -> None:
    run = await client.runs.create(thread, "octopus", input=say("slow"), context={"pause": 60.0})
    await until_busy(client, thread)
    await client.runs.cancel(thread, run["run_id"], wait=True, action=action)
    values = (await client.threads.get_state(thread))["values"]
    assert (texts(values) if values else []) == (["slow"] if action == "interrupt" else [])
    assert (await client.threads.get(thread))["status"] in ("interrupted", "idle")
    if action == "interrupt":
        assert (await client.runs.get(thread, run["run_id"]))["status"] == "interrupted"
        with pytest.raises(ConflictError):
            await client.runs.cancel(thread, run["run_id"])


async def test_runs_are_cancelled_together(client: LangGraphClient, thread: str, say: Say) -> None:
    runs = [
        (await client.runs.create(thread, "octopus", input=say("slow"), context={"pause": 60.0}))["run_id"]
        for _ in range(3)
    ]
    await client.runs.cancel_many(thread_id=thread, run_ids=runs)
    for run_id in runs:
        await client.runs.join(thread, run_id)
    assert {run["status"] for run in await client.runs.list(thread)} == {"interrupted"}


@pytest.mark.parametrize("how", ["cancel", "continue"])
async def test_what_a_run_does_when_its_client_leaves(client: LangGraphClient, thread: str, say: Say, how: Any) -> None:
    stream = client.runs.stream(
        thread, "octopus", input=say("count 20"), stream_mode="custom", context={"pause": 0.05}, on_disconnect=how
    )
    async with aclosing(cast(Any, stream)) as parts:
        for _ in range(3):
            await anext(parts)
    (run,) = await client.runs.list(thread)
    await client.runs.join(thread, run["run_id"])
    status = (await client.runs.get(thread, run["run_id"]))["status"]
    assert status == ("interrupted" if how == "cancel" else "success")


async def test_a_run_begins_after_some_seconds(client: LangGraphClient, thread: str, say: Say) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    await client.runs.wait(thread, "octopus", input=say("hi"), after_seconds=1)
    assert loop.time() - began >= 1


async def test_a_failing_run_says_nothing_of_its_inside(client: LangGraphClient, thread: str, say: Say) -> None:
    with pytest.raises(Exception, match="InternalError") as failed:
        await client.runs.wait(thread, "octopus", input=say("fail on my secret"))
    assert "secret" not in str(failed.value)
    assert (await client.threads.get(thread))["status"] == "error"
    parts = await heard(client.runs.stream(thread, "octopus", input=say("fail again")))
    assert [part.event for part in parts][-2:] == ["error", "end"]
    assert texts(await client.runs.wait(thread, "octopus", input=say("hi")))[-1] == "you said: hi"


async def test_all_runs_of_a_thread_are_heard_in_one_stream(client: LangGraphClient, thread: str, say: Say) -> None:
    async def two() -> list[Any]:
        done, parts = 0, []
        async with aclosing(cast(Any, await client.threads.join_stream(thread))) as stream:
            async for part in stream:
                parts.append(part)
                done += part.event == "run_done"
                if done == 2:
                    return parts
        raise AssertionError("the stream ended")

    listening = asyncio.create_task(two())
    await asyncio.sleep(0.3)
    for text in ("one", "two"):
        await client.runs.wait(thread, "octopus", input=say(text), context={"pause": 0.5})
    parts = await asyncio.wait_for(listening, 30)
    values = [part.data for part in parts if part.event == "values"]
    assert texts(values[-1]) == ["one", "you said: one", "two", "you said: two"]


# ---------------------------------------------------------------- store, server, errors


async def test_the_store_is_the_one_the_graph_sees(client: LangGraphClient, say: Say) -> None:
    await client.runs.wait(None, "octopus", input=say("keep this"))
    assert (await client.store.get_item(["said"], "last"))["value"] == {"text": "keep this"}
    space = ["shelf", uuid4().hex]
    for number in range(4):
        await client.store.put_item([*space, str(number % 2)], f"k{number}", {"number": number})
    found = await client.store.search_items(space, filter={"number": {"$gte": 2}})
    assert sorted(item["value"]["number"] for item in found["items"]) == [2, 3]
    spaces = await client.store.list_namespaces(prefix=space)
    assert spaces["namespaces"] == [[*space, "0"], [*space, "1"]]
    await client.store.delete_item([*space, "0"], "k0")
    with pytest.raises(NotFoundError):
        await client.store.get_item([*space, "0"], "k0")
    await client.store.put_item(space, "brief", {"gone": "soon"}, ttl=cast(Any, 0.001))
    await asyncio.sleep(0.2)
    assert (await client.store.search_items(space, filter={"gone": "soon"}))["items"] == []


async def test_studio_gets_what_it_asks_for(probe: Any, thread: str) -> None:
    async with httpx.AsyncClient(base_url=probe.url) as studio:
        info = (await studio.get("/info")).json()
        assert tuple(map(int, info["version"].split("."))) >= (0, 4, 35)
        assert (await studio.get("/ok")).json() == {"ok": True}
        plain = {"content-type": "text/plain;charset=UTF-8"}
        body = json.dumps({"metadata": {"created_by": "system"}, "limit": 100})
        found = await studio.post("/assistants/search", content=body, headers=plain)
        assert [one["assistant_id"] for one in found.json()] == [OWN]
        for path in (f"/assistants/{OWN}/schemas", f"/assistants/{OWN}/subgraphs?recurse=true"):
            assert (await studio.get(path)).status_code == 200
        assert (await studio.post(f"/assistants/{OWN}/versions", content="{}", headers=plain)).status_code == 200
        run = json.dumps({"assistant_id": OWN, "input": {"messages": [{"type": "human", "content": "hi"}]}})
        headers = {**plain, "origin": "http://localhost:3000"}
        answer = await studio.post(f"/threads/{thread}/runs/stream", content=run, headers=headers)
        assert answer.headers["content-location"].startswith(f"/threads/{thread}/runs/")
        exposed = answer.headers["access-control-expose-headers"].lower()
        assert "content-location" in exposed
        assert "location" in exposed.split(", ")
        assert (await studio.post("/runs/crons", json={})).status_code == 501


async def test_wrong_requests_are_told_what_is_wrong(client: LangGraphClient, thread: str, say: Say) -> None:
    nowhere = str(uuid4())
    with pytest.raises(NotFoundError, match="no thread"):
        await client.threads.get(nowhere)
    with pytest.raises(NotFoundError, match="no thread"):
        await client.runs.create(nowhere, "octopus", input=say("hi"))
    with pytest.raises(NotFoundError, match="no assistant"):
        await client.runs.create(thread, "nobody", input=say("hi"))
    with pytest.raises(NotFoundError, match="no run"):
        await client.runs.get(thread, nowhere)
    with pytest.raises(UnprocessableEntityError, match="pause"):
        await client.runs.create(thread, "octopus", input=say("hi"), context={"pause": "long"})
    with pytest.raises(UnprocessableEntityError, match="stream_mode"):
        await client.runs.create(thread, "octopus", input=say("hi"), stream_mode=cast(Any, "nothing"))
    with pytest.raises(UnprocessableEntityError, match="webhook"):
        await client.runs.create(thread, "octopus", input=say("hi"), webhook="http://169.254.169.254/latest")
    await client.runs.wait(nowhere, "octopus", input=say("hi"), if_not_exists="create")
    assert (await client.threads.get(nowhere))["status"] == "idle"


def test_the_sync_client_works_as_well(probe: Any, say: Say) -> None:
    with get_sync_client(url=probe.url, api_key=None) as client:
        thread = client.threads.create()["thread_id"]
        assert "__interrupt__" in client.runs.wait(thread, "octopus", input=say("ask me"))
        parts = list(client.runs.stream(thread, "octopus", command={"resume": "ok"}, stream_mode=["values", "updates"]))
        assert parts[-2].data["steps"][-1] == "ok"
        run = client.runs.create(thread, "octopus", input=say("hi"))
        assert texts(client.runs.join(thread, run["run_id"]))[-1] == "you said: hi"
        assert [part.event for part in client.runs.join_stream(thread, run["run_id"])][-1] == "end"
        assert len(client.threads.get_history(thread)) == 8
        client.store.put_item(["sync"], "one", {"text": "kept"})
        assert client.store.get_item(["sync"], "one")["value"] == {"text": "kept"}


async def until_busy(client: LangGraphClient, thread: str) -> None:
    """Waits until a run has begun and written its first checkpoints."""
    async with asyncio.timeout(30):
        while True:
            state = await client.threads.get_state(thread)
            if state["next"] and state["next"] != ["__start__"]:
                return
            await asyncio.sleep(0.02)
