"""Keys and limits, as each API's own clients read them; and clients that go away."""

import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import httpx2
import openai
import pytest
from a2a.client import A2ACardResolver
from a2a.client.errors import AgentCardResolutionError
from loopback import serving
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from openai import OpenAI
from talking import Talking, TalkingChat

from octopus_graph.experts import Expert
from octopus_graph_server import ServerSettings, create_app
from octopus_graph_server.keys import new_key

pytestmark = pytest.mark.integration

HELLO: Any = {"model": "octopus", "messages": [{"role": "user", "content": "the derivative"}]}


class Slow(TalkingChat):
    """Says a word, then waits until it may go on."""

    may: Any = None

    def _chunks(self, messages: Any, stop: Any, kwargs: Any) -> Iterator[Any]:
        first, *rest = super()._chunks(messages, stop, kwargs)
        yield first
        assert self.may.wait(60)
        yield from rest


@contextmanager
def server(talking: Talking, **settings: Any) -> Generator[tuple[str, Any]]:
    app = create_app(talking.graph, router=talking.router, experts=talking.experts, settings=ServerSettings(**settings))
    with serving(app) as url:
        yield url, app.state.service


def client_of(url: str, key: str = "none") -> OpenAI:
    return OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)


async def test_without_its_key_nobody_is_answered() -> None:
    key, hashed = new_key()
    with server(Talking(), key_hashes=(hashed,)) as (url, _):
        with client_of(url, "wrong") as client, pytest.raises(openai.AuthenticationError) as error:
            client.chat.completions.create(**HELLO)
        assert error.value.code == "invalid_api_key"
        with client_of(url, key) as client:
            assert client.chat.completions.create(**HELLO).choices[0].message.content == "[math] the derivative"
        async with httpx.AsyncClient() as plain:
            assert (await plain.post(f"{url}/route", json={"request": "x"})).status_code == 401
            assert (await plain.post(f"{url}/mcp", json={})).status_code == 401
            assert (await plain.post(f"{url}/a2a", json={})).status_code == 401
            with pytest.raises(AgentCardResolutionError):
                await A2ACardResolver(plain, url).get_agent_card()
        async with httpx.AsyncClient(headers={"authorization": f"Bearer {key}"}) as known:
            card = await A2ACardResolver(known, url).get_agent_card()
            assert card.security_schemes["bearer"].http_auth_security_scheme.scheme == "bearer"
        async with (
            httpx2.AsyncClient(headers={"authorization": f"Bearer {key}"}, timeout=30) as known,
            Client(streamable_http_client(f"{url}/mcp", http_client=known)) as tools,
        ):
            assert (await tools.call_tool("law", {"query": "hello"})).is_error is False


def test_what_is_too_long_is_refused() -> None:
    with server(Talking(), max_prompt=100, max_body=10_000) as (url, _), client_of(url) as client:
        for size in (101, 10_001):
            long: Any = [{"role": "user", "content": "x" * size}]
            with pytest.raises(openai.APIStatusError) as error:
                client.chat.completions.create(model="octopus", messages=long)
            assert error.value.status_code == 413
            with pytest.raises(openai.APIStatusError) as error:
                client.responses.create(model="octopus", input="x" * size)
            assert error.value.status_code == 413


@pytest.fixture
def slow() -> Talking:
    """A graph whose math waits in the middle of its answer."""
    model = Slow(voice="math", may=threading.Event())
    expert = Expert("math", "Knows math, slowly", model)
    return Talking(replaced={"math": expert})


def test_a_client_that_goes_away_frees_its_place(slow: Talking) -> None:
    model = model_of(slow)
    with server(slow, max_runs=1) as (url, service), client_of(url) as client:
        stream = client.chat.completions.create(**HELLO, stream=True)
        words = (chunk.choices[0].delta.content for chunk in stream)
        assert [next(words), next(words)] == ["", "[math] "]
        with pytest.raises(openai.RateLimitError) as error:
            client.chat.completions.create(model="law", messages=HELLO["messages"])
        assert error.value.response.headers["retry-after"] == "1"
        stream.close()
        model.may.set()
        for _ in range(600):
            if service.runs.going == 0:
                break
            threading.Event().wait(0.05)
        answer = client.chat.completions.create(model="law", messages=HELLO["messages"])
        assert answer.choices[0].message.content == "[law] the derivative"


def test_a_run_that_takes_too_long_is_ended_in_the_stream_too(slow: Talking) -> None:
    with server(slow, max_seconds=0.5) as (url, _), client_of(url) as client:
        with pytest.raises(openai.InternalServerError) as error:
            client.chat.completions.create(**HELLO)
        assert error.value.status_code == 504
        with pytest.raises(openai.APIError, match="longer"):
            list(client.chat.completions.create(**HELLO, stream=True))
        model_of(slow).may.set()  # a thread cannot be ended: the server would wait for it


def model_of(slow: Talking) -> Any:
    return next(expert.runnable for expert in slow.experts if expert.name == "math")
