"""Bounds that uvicorn leaves to whoever stands before it: how much may come, and for how long, before a request begins.

uvicorn on httptools keeps the headers of a request until they end, however many come and however slowly. Here a
request whose head is too large is answered with 400, and one whose head does not end is cut off.
"""

import asyncio

from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["BoundedProtocol"]

HEAD = 64 * 1024
"""Bytes of a request before its body: its target and all its headers."""
SECONDS = 20.0
"""Seconds from the first moment of a connection, or of a further request on it, to the end of the headers."""


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, but for the bounds.

    Attributes:
        seconds: How long a head may take.
    """

    seconds = SECONDS
    _waiting: asyncio.TimerHandle | None = None
    _read = 0  # bytes that came while the headers were not complete
    _size = 0  # of the headers themselves

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._begin()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._end()
        super().connection_lost(exc)

    @override
    def data_received(self, data: bytes) -> None:
        if self._waiting is not None:
            self._read += len(data)
        super().data_received(data)
        if self._waiting is not None and self._read > HEAD and not self.transport.is_closing():
            self._end()
            self.send_400_response(f"The headers of a request have at most {HEAD} bytes here.")

    @override
    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._begin()

    @override
    def on_header(self, name: bytes, value: bytes) -> None:
        self._size += len(name) + len(value) + 4
        if self._size > HEAD:
            raise ValueError("too many headers")  # which the parser makes an error of, and uvicorn a 400
        super().on_header(name, value)

    @override
    def on_headers_complete(self) -> None:
        self._end()
        super().on_headers_complete()

    def _begin(self) -> None:
        self._read = self._size = 0
        if self._waiting is None:
            self._waiting = self.loop.call_later(self.seconds, self._late)

    def _end(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _late(self) -> None:
        self._waiting = None
        if not self.transport.is_closing():
            self.transport.close()
