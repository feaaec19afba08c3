"""Who may ask, and how much: the layer between the log and the endpoints.

host, origin    while there is no key: pages of other sites must not reach a server on loopback through a browser
key             Authorization: Bearer, or x-api-key
body            its size and its time; JSON is checked once, strictly, so that no endpoint meets what cannot be written
time            until the answer begins; what a stream may take is the run's own limit
"""

import asyncio
import json
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from pydantic_core import from_json
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from octopus_graph_server import logs, problems
from octopus_graph_server.keys import ApiKeys
from octopus_graph_server.problems import (
    BadRequestError,
    ForbiddenError,
    RefusedError,
    TimedOutError,
    TooLargeError,
    UnauthorizedError,
)
from octopus_graph_server.settings import ServerSettings

__all__ = ["OPEN_PATHS", "OWN_PAGES", "Guard"]

OPEN_PATHS = frozenset({"/ok", "/health/live", "/health/ready"})
"""Asked by probes, which have no key."""
OWN_PAGES = re.compile(r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?")
"""Pages of this machine."""
BODY_SECONDS = 30.0
AFTER_RUNS = 1.0
"""Seconds a request may go on when its run's time is over: the run says better what was too long."""
LARGE = 256 * 1024
"""Bytes from which a body is checked in a thread: the event loop has others to serve."""
_INFINITE = re.compile(rb"\d[eE]\+?\d{3}")


class Guard:
    """Lets through what may pass."""

    def __init__(self, app: ASGIApp, settings: ServerSettings) -> None:
        """Wraps an app."""
        self._app = app
        self._settings = settings
        self._keys = ApiKeys(settings.key_hashes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Checks a request and passes it on, or says why not."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            headers = Headers(scope=scope)
            await self._check_sender(scope["path"], headers)
            body = await self._body(headers, receive)
            if body and _may_be_json(headers.get("content-type", "")):
                await self._check_json(body)
                MutableHeaders(scope=scope)["content-type"] = "application/json"  # Studio sends it as text/plain
        except RefusedError as error:
            await problems.answer(error, scope["path"], logs.trace().request_id)(scope, receive, send)
            return
        await self._timed(scope, _replay(body, receive), send)

    async def _check_sender(self, path: str, headers: Headers) -> None:
        if self._keys:
            if path not in OPEN_PATHS and not await self._keys.accept(_key(headers)):
                raise UnauthorizedError(
                    "This server needs an API key: send it as Authorization: Bearer KEY or as x-api-key.",
                    headers={"www-authenticate": "Bearer"},
                )
            return
        host = headers.get("host", "")
        if "*" not in self._settings.hosts and _name(host) not in self._settings.hosts:
            raise ForbiddenError("This server does not answer to that host name: see its option --host-name.")
        origin = headers.get("origin")
        if origin and not _allowed(origin, host, self._settings.origins):
            raise ForbiddenError("Pages of that origin may not ask this server: see its option --origin.")

    async def _body(self, headers: Headers, receive: Receive) -> bytes:
        most = self._settings.max_body
        too_large = TooLargeError(f"The body is larger than the {most} bytes this server takes: send less.")
        length = headers.get("content-length", "0")
        if length.isdigit() and int(length) > most:
            raise too_large
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(BODY_SECONDS):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise BadRequestError("The connection ended before the body did.")
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    if size > most:
                        raise too_large
                    if not message.get("more_body", False):
                        return b"".join(parts)
        except TimeoutError:
            raise TimedOutError(f"The body did not come within {BODY_SECONDS:g} s: send it faster.") from None

    async def _check_json(self, body: bytes) -> None:
        if len(body) < LARGE:
            check_json(body, self._settings.max_depth)
        else:
            await asyncio.to_thread(check_json, body, self._settings.max_depth)

    async def _timed(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = False

        async def begin(message: Message) -> None:
            nonlocal began
            if not began:
                began = True
                limit.reschedule(None)
            await send(message)

        try:
            async with asyncio.timeout(self._settings.max_seconds + AFTER_RUNS) as limit:
                await self._app(scope, receive, begin)
        except TimeoutError as error:
            if began:
                raise
            await problems.answer(error, scope["path"], logs.trace().request_id)(scope, receive, send)


def check_json(body: bytes, max_depth: int) -> None:
    """Refuses what is no JSON, is nested too deep, or could not be written down again.

    Python's own reader takes NaN, lone surrogates and numbers without end, and fails later, in the middle of an answer.

    Raises:
        BadRequestError: If it is.
    """
    shallow = body.count(b"[") + body.count(b"{") <= max_depth
    if not shallow and _depth(body, max_depth) > max_depth:
        raise BadRequestError(f"The JSON is nested deeper than {max_depth} levels: flatten it.")
    try:
        value = from_json(body, allow_inf_nan=False, cache_strings=False)
        if _INFINITE.search(body):
            json.dumps(value, allow_nan=False)  # 1e999 reads as infinity
    except ValueError as error:
        raise BadRequestError(f"The body is not JSON: {str(error)[:200]}.") from None


_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_BRACKET = re.compile(rb"[\[\]{}]")


def _depth(body: bytes, enough: int) -> int:
    """Counts how deep brackets stand in each other; stops when it is deep enough."""
    depth = deepest = 0
    for bracket in _BRACKET.finditer(_STRING.sub(b"", body)):
        if bracket[0] in b"[{":
            depth += 1
            deepest = max(deepest, depth)
            if deepest > enough:
                break
        else:
            depth -= 1
    return deepest


def _may_be_json(content_type: str) -> bool:
    kind = content_type.partition(";")[0].strip().lower()
    return kind in ("", "text/plain") or kind.endswith(("/json", "+json"))


def _key(headers: Headers) -> str:
    scheme, _, value = headers.get("authorization", "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")


def _name(host: str) -> str:
    """Takes the port off a Host header; an IPv6 address keeps its brackets."""
    return re.sub(r":\d*$", "", host).lower()


def _allowed(origin: str, host: str, origins: Iterable[str]) -> bool:
    allowed: Any = origins
    return bool(OWN_PAGES.fullmatch(origin)) or origin in allowed or "*" in allowed or urlsplit(origin).netloc == host


def _replay(body: bytes, receive: Receive) -> Receive:
    """Gives the body that was read once more; after it, the connection's own messages."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
