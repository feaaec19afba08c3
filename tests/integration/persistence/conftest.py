"""Real servers for the tests: alone, as a cluster, under Sentinel. All on loopback, all ended by whoever started
them."""

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from octopus_graph.persistence import RedisSaver
from octopus_graph.persistence.embedded import server_program

SERVICE = "octopus"


def debian_program() -> Path | None:
    found = shutil.which("redis-server")
    return Path(found) if found else None


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def until(true: Callable[[], Any], what: str, seconds: float = 20.0) -> Any:
    """Waits for something to become true, and gives it back."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if found := true():
                return found
        except (redis.ConnectionError, redis.TimeoutError):
            pass
        assert time.monotonic() < deadline, f"waited {seconds:g} s in vain for {what}"
        time.sleep(0.02)


class Server:
    """One server process on a port of its own."""

    def __init__(self, program: Path, folder: Path, *options: str, port: int | None = None) -> None:
        self.port = port or free_ports(1)[0]
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._command = [str(program), *options, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder)]
        self._command += ["--save", "", "--logfile", str(folder / "log")]
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with self.client() as client:
            until(client.ping, f"the server on port {self.port}")

    def client(self, **options: Any) -> redis.Redis:
        retry = Retry(NoBackoff(), 0)
        return redis.Redis(port=self.port, retry=retry, socket_timeout=5, decode_responses=True, **options)

    def ask(self, *command: Any) -> Any:
        with self.client() as client:
            return client.execute_command(*command)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.kill()


@contextmanager
def alone(folder: Path, *options: str, program: Path | None = None) -> Generator[Server]:
    server = Server(program or server_program(), folder, *options)
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def cluster(folder: Path) -> Generator[list[Server]]:
    """Three masters that share the slots."""
    with ExitStack() as stack:
        ports, buses = free_ports(6)[:3], free_ports(3)
        nodes: list[Server] = []
        for port, bus in zip(ports, buses, strict=True):
            options = ("--cluster-enabled", "yes", "--cluster-port", str(bus), "--cluster-node-timeout", "5000")
            nodes.append(Server(server_program(), folder / str(port), *options, port=port))
            stack.callback(nodes[-1].stop)
        bounds = [(0, 5460), (5461, 10922), (10923, 16383)]
        for number, (node, (first, last)) in enumerate(zip(nodes, bounds, strict=True), start=1):
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", number)
            node.ask("CLUSTER", "ADDSLOTSRANGE", first, last)
        for port, bus in zip(ports[1:], buses[1:], strict=True):
            nodes[0].ask("CLUSTER", "MEET", "127.0.0.1", port, bus)
        for node in nodes:
            until(lambda node=node: _info(node, "CLUSTER", "INFO").get("cluster_state") == "ok", "the cluster")
            until(lambda node=node: _info(node, "CLUSTER", "INFO").get("cluster_known_nodes") == "3", "the nodes")
        yield nodes


class Group:
    """A master and its replica, watched by three Sentinels."""

    def __init__(self, servers: list[Server], sentinels: list[Server]) -> None:
        self.servers = servers
        self.sentinels = sentinels

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{one.port}" for one in self.sentinels)
        return f"redis+sentinel://{hosts}/{SERVICE}/0"

    def master(self) -> Server:
        port = int(self.sentinels[0].ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)[1])
        return next(one for one in self.servers if one.port == port)


@contextmanager
def sentinels(folder: Path) -> Generator[Group]:
    with ExitStack() as stack:
        program = server_program()
        master = Server(program, folder / "one")
        stack.callback(master.stop)
        replica = Server(
            program, folder / "two", "--replicaof", f"127.0.0.1 {master.port}", "--repl-diskless-sync-delay", "0"
        )
        stack.callback(replica.stop)
        until(lambda: _info(replica, "INFO", "replication").get("master_link_status") == "up", "the replica")
        watchers: list[Server] = []
        for number in range(3):
            home = folder / f"sentinel{number}"
            home.mkdir()
            lines = (
                f"sentinel monitor {SERVICE} 127.0.0.1 {master.port} 2",
                f"sentinel down-after-milliseconds {SERVICE} 500",
                f"sentinel failover-timeout {SERVICE} 3000",
            )
            (home / "sentinel.conf").write_text("\n".join(lines) + "\n")
            watchers.append(_sentinel(program, home))
            stack.callback(watchers[-1].stop)
        group = Group([master, replica], watchers)
        for watcher in watchers:
            until(lambda watcher=watcher: _seen(watcher) == ("2", "1"), "the Sentinels to see each other")
        yield group


def _sentinel(program: Path, home: Path) -> Server:
    return Server(program, home, str(home / "sentinel.conf"), "--sentinel")


def _seen(watcher: Server) -> tuple[str, str]:
    state = _pairs(watcher.ask("SENTINEL", "MASTER", SERVICE))
    return str(state["num-other-sentinels"]), str(state["num-slaves"])


def _pairs(reply: Any) -> dict[str, Any]:
    return reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2], strict=True))


def _info(server: Server, *command: str) -> dict[str, str]:
    reply = server.ask(*command)
    if isinstance(reply, dict):
        return {name: str(value) for name, value in reply.items()}
    return dict(line.split(":", 1) for line in reply.splitlines() if ":" in line)


@pytest.fixture(scope="session")
def one(tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    """A Valkey alone; tests share it and keep apart by their threads and prefixes."""
    with alone(tmp_path_factory.mktemp("one")) as server:
        yield server


@pytest.fixture
def private(tmp_path: Path) -> Generator[Server]:
    """A Valkey alone that a test may kill, freeze and fill."""
    with alone(tmp_path / "private") as server:
        yield server


@pytest.fixture(scope="session")
def three(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    """The URL of a cluster of three masters."""
    with cluster(tmp_path_factory.mktemp("cluster")) as nodes:
        yield "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in nodes)


@pytest.fixture(scope="session")
def debian(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    program = debian_program()
    if program is None:
        pytest.skip("Debian's redis-server is not installed")
    with alone(tmp_path_factory.mktemp("debian"), program=program) as server:
        yield f"redis://127.0.0.1:{server.port}"


@pytest.fixture
def secure(tmp_path: Path) -> Generator[tuple[Server, str]]:
    """A Redis that itself speaks TLS, wants a certificate of its clients and an account; and what follows its URL.

    Debian's: the wheel's Valkey is built without TLS.
    """
    program = debian_program()
    if program is None or shutil.which("openssl") is None:
        pytest.skip("Debian's redis-server or openssl is not installed")
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout key.pem -out cert.pem"
    names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run([*command.split(), *names], cwd=tmp_path, check=True, capture_output=True)
    cert, key = str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")
    port = free_ports(1)[0]
    options = ["--tls-port", str(port), "--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", cert]
    with alone(tmp_path / "secure", *options, program=program) as server:
        yield server, f"127.0.0.1:{port}/0?ssl_ca_certs={cert}&ssl_certfile={cert}&ssl_keyfile={key}"


@pytest.fixture
def group(tmp_path: Path) -> Generator[Group]:
    with sentinels(tmp_path) as found:
        yield found


@pytest.fixture
def saver(one: Server) -> Generator[RedisSaver]:
    with RedisSaver(f"redis://127.0.0.1:{one.port}", prefix=f"test-{uuid4()}") as found:
        yield found
