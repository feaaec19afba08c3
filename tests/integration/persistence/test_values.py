"""What is read from Redis is rebuilt by an allow-list, and what is encrypted cannot be read there."""

import pickle
from dataclasses import dataclass
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.base import empty_checkpoint

from octopus_graph.graph import create_octopus_graph
from octopus_graph.persistence import RedisSaver, allow_list_serializer, open_saver
from octopus_graph.testing import EchoExpert, scripted_router

pytestmark = pytest.mark.integration

THREAD: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}


@dataclass
class Mine:
    number: int


def stored(saver: RedisSaver, value: Any) -> Any:
    checkpoint: Any = {**empty_checkpoint(), "channel_values": {"v": value}, "channel_versions": {"v": "1"}}
    found = saver.get_tuple(saver.put(THREAD, checkpoint, {}, {"v": "1"}))
    assert found is not None
    return found.checkpoint["channel_values"]["v"]


def test_messages_come_back_as_they_were(saver: RedisSaver) -> None:
    messages = [HumanMessage("2 + 2?", id="1"), AIMessage("4", id="2", tool_calls=[])]
    assert stored(saver, messages) == messages
    for plain in (None, b"\n\x00bytes", "", "ä\n", {1: {"a": [1.5, True]}}, {"s"}, -(2**40)):
        assert stored(saver, plain) == plain


def test_a_type_that_is_not_named_is_not_rebuilt(saver: RedisSaver, caplog: pytest.LogCaptureFixture) -> None:
    assert stored(saver, Mine(3)) == {"number": 3}
    assert "Mine" in caplog.text
    with RedisSaver(saver.link, prefix=saver._prefix, serde=allow_list_serializer([Mine])) as trusting:
        assert stored(trusting, Mine(3)) == Mine(3)


def test_pickle_is_refused(one: Any, saver: RedisSaver) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return (pytest.fail, ("it was run",))

    stored(saver, 1)
    with one.client() as client:
        client.hset(f"{saver._prefix}:{{t}}:b", "v\t1", b"pickle\n" + pickle.dumps(Evil()))
    with pytest.raises(NotImplementedError, match="pickle"):
        saver.get_tuple(THREAD)


def test_what_is_encrypted_cannot_be_read_there(one: Any) -> None:
    where = f"redis://127.0.0.1:{one.port}"
    key = b"0123456789abcdef"
    with open_saver(where, prefix="secret", key=key, ttl=60) as saver:
        assert stored(saver, "the secret") == "the secret"
        latest = saver.get_tuple(THREAD)
        assert latest is not None
        saver.put_writes(latest.config, [("w", "the secret")], "task")
        client = saver.link.client()
        everything = [fields for name in client.scan_iter("secret:*:[cb]*") for fields in client.hgetall(name).values()]
        assert len(everything) >= 4
        assert all(b"the secret" not in fields for fields in everything)
        assert sum(fields.startswith(b"msgpack+aes\n") for fields in everything) >= 3
    with open_saver(where, prefix="secret", key=b"another key 16 b") as saver, pytest.raises(ValueError, match="MAC"):
        saver.get_tuple(THREAD)


def test_a_thread_of_this_package_needs_no_further_type(saver: RedisSaver, caplog: pytest.LogCaptureFixture) -> None:
    router = scripted_router({"derivative": ["math", "law"]})
    graph: Any = create_octopus_graph([EchoExpert("math"), EchoExpert("law")], router).compile(checkpointer=saver)
    thread: Any = {"configurable": {"thread_id": "octopus"}}
    result = graph.invoke({"messages": [("user", "The derivative?")]}, thread)
    assert [hop["expert"] for hop in result["hops"]] == ["math", "law"]
    assert graph.get_state(thread).values == result
    assert "Blocked" not in caplog.text
