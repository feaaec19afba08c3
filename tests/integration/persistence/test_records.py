"""Documents, journals, waiting lines and the store on real servers: one alone, and a cluster."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any
from uuid import uuid4

import pytest
from langgraph.store.base import InvalidNamespaceError, PutOp

from octopus_graph.persistence import Link, RedisStore
from octopus_graph.persistence.journal import Event, Journal
from octopus_graph.persistence.line import Line
from octopus_graph.persistence.records import Kind, Records

pytestmark = pytest.mark.integration

KIND = Kind("thing", ("made", "until"), ("status",))


@pytest.fixture(params=["alone", "cluster"])
async def link(request: pytest.FixtureRequest) -> AsyncGenerator[Link]:
    name = "one" if request.param == "alone" else "three"
    where: Any = request.getfixturevalue(name)
    found = Link(where if isinstance(where, str) else f"redis://127.0.0.1:{where.port}")
    yield found
    await found.aclose()


@pytest.fixture
def prefix() -> str:
    return f"test-{uuid4()}"


@pytest.fixture
def records(link: Link, prefix: str) -> Records:
    return Records(link, prefix, KIND)


# ---------------------------------------------------------------- documents


async def ids(records: Records, where: Any, **options: Any) -> list[str]:
    return [one["id"] for one in await records.find(where, **{"by": "made", "descending": False, **options})]


async def test_documents_are_found_sorted_and_paged(records: Records) -> None:
    for number in range(7):
        document = {"id": str(number), "made": float(number), "status": "odd" if number % 2 else "even"}
        assert await records.add(str(number), {**document, "metadata": {"third": number % 3, "deep": {"n": [number]}}})
    assert await ids(records, {}) == list("0123456")
    assert await ids(records, {}, descending=True, offset=1, limit=2) == ["5", "4"]
    assert await ids(records, {"status": "odd"}) == ["1", "3", "5"]
    assert await ids(records, {"status": "odd", "metadata": {"third": 0}}) == ["3"]
    assert await ids(records, {"metadata": {"deep": {"n": [4]}}}) == ["4"]
    assert await ids(records, {"metadata": {"third": True}}) == [], "a number is no truth value"
    assert await ids(records, {}, by="status", limit=4) == ["0", "2", "4", "6"]
    assert await ids(records, {}, also=lambda one: one["id"] > "4") == ["5", "6"]
    assert (await records.count({}), await records.count({"status": "even"})) == (7, 4)
    assert await records.count({"metadata": {"deep": {"n": [1]}}}) == 1


async def test_a_document_that_changes_leaves_its_old_lists(records: Records) -> None:
    await records.add("a", {"id": "a", "made": 1.0, "status": "new", "until": 5.0, "metadata": {"x": 1}})
    await records.put("a", {"id": "a", "made": 2.0, "status": "old", "metadata": {"y": 1}})
    assert await ids(records, {"status": "new"}) == await ids(records, {"metadata": {"x": 1}}) == []
    assert await ids(records, {"status": "old", "metadata": {"y": 1}}) == ["a"]
    assert await records.below("until", 100.0) == []
    assert await records.remove("a")
    assert not await records.remove("a")
    assert (await records.get("a"), await ids(records, {}), await records.count({"status": "old"})) == (None, [], 0)


async def test_an_id_is_taken_once(records: Records) -> None:
    await records.get("a")
    took = await asyncio.gather(*(records.add("a", {"id": "a", "made": float(number)}) for number in range(10)))
    assert sum(took) == 1


async def test_changes_at_the_same_time_all_count(records: Records) -> None:
    await records.add("a", {"id": "a", "made": 0.0})
    changes = [records.change("a", lambda one: {**one, "made": one["made"] + 1}) for _ in range(20)]
    await asyncio.gather(*changes)
    assert (await records.get("a") or {})["made"] == 20.0
    assert await records.change("nobody", lambda one: one) is None


async def test_names_and_values_may_be_anything(records: Records) -> None:
    odd = {"{}*?[\\]": "a\nb\tc", "\ud800": "\ud800", "": "", "long": "x" * 10_000, "%": "%41"}
    await records.add("a{b}*", {"id": "a", "made": 1.0, "metadata": odd})
    for name, value in odd.items():
        assert await ids(records, {"metadata": {name: value}}) == ["a"], name
    assert await ids(records, {"metadata": {"%": "A"}}) == []


# ---------------------------------------------------------------- journal


async def test_a_journal_is_read_on_from_anywhere(link: Link, prefix: str) -> None:
    journal = Journal(link, prefix)
    events = [Event(number, "said", str(number).encode()) for number in range(1, 1201)]
    await journal.append("run", events[:700])
    await journal.append("run", events[500:])  # again, as after an answer that was lost
    heard: list[Event] = []
    while page := await journal.read("run", heard[-1].number if heard else 0):
        heard += page
    assert heard == events
    assert await journal.last("run") == 1200
    assert [one.number for one in await journal.read("run", 1198)] == [1199, 1200]
    await journal.remove("run")
    assert (await journal.read("run"), await journal.last("run")) == ([], 0)


async def test_a_journal_goes_after_its_time(link: Link, prefix: str) -> None:
    journal = Journal(link, prefix, ttl=0.05)
    await journal.append("run", [Event(1, "said", b"1")])
    await asyncio.sleep(0.2)
    assert await journal.read("run") == []


# ---------------------------------------------------------------- line


async def test_runs_stand_in_line(link: Link, prefix: str) -> None:
    line = Line(link, prefix)
    assert await line.enter("t", "1") == []
    assert await line.enter("t", "2") == ["1"]
    assert await line.enter("t", "2") == ["1"], "entered twice, it stands there once"
    assert await line.enter("t", "3", only_if_free=True) is None
    assert await line.waiting("t") == ["1", "2"]
    await line.leave("t", "1")
    assert await line.before("t", "2") == []
    assert await line.before("t", "nobody") == []


async def test_of_many_at_once_one_enters_an_empty_line(link: Link, prefix: str) -> None:
    line = Line(link, prefix)
    await line.waiting("t")  # redis-py's cluster client must have connected before many use it at once
    took = await asyncio.gather(*(line.enter("t", str(number), only_if_free=True) for number in range(20)))
    assert took.count([]) == 1


async def test_servers_show_that_they_live_and_runs_are_asked_to_stop(link: Link, prefix: str) -> None:
    line = Line(link, prefix)
    await line.show_life("a", 60)
    await line.show_life("b", 0.05)
    await asyncio.sleep(0.2)
    assert (await line.lives("a"), await line.lives("b")) == (True, False)
    await line.say_farewell("a")
    assert not await line.lives("a")
    await line.ask_to_stop("run", "rollback")
    assert await line.stops() == {"run": "rollback"}
    await line.stopped("run")
    assert await line.stops() == {}


# ---------------------------------------------------------------- store


async def test_items_are_kept_by_namespace_and_key(link: Link, prefix: str) -> None:
    store = RedisStore(link, prefix=prefix)
    places = [("a",), ("a", "b"), ("a", "bc"), ("a", "b", "c"), ("x", "b")]
    for number, place in enumerate(places):
        await store.aput(place, "k", {"number": number, "deep": {"even": number % 2 == 0}})
    found = await store.aget(("a", "b"), "k")
    assert found is not None
    assert (found.value["number"], found.namespace, found.key) == (1, ("a", "b"), "k")

    async def numbers(*prefix_: str, **options: Any) -> list[int]:
        return [one.value["number"] for one in await store.asearch(prefix_, **options)]

    assert sorted(await numbers("a", "b")) == [1, 3]
    assert sorted(await numbers("a")) == [0, 1, 2, 3]
    assert sorted(await numbers()) == [0, 1, 2, 3, 4]
    assert sorted(await numbers(filter={"deep": {"even": True}})) == [0, 2, 4]
    assert sorted(await numbers(filter={"number": {"$gt": 1, "$lt": 4}})) == [2, 3]
    assert await numbers(filter={"number": {"$ne": 4}}, limit=2, offset=3) == (await numbers())[3:4]
    assert await store.alist_namespaces() == sorted(places)
    assert await store.alist_namespaces(prefix=("a", "*"), max_depth=2) == [("a", "b"), ("a", "bc")]
    assert await store.alist_namespaces(suffix=("b",)) == [("a", "b"), ("x", "b")]
    await store.adelete(("a", "b"), "k")
    assert await store.aget(("a", "b"), "k") is None
    assert ("a", "b") not in await store.alist_namespaces()


async def test_items_live_as_long_as_they_are_to(link: Link, prefix: str) -> None:
    store = RedisStore(link, prefix=prefix)
    await store.aput(("t",), "brief", {"n": 1}, ttl=0.1 / 60)
    await store.aput(("t",), "read", {"n": 2}, ttl=2 / 60)
    await store.aput(("t",), "kept", {"n": 3})
    await asyncio.sleep(0.3)
    assert [item.key for item in await store.asearch(("t",))] == ["kept", "read"]
    assert await store.aget(("t",), "brief") is None
    await store.aput(("t",), "only", {"n": 1}, ttl=0.05 / 60)
    await store.aput(("t",), "only", {"n": 2})  # now for good
    await asyncio.sleep(0.2)
    assert (await store.aget(("t",), "only")).value == {"n": 2}  # type: ignore[union-attr]


async def test_more_items_than_a_page_are_all_found(link: Link, prefix: str) -> None:
    store = RedisStore(link, prefix=prefix)
    await store.abatch([PutOp(("many", str(number % 7)), f"k{number:04}", {"n": number}) for number in range(450)])
    assert len(await store.asearch(("many",), limit=1000)) == 450
    assert len(await store.asearch(("many",), limit=1000, offset=440)) == 10


async def test_odd_names_are_names(link: Link, prefix: str) -> None:
    store = RedisStore(link, prefix=prefix)
    for label in ("{x}", "a b", "ü\n", "*", "100%"):
        await store.aput((label, label), label, {"label": label})
        assert [one.value for one in await store.asearch((label,))] == [{"label": label}]
    with pytest.raises(InvalidNamespaceError):
        await store.abatch([PutOp(("a.b",), "k", {})])


def test_the_store_works_without_an_event_loop(one: Any, prefix: str) -> None:
    link = Link(f"redis://127.0.0.1:{one.port}")
    store = RedisStore(link, prefix=prefix)
    store.put(("a",), "k", {"n": 1})
    assert [item.value for item in store.search(("a",))] == [{"n": 1}]
    store.delete(("a",), "k")
    assert store.list_namespaces() == []
    link.close()
