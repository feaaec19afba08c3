"""Names of keys and fields: any text goes in and comes back, and none can be taken for a part of the layout."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.serde.types import INTERRUPT
from redis.crc import key_slot

from octopus_graph.persistence.layout import Values, index_key, named, place_of, quoted, thread_keys, thread_of

NAMES = st.text(st.characters(exclude_categories=["Cs"])) | st.text("{}%\t\n*?[]\\a:|")


@given(NAMES)
def test_a_name_comes_back_and_holds_nothing_of_the_layout(name: str) -> None:
    assert named(quoted(name)) == named(quoted(name).encode()) == name
    assert not set(quoted(name)) & set("\t\n{}*?[]\\")
    assert quoted(name).isascii()


@given(NAMES, NAMES)
def test_all_keys_of_a_thread_lie_in_one_slot(prefix: str, thread: str) -> None:
    index = index_key(prefix, thread)
    assert thread_of(index.encode()) == thread
    assert index.count("{") == index.count("}") == 1
    assert "{}" not in index
    slots = {key_slot(key.encode()) for key in (index, index[:-1] + "cspace\tid", index[:-1] + "bspace")}
    assert len(slots) == 1
    assert thread_keys(prefix).replace("*", quoted(thread) or "%") == index


@given(st.lists(NAMES, min_size=2, max_size=2, unique=True))
def test_two_threads_have_two_keys(threads: list[str]) -> None:
    one, other = (index_key("p", thread) for thread in threads)
    assert one != other


@pytest.mark.parametrize(
    ("configurable", "space", "id"),
    [
        ({"thread_id": 7}, "", ""),
        ({"thread_id": "7", "checkpoint_ns": "a:1|b:2", "checkpoint_id": "x"}, "a:1|b:2", "x"),
        ({"thread_id": "7", "checkpoint_ns": None, "checkpoint_id": None}, "", ""),
    ],
)
def test_what_a_config_points_at(configurable: dict[str, Any], space: str, id: str) -> None:  # noqa: A002
    place = place_of({"configurable": configurable})
    assert (place.thread, place.space, place.id) == ("7", space, id)


VALUES = Values(JsonPlusSerializer(allowed_msgpack_modules=None))


@given(st.recursive(st.none() | st.binary() | st.text(st.characters(exclude_categories=["Cs"])), st.lists))
def test_values_come_back(value: Any) -> None:
    assert VALUES.load(VALUES.dump(value)) == value


def test_writes_come_back_in_the_order_of_their_tasks() -> None:
    fields: list[tuple[bytes, bytes]] = [(b"c", b"no write")]
    for task, path in (("b", "~2"), ("a", "~3"), ("c", "~1"), ("z", "")):
        arguments = VALUES.dump_writes([("x", f"{task}0"), (INTERRUPT, "?"), ("x\n\t", f"{task}2")], task, path)
        for field, data, once in zip(arguments[::3], arguments[1::3], arguments[2::3], strict=True):
            assert isinstance(field, str)
            assert isinstance(data, bytes)
            assert once == ("0" if "-" in field else "1")
            fields.insert(0, (field.encode(), data))
    assert [(task, channel) for task, channel, _ in VALUES.load_writes(fields)] == [
        (task, channel) for task in "zcba" for channel in (INTERRUPT, "x", "x\n\t")
    ]
