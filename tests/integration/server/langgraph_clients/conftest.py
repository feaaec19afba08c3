"""A server process with the probe graph on an embedded Valkey of its own, always stopped."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient

PATIENCE = 120.0


class Probe:
    """A process that serves the probe graph."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        script = Path(__file__).with_name("probe.py")
        options = [part for name, one in settings.items() for part in ("--set", f"{name}={json.dumps(one)}")]
        self.process = subprocess.Popen(
            [sys.executable, str(script), *options],
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"OCTOPUS_DATA": str(folder)},
        )
        self._told = False
        self.url = ""
        self.log = ""
        self._listening = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if not self._listening.wait(PATIENCE) or not self.url:
            self.stop()
            raise RuntimeError(f"the server did not start: {self.log}")

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as stream:
            for text in stream:
                self.log += text
                if '"listening"' in text:
                    self.url = f"http://{json.loads(text)['addresses'][0]}"
                    self._listening.set()
        self._listening.set()

    def tell_to_stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self.process.poll() is None and not self._told:
            self._told = how == signal.SIGTERM
            self.process.send_signal(how)

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        self.tell_to_stop(how)
        code = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return code

    def stop(self) -> None:
        self.end(signal.SIGKILL)


@pytest.fixture(scope="session")
def start_probe(tmp_path_factory: pytest.TempPathFactory) -> Generator[Callable[..., Probe]]:
    """Starts servers; those of one folder share what they keep."""
    started: list[Probe] = []

    def one(folder: Path | None = None, **settings: Any) -> Probe:
        started.append(Probe(folder or tmp_path_factory.mktemp("probe"), linger=0.0, **settings))
        return started[-1]

    yield one
    for probe in started:
        probe.tell_to_stop()
    for probe in started:
        probe.end()


@pytest.fixture(scope="session")
def probe(start_probe: Callable[..., Probe]) -> Probe:
    """A server for tests that keep to threads of their own."""
    return start_probe(grace=1.0)


@pytest.fixture
async def client(probe: Probe) -> AsyncGenerator[LangGraphClient]:
    """LangGraph's Python client."""
    async with get_client(url=probe.url, api_key=None) as found:
        yield found


@pytest.fixture
async def thread(client: LangGraphClient) -> str:
    """A new thread."""
    return (await client.threads.create())["thread_id"]


def human(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


@pytest.fixture
def say() -> Callable[[str], dict[str, Any]]:
    """Makes the input of a run."""
    return human
