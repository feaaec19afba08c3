"""What docs/persistence.md shows is run here."""

import re
from pathlib import Path
from typing import Any

import pytest
from langgraph.graph import START, MessagesState, StateGraph

pytestmark = pytest.mark.integration


def test_the_saver_alone_keeps_the_thread_of_any_graph(one: Any, root: Path) -> None:
    page = (root / "docs" / "persistence.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    assert "redis://localhost:6379" in code
    builder: Any = StateGraph(MessagesState)
    builder.add_node("say", lambda _: {"messages": [("ai", "hello yourself")]})
    builder.add_edge(START, "say")
    names: dict[str, Any] = {"builder": builder}

    for turns in (1, 2):
        exec(code.replace("localhost:6379", f"127.0.0.1:{one.port}"), names)
        with one.client() as client:
            assert 0 < client.ttl("octopus:{ada}:i") <= 7 * 86_400
        with names["RedisSaver"](f"redis://127.0.0.1:{one.port}") as saver:
            found = saver.get_tuple({"configurable": {"thread_id": "ada"}})
        assert len(found.checkpoint["channel_values"]["messages"]) == 2 * turns
