"""The app other ASGI servers make for themselves."""

from dataclasses import replace
from pathlib import Path

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from starlette.testclient import TestClient

from octopus_graph.caching import GraphCache
from octopus_graph.errors import SpecError
from octopus_graph.persistence import RedisCache
from octopus_graph.spec import build_graph, building, load_spec
from octopus_graph.testing import scripted_router
from octopus_graph_server.app import create_app, from_environment
from octopus_graph_server.keys import new_key

GRAPH = """
version: 1
experts:
  math:
    description: Sums
    model: embedded
"""


def test_graph_store_and_keys_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(building, "build_router", lambda spec: scripted_router({}))
    monkeypatch.setattr(building, "_chat", lambda name, spec, router: str.upper)
    file = tmp_path / "octopus.yaml"
    file.write_text(GRAPH, encoding="utf-8")
    hashed = new_key()[1]
    monkeypatch.setenv("OCTOPUS_GRAPH", str(file))
    monkeypatch.setenv("OCTOPUS_REDIS_URL", "redis://cache:6379")
    monkeypatch.setenv("OCTOPUS_API_KEY_HASHES", hashed)
    service = from_environment().state.service
    assert list(service.experts) == ["math"]
    assert service.settings.redis == "redis://cache:6379"
    assert service.settings.key_hashes == (hashed,)


def test_a_graph_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCTOPUS_GRAPH", "missing.yaml")
    with pytest.raises(SpecError, match="missing"):
        from_environment()


def test_a_graph_files_cache_is_closed_when_the_server_stops() -> None:
    closed: list[str] = []

    class Noting(RedisCache):
        async def aclose(self) -> None:
            await super().aclose()
            closed.append("cache")

    built = build_graph(load_spec("default"), dry_run=True, router=scripted_router({}))
    kept = replace(built, cache=GraphCache(Noting("redis://127.0.0.1:1")))  # nobody listens there, and none is needed
    with TestClient(create_app(kept, saver=InMemorySaver()), base_url="http://127.0.0.1") as client:
        assert client.get("/health/live").status_code == 200
        assert not closed
    assert closed == ["cache"]
