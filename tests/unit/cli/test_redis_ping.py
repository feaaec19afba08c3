import socket
import threading
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from octopus_graph.cli import redis_ping
from octopus_graph.cli.redis_ping import ping

Serve = Callable[..., int]


@pytest.fixture
def serve() -> Generator[Serve]:
    """Starts a server that gives the answers one after the other, and remembers what it was sent."""
    opened: list[tuple[socket.socket, threading.Thread]] = []

    def start(*answers: bytes, heard: list[bytes] | None = None, family: int = socket.AF_INET, at: str = "") -> int:
        listener = socket.socket(family)
        listener.bind(at or ("127.0.0.1", 0))
        listener.listen(1)
        listener.settimeout(10)

        def work() -> None:
            connection, _ = listener.accept()
            with connection:
                for answer in answers:
                    command = connection.recv(512)
                    if heard is not None:
                        heard.append(command)
                    connection.sendall(answer)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        opened.append((listener, thread))
        return 0 if at else listener.getsockname()[1]

    yield start
    for listener, thread in opened:
        thread.join(10)
        listener.close()


def test_a_server_that_answers_is_well(serve: Serve) -> None:
    heard: list[bytes] = []
    port = serve(b"+PONG\r\n", heard=heard)

    assert ping(f"redis://127.0.0.1:{port}/0") == (f"127.0.0.1:{port}", "")
    assert heard == [b"*1\r\n$4\r\nPING\r\n"]


def test_credentials_are_sent_and_not_told(serve: Serve) -> None:
    heard: list[bytes] = []
    port = serve(b"+OK\r\n", b"+PONG\r\n", heard=heard)

    assert ping(f"redis://me:s%40cret@127.0.0.1:{port}") == (f"127.0.0.1:{port}", "")
    assert heard[0] == b"*3\r\n$4\r\nAUTH\r\n$2\r\nme\r\n$6\r\ns@cret\r\n"


def test_a_unix_socket_is_a_server_too(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the length of a socket's path is limited
    place = tmp_path / "s"
    serve(b"+PONG\r\n", family=socket.AF_UNIX, at="s")

    assert ping(f"unix://{place}") == (str(place), "")


@pytest.mark.parametrize("kind", ["cluster", "sentinel"])
def test_of_several_servers_one_has_to_answer(serve: Serve, kind: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        dead = free.getsockname()[1]
    heard: list[bytes] = []
    answers = [b"+OK\r\n", b"+PONG\r\n"] if kind == "cluster" else [b"+PONG\r\n"]
    alive = serve(*answers, heard=heard)

    url = f"redis+{kind}://:secret@127.0.0.1:{dead},127.0.0.1:{alive}/service"
    assert ping(url) == (f"127.0.0.1:{alive}", "")
    assert any(b"AUTH" in command for command in heard) == (kind == "cluster"), "Sentinels have accounts of their own"


def test_an_authority_that_is_not_there_is_said(serve: Serve) -> None:
    url = "rediss://127.0.0.1:1/0?ssl_ca_certs=/nowhere/ca.pem"
    assert ping(url) == ("127.0.0.1:1", "No such file or directory")


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (b"-NOAUTH Authentication required.\r\n", "NOAUTH Authentication required."),
        (b"", "closed the connection"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "HTTP/1.1 400 Bad Request"),
    ],
)
def test_a_server_that_refuses_says_why(serve: Serve, answer: bytes, problem: str) -> None:
    assert ping(f"redis://127.0.0.1:{serve(answer)}")[1] == problem


def test_a_server_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_ping, "PATIENCE", 0.2)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        assert ping(f"redis://127.0.0.1:{listener.getsockname()[1]}")[1] == "timed out"


def test_a_port_where_nobody_listens_is_said() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert ping(f"redis://:secret@127.0.0.1:{port}") == (f"127.0.0.1:{port}", "Connection refused")


@pytest.mark.parametrize(
    "url", ["http://localhost", "localhost:6379", "", "redis://h:port", "redis://[::1", "redis+ring://x"]
)
def test_an_url_that_is_none_is_said(url: str) -> None:
    where, problem = ping(url)
    assert where == "the URL"
    assert problem
