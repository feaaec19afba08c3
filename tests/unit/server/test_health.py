"""Liveness and readiness."""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI

from octopus_graph.errors import StoreError
from octopus_graph_server.service import Service


async def test_a_started_server_is_alive_and_ready(make_app: Callable[..., FastAPI], opened: Any) -> None:
    async with opened(make_app()) as client:
        assert (await client.get("/health/live")).json() == {"status": "alive"}
        response = await client.get("/health/ready")
    assert response.status_code == 200
    assert response.json() == {"ready": True, "checks": {"router": "ok", "store": "ok", "stopping": "ok"}}


async def test_a_server_whose_store_is_gone_is_not_ready(make_app: Callable[..., FastAPI], opened: Any) -> None:
    app = make_app()
    service: Service = app.state.service

    async def gone(config: Any) -> None:
        raise StoreError("redis://user:password@host is gone")

    async with opened(app) as client:
        service.saver.aget_tuple = gone  # type: ignore[union-attr, method-assign]
        response = await client.get("/health/ready")
        assert (await client.get("/health/live")).status_code == 200
    assert response.status_code == 503
    assert response.json()["checks"]["store"] == "does not answer (StoreError)"
    assert "password" not in response.text


async def test_a_server_that_is_stopping_is_not_ready(make_app: Callable[..., FastAPI], opened: Any) -> None:
    app = make_app()
    async with opened(app) as client:
        app.state.service.runs.stopping = True
        response = await client.get("/health/ready")
    assert response.status_code == 503
    assert response.json()["checks"]["stopping"] == "stopping"
