"""Webhooks: called when a run ends, signed, and only where the settings allow it."""

import asyncio
import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable, Generator
from http.server import BaseHTTPRequestHandler, HTTPServer
from queue import Queue
from typing import Any

import pytest
from langgraph_sdk import get_client
from langgraph_sdk.errors import UnprocessableEntityError

pytestmark = pytest.mark.integration

SECRET = "a secret of the tests"


class Receiver:
    """A server that takes webhooks, and fails at first if it is told to."""

    def __init__(self) -> None:
        self.got: Queue[tuple[dict[str, str], bytes]] = Queue()
        self.failures = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                outer.failures -= 1
                self.send_response(503 if outer.failures >= 0 else 200)
                self.end_headers()
                outer.got.put(({key.lower(): value for key, value in self.headers.items()}, body))

            def log_message(self, *_: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook?from=octopus"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def receiver() -> Generator[Receiver]:
    found = Receiver()
    yield found
    found.server.shutdown()
    found.server.server_close()


@pytest.fixture(scope="module")
def calling(start_probe: Callable[..., Any]) -> Any:
    """A server that may call webhooks on loopback."""
    return start_probe(webhook_hosts=["127.0.0.1"], webhook_secret=SECRET, webhook_private=True)


async def test_a_webhook_is_called_signed_and_again_until_it_is_taken(
    calling: Any, receiver: Receiver, say: Callable[[str], Any]
) -> None:
    receiver.failures = 1
    async with get_client(url=calling.url, api_key=None) as client:
        await client.runs.wait(None, "octopus", input=say("hi"), webhook=receiver.url, metadata={"mine": True})
        for _ in range(2):
            headers, body = await asyncio.to_thread(receiver.got.get, timeout=30)
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.digest(SECRET.encode(), signed, hashlib.sha256)).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 60
    told = json.loads(body)
    assert (told["status"], told["run_id"], told["metadata"]) == ("success", headers["webhook-id"], {"mine": True})
    assert told["values"]["messages"][-1]["content"] == "you said: hi"


async def test_a_failed_run_is_told_as_well(calling: Any, receiver: Receiver, say: Callable[[str], Any]) -> None:
    async with get_client(url=calling.url, api_key=None) as client:
        await client.runs.wait(None, "octopus", input=say("fail"), webhook=receiver.url, raise_error=False)
        told = json.loads((await asyncio.to_thread(receiver.got.get, timeout=30))[1])
    assert (told["status"], told["error"]["error"]) == ("error", "InternalError")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://127.0.0.2/hook", "webhook_hosts"),
        ("ftp://127.0.0.1/hook", "https://"),
        ("http://127.0.0.1:99999/hook", "not a URL"),
        ("file:///etc/passwd", "https://"),
        ("http://127.0.0.1@example.com/", "webhook_hosts"),
    ],
)
async def test_other_addresses_are_refused_before_the_run(
    calling: Any, say: Callable[[str], Any], url: str, why: str
) -> None:
    async with get_client(url=calling.url, api_key=None) as client:
        with pytest.raises(UnprocessableEntityError, match=why):
            await client.runs.create(None, "octopus", input=say("hi"), webhook=url)
