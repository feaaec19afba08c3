"""What `benchmarks.chaos` breaks: a Valkey, workers, a line between them; and the experts that count who asks them."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from octopus_graph.idempotency import HEADER
from octopus_graph.persistence.embedded import server_program

ROOT = Path(__file__).resolve().parent.parent


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def until(true: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := true()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:g} s in vain for {what}")
        time.sleep(0.02)
    return found


@dataclass
class Call:
    """One request that reached an expert."""

    key: str
    expert: str
    plan: str
    came: float
    answer: str
    answered: float = 0.0


class Experts:
    """An OpenAI-compatible server on loopback: it needs its time, numbers its answers, and notes every call."""

    def __init__(self, seconds: float) -> None:
        self.calls: list[Call] = []
        self._lock = threading.Lock()
        experts = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                sent = self.rfile.read(length := int(self.headers["Content-Length"]))
                if len(sent) < length:
                    return  # whoever asks was killed while it did
                body = json.loads(sent)
                plan = re.search(r"plan (\S+)", json.dumps(body["messages"]))
                with experts._lock:
                    number = len(experts.calls) + 1
                    call = Call(
                        self.headers.get(HEADER, ""),
                        body["model"],
                        plan.group(1).strip('"\\') if plan else "",
                        time.time(),
                        f"[{body['model']}] answer {number}",
                    )
                    experts.calls.append(call)
                time.sleep(seconds)
                message = {"role": "assistant", "content": call.answer}
                choice = {"index": 0, "message": message, "finish_reason": "stop"}
                reply = {"id": f"c{number}", "object": "chat.completion", "created": 0, "model": call.expert}
                data = json.dumps({**reply, "choices": [choice]}).encode()
                try:
                    self.send_response(200)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)
                    call.answered = time.time()
                except OSError:
                    pass  # whoever asked is dead

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its parent's name
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Valkey:
    """A server that writes each command down before it answers."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        folder.mkdir(parents=True)
        self._command = [str(server_program()), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder)]
        self._command += ["--save", "", "--appendonly", "yes", "--logfile", str(folder / "log")]
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self._command)
        until(self._answers, "Valkey")

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as one:
                one.sendall(b"PING\r\n")
                return one.recv(16).startswith(b"+PONG")
        except OSError:
            return False

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)


class Wire:
    """A line to a server that can be cut: connections stay open, and nothing comes through."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._whole = threading.Event()
        self._whole.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        self._whole.clear()

    def mend(self) -> None:
        self._whole.set()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._to))
            except OSError:
                if self._listener.fileno() < 0:
                    return
                continue
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                self._whole.wait()
                sink.sendall(data)
        except OSError:
            pass
        for one in (source, sink):
            one.close()

    def close(self) -> None:
        self._listener.close()
        self.mend()


@dataclass
class WorkerProcess:
    """An `octopus-graph worker`."""

    port: int
    experts: str
    lease: float
    folder: Path
    graph: str
    wire: Wire | None = None
    process: Any = field(init=False)
    log: Path = field(init=False)

    def __post_init__(self) -> None:
        self.log = self.folder / f"worker-{time.time_ns()}.log"
        url = f"redis://127.0.0.1:{self.wire.port if self.wire else self.port}"
        command = [sys.executable, "-m", "octopus_graph", "worker", "--graph", self.graph]
        command += ["--redis", url, "--lease", str(self.lease), "--concurrency", "1", "--grace", "20"]
        with self.log.open("wb") as log:
            environment = {**os.environ, "CHAOS_EXPERTS": self.experts}
            self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=log, stdout=log)

    @property
    def ready(self) -> bool:
        return self.alive and "takes runs" in self.log.read_text()

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
