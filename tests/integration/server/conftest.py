"""Real server processes, started on a free port and always stopped."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

PATIENCE = 60.0


class Server:
    """A process that serves the scripted graph.

    Attributes:
        url: Where it listens.
        lines: The log lines it has written so far.
    """

    def __init__(self, *options: str, folder: Path) -> None:
        script = Path(__file__).with_name("scripted.py")
        self.process = subprocess.Popen(
            [sys.executable, str(script), *options],
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"OCTOPUS_DATA": str(folder)},
        )
        self.lines: list[dict[str, Any]] = []
        self.raw = ""
        self._listening = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if not self._listening.wait(PATIENCE) or self.process.poll() is not None:
            self.stop()
            raise RuntimeError(f"the server did not start: {self.raw}")
        address = next(line["addresses"][0] for line in self.lines if line["event"] == "listening")
        self.url = f"http://{address}"

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as stream:
            for text in stream:
                self.raw += text
                if text.startswith("{"):
                    self.lines.append(json.loads(text))
                if '"listening"' in text:
                    self._listening.set()
        self._listening.set()

    def requests(self) -> list[dict[str, Any]]:
        """Returns the lines of requests."""
        return [line for line in self.lines if line["event"] == "request"]

    def terminate(self) -> None:
        """Sends SIGTERM and does not wait."""
        self.process.send_signal(signal.SIGTERM)

    def ended(self) -> int:
        """Waits for the end.

        Returns:
            The exit code.
        """
        code = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return code

    def stop(self) -> None:
        """Ends it, whatever it does."""
        if self.process.poll() is None:
            self.terminate()  # a killed server would leave the Valkey it may have started
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.ended()


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Generator[Callable[..., Server]]:
    """Starts servers with options of their own."""
    started: list[Server] = []

    def one(*options: str) -> Server:
        started.append(Server(*options, folder=tmp_path_factory.mktemp("server")))
        return started[-1]

    yield one
    for server in started:
        server.stop()


@pytest.fixture(scope="session")
def server(start: Callable[..., Server]) -> Server:
    """A server with the defaults, without a key, for tests that leave it as it was."""
    return start()
