"""Bytes that are no decent HTTP, sent by hand: refused or cut off, and the server neither dies nor grows."""

import json
import re
import socket
import threading
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from octopus_graph_server.bounds import HEAD, BoundedProtocol

pytestmark = pytest.mark.integration

GET = b"GET /health/live HTTP/1.1\r\nhost: 127.0.0.1\r\n"
POST = b"POST /route HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
BODY = json.dumps({"query": "the derivative"}).encode()
CHUNKED = POST + b"transfer-encoding: chunked\r\n\r\n"


def told(url: str, parts: Iterable[bytes]) -> bytes:
    """Sends what is taken, and gives all that comes back until the server closes."""
    host, port = url.removeprefix("http://").split(":")
    got = b""
    with closing(socket.create_connection((host, int(port)), timeout=30)) as line:
        try:
            for part in parts:
                line.sendall(part)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it has heard enough; what it said may still be read
        try:
            while data := line.recv(65536):
                got += data
        except ConnectionResetError:
            pass
    return got


def statuses(got: bytes) -> list[int]:
    return [int(one) for one in re.findall(rb"HTTP/1\.1 (\d{3})", got)]


def memory(server: Any) -> int:
    """Returns the megabytes of a process."""
    return int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1]) * 4 // 1024


HEADS: dict[str, Callable[[], Iterable[bytes]]] = {
    "100 headers of 64 KB": lambda: [GET, *(b"x-%d: " % one + b"a" * 65536 + b"\r\n" for one in range(100)), b"\r\n"],
    "one header of 1 MB": lambda: [GET + b"x: " + b"a" * 2**20 + b"\r\n\r\n"],
    "one header without end": lambda: [GET + b"x: ", *[b"a" * 2**20] * 64],
    "headers without end": lambda: [GET, *[b"x: " + b"a" * 60000 + b"\r\n"] * 1000],
    "100,000 small headers": lambda: [GET, b"x: a\r\n" * 100_000, b"\r\n"],
    "a target of 1 MB": lambda: [b"GET /" + b"a" * 2**20 + b" HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"],
}


@pytest.mark.parametrize("head", HEADS)
def test_a_head_that_is_too_large_is_refused_and_not_kept(server: Any, head: str) -> None:
    before = memory(server)
    answers = [told(server.url, HEADS[head]()) for _ in range(3)]
    assert all(code == 400 for answer in answers for code in statuses(answer)), answers[0][:300]
    assert memory(server) - before < 20
    assert statuses(told(server.url, [GET + b"connection: close\r\n\r\n"])) == [200]


def test_a_head_as_large_as_it_may_be_is_read(server: Any) -> None:
    large = b"x: " + b"a" * (HEAD - 500) + b"\r\n"
    assert statuses(told(server.url, [GET + large + b"connection: close\r\n\r\n"])) == [200]


BODIES = {
    "a chunk of no size": CHUNKED + b"zz\r\nhello\r\n0\r\n\r\n",
    "a chunk below zero": CHUNKED + b"-5\r\nhello\r\n0\r\n\r\n",
    "a chunk of all the world": CHUNKED + b"f" * 18 + b"\r\nhello\r\n0\r\n\r\n",
    "a chunk that is longer than it says": CHUNKED + b"2\r\nhello\r\n0\r\n\r\n",
    "a length below zero": POST + b"content-length: -1\r\n\r\n" + BODY,
    "a length in words": POST + b"content-length: abc\r\n\r\n" + BODY,
    "a length beyond numbers": POST + b"content-length: " + b"9" * 30 + b"\r\n\r\n" + BODY,
    "two lengths": POST + b"content-length: 5\r\ncontent-length: 27\r\n\r\n" + BODY,
    "a length and chunks": POST + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "a length that is too short": POST + b"content-length: 10\r\n\r\n" + BODY,
    "a length above what is taken": POST + b"content-length: 99999999\r\nconnection: close\r\n\r\n" + BODY,
    "no HTTP": b"\x16\x03\x01\x02\x00\x01" + b"\x00" * 100 + b"\r\n\r\n",
}


@pytest.mark.parametrize("body", BODIES)
def test_a_body_that_lies_is_refused(server: Any, body: str) -> None:
    codes = statuses(told(server.url, [BODIES[body]]))
    assert codes
    assert all(400 <= code < 500 for code in codes)
    assert statuses(told(server.url, [GET + b"connection: close\r\n\r\n"])) == [200]


def test_requests_in_one_go_are_answered_in_order(server: Any) -> None:
    asked = (GET + b"\r\n") * 50 + b"GET /nowhere HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n"
    assert statuses(told(server.url, [asked])) == [200] * 50 + [404]


@pytest.fixture(scope="module")
def hasty() -> Generator[str]:
    """A server that waits a moment for headers, and for bodies as long as they take."""

    class Hasty(BoundedProtocol):
        seconds = 0.5

    async def app(scope: Any, receive: Any, send: Any) -> None:
        message = {"more_body": True}
        while message.get("more_body"):
            message = await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"fine"})

    server = uvicorn.Server(uvicorn.Config(app, port=0, http=Hasty, lifespan="off", log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        thread.join(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


def slowly(*parts: bytes) -> Iterable[bytes]:
    for part in parts:
        yield part
        threading.Event().wait(0.2)


def test_headers_that_never_end_are_cut_off(hasty: str) -> None:
    assert told(hasty, slowly(GET, *[b"x: y\r\n"] * 20)) == b""
    assert told(hasty, []) == b"", "neither is a connection kept that says nothing"
    first = GET + b"\r\n"
    assert statuses(told(hasty, slowly(first, GET, *[b"x: y\r\n"] * 20))) == [200], "nor on its second request"


def test_a_body_may_take_longer_than_its_head(hasty: str) -> None:
    parts = [POST + b"connection: close\r\ncontent-length: 5\r\n\r\n", *[b"a"] * 5]
    assert statuses(told(hasty, slowly(*parts))) == [200]
