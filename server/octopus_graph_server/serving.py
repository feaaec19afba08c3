"""A server process: uvicorn around an app, and an orderly end.

SIGTERM, SIGINT    readiness turns 503; load balancers that have not noticed are still answered
+ linger           no run begins any more; what runs may finish, then the process ends with 0
+ grace            what still runs is cancelled; what cannot be, ends with the process, which then says 1
a second signal    ends at once
"""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import threading
from collections.abc import Generator
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI
from typing_extensions import override

from octopus_graph.errors import ConfigurationError, OctopusError
from octopus_graph_server import logs
from octopus_graph_server.service import Service
from octopus_graph_server.settings import ServerSettings

__all__ = ["LOOPBACK", "check_address", "serve"]

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})

LAST = 10.0
"""Seconds from the end of the grace period to the end of the process, come what may."""


class StartError(OctopusError):
    """The server could not start."""


def check_address(host: str, settings: ServerSettings, *, insecure: bool) -> None:
    """Refuses to be reached from elsewhere without a key.

    Raises:
        ConfigurationError: If it would be.
    """
    if host not in LOOPBACK and not settings.key_hashes and not insecure:
        raise ConfigurationError(
            f"Anybody who reaches {host} could use this server: give it --api-key-file (octopus-graph keys new makes a"
            " key), or say --insecure if that is meant."
        )


def serve(app: FastAPI, host: str, port: int) -> None:
    """Serves an app until a signal ends it.

    Raises:
        StartError: If the app does not start or the address is taken.
    """
    logs.configure()
    service: Service = app.state.service
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=_protocol(),
        access_log=False,  # the app writes a line of its own for each request
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=1,  # the grace period is over by then
    )
    logging.getLogger("uvicorn.error").addHandler(_Lines())
    logging.getLogger("uvicorn.error").propagate = False
    try:
        _Server(config, service).run()
    except SystemExit:
        raise StartError(f"The server did not start on {host} port {port}: the log above says why.") from None


def _protocol() -> Any:
    """Returns the protocol with bounds; without httptools, as on Windows, uvicorn's other one has bounds of its own."""
    if find_spec("httptools") is None:
        return "h11"
    from octopus_graph_server.bounds import BoundedProtocol

    return BoundedProtocol


class _Server(uvicorn.Server):
    """uvicorn, but for its end."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: list[asyncio.Task[None]] = []

    @override
    async def startup(self, sockets: object = None) -> None:
        await super().startup()
        # What is there by now stays to the end: looking through it again and again would hold up requests.
        gc.collect()
        gc.freeze()
        addresses = [socket.getsockname() for server in self.servers for socket in server.sockets]
        logs.log().info("listening", addresses=[f"{address[0]}:{address[1]}" for address in addresses])

    @override
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Takes the signals. uvicorn's own way would raise them again at the end, and so end with an error code."""
        self._loop = asyncio.get_running_loop()
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @override
    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        del frame
        if self._service.runs.stopping:
            self.force_exit = self.should_exit = True
            return
        runs = self._service.runs
        runs.stopping = True
        logs.log().info("stopping", signal=signal.Signals(sig).name, runs=runs.going)
        if self._loop:
            self._loop.call_soon_threadsafe(lambda: self._tasks.append(asyncio.create_task(self._finish())))

    async def _finish(self) -> None:
        runs = self._service.runs
        await asyncio.sleep(self._service.settings.linger)
        runs.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(runs.ended(), self._service.settings.grace)
        self.should_exit = True
        left = runs.left(self._service.settings.grace)  # for what nobody counts as a run, such as webhooks
        last = threading.Timer(left + LAST, self._give_up, [asyncio.all_tasks()])
        last.daemon = True
        last.start()

    def _give_up(self, tasks: set[asyncio.Task[Any]]) -> None:
        """Ends the process where something swallowed its cancellation, and says where it hangs."""
        stacks = [task.get_stack(limit=1) for task in tasks if not task.done()]
        places = [f"{Path(top.f_code.co_filename).name}:{top.f_lineno}" for stack in stacks for top in stack]
        logs.log().error("could not stop", where=sorted(places))
        os._exit(1)


class _Lines(logging.Handler):
    """Writes uvicorn's warnings and errors as lines of ours. Tracebacks stay out: they may quote a request."""

    @override
    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.WARNING:
            logs.log().warning("uvicorn", said=record.getMessage().partition("\n")[0])
