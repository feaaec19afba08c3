"""The talking graph behind a real server on loopback, once for all clients."""

import sys
from collections.abc import Generator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from loopback import serving
from talking import Talking

from octopus_graph_server import create_app


@pytest.fixture(scope="session")
def talking() -> Talking:
    return Talking()


@pytest.fixture(scope="session")
def url(talking: Talking) -> Generator[str]:
    app = create_app(talking.graph, router=talking.router, experts=talking.experts)
    with serving(app) as url:
        yield url


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
