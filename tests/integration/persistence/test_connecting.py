"""The way to a server: accounts, TLS, frozen and restarted servers, several event loops."""

import asyncio
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.base import empty_checkpoint

from octopus_graph.cli.redis_ping import ping
from octopus_graph.persistence import Link, RedisSaver, StoreError

pytestmark = pytest.mark.integration

THREAD: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}


def works(saver: RedisSaver) -> bool:
    config = saver.put(THREAD, empty_checkpoint(), {"step": 0}, {})
    return saver.get_tuple(config) is not None


def test_an_account_that_may_only_do_what_the_saver_does(one: Any) -> None:
    rights = "on >p@ss/word ~octopus:* resetchannels -@all +@read +@write +@hash +@sortedset +@keyspace -@dangerous"
    one.ask("ACL", "SETUSER", "saver", *rights.split(), "+eval", "+evalsha", "+time", "+@connection")
    address = f"127.0.0.1:{one.port}"
    with RedisSaver(f"redis://saver:p%40ss%2Fword@{address}/0") as saver:
        assert works(saver)
        saver.copy_thread("t", "u")
        assert len(list(saver.list(None))) >= 2
        saver.prune(["t", "u"])
        saver.delete_for_runs(["none"])
        saver.delete_thread("t")
        saver.delete_thread("u")
    elsewhere = RedisSaver(f"redis://saver:p%40ss%2Fword@{address}/0", prefix="other")
    with elsewhere, pytest.raises(StoreError, match=r"(?i)no permissions|NOPERM"):
        works(elsewhere)
    begun = time.monotonic()
    with RedisSaver(f"redis://saver:wrong@{address}/0") as saver, pytest.raises(StoreError) as refused:
        works(saver)
    assert time.monotonic() - begun < 2, "a wrong password does not become right by waiting"
    assert "wrong@" not in str(refused.value)
    assert address in str(refused.value)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_tls(one: Any, tmp_path: Path) -> None:
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout key.pem -out cert.pem"
    subprocess.run(
        [*command.split(), "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    with tls(one.port, tmp_path) as port:
        with RedisSaver(f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={tmp_path / 'cert.pem'}", prefix="tls") as saver:
            assert works(saver)
            asyncio.run(_async_works(saver))
        stranger = RedisSaver(Link(f"rediss://127.0.0.1:{port}/0", patience=0))
        with stranger, pytest.raises(StoreError, match=r"(?i)certificate"):
            works(stranger)


def test_tls_by_the_server_itself_with_an_account_and_certificates_of_both(secure: Any) -> None:
    server, address = secure
    server.ask("ACL", "SETUSER", "saver", "on", ">p@ss", "~tls:*", "+@all", "-@dangerous")
    with RedisSaver(f"rediss://saver:p%40ss@{address}", prefix="tls") as saver:
        assert works(saver)
        asyncio.run(_async_works(saver))
    assert ping(f"rediss://saver:p%40ss@{address}")[1] == "", "as octopus-graph doctor asks"
    without = address.partition("&")[0]  # no certificate of one's own
    for url in (f"rediss://saver:p%40ss@{without}", f"rediss://saver:wrong@{address}"):
        with RedisSaver(Link(url, patience=0), prefix="tls") as stranger, pytest.raises(StoreError) as refused:
            works(stranger)
        assert "p%40ss" not in str(refused.value)
        assert "p@ss" not in str(refused.value)


async def _async_works(saver: RedisSaver) -> None:
    assert await saver.aget_tuple(THREAD) is not None
    await saver.aclose()


@contextmanager
def tls(port: int, folder: Path) -> Generator[int]:
    """A door with TLS before a server that has none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threads: list[threading.Thread] = []

        def pump(source: socket.socket, target: socket.socket) -> None:
            with suppress(OSError):
                while data := source.recv(65536):
                    target.sendall(data)
            for one in (source, target):
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

        def serve() -> None:
            with suppress(OSError):
                while True:
                    plain, _ = listener.accept()
                    with (
                        suppress(OSError),
                        plain,
                        context.wrap_socket(plain, server_side=True) as near,
                        socket.create_connection(("127.0.0.1", port)) as far,
                    ):
                        back = threading.Thread(target=pump, args=(far, near))
                        back.start()
                        pump(near, far)
                        back.join()

        # One connection after the other would do for a client that reuses its own; the async one needs a second.
        for _ in range(2):
            threads.append(threading.Thread(target=serve, daemon=True))
            threads[-1].start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    for thread in threads:
        thread.join(5)


def test_a_frozen_server_is_noticed(private: Any) -> None:
    url = f"redis://127.0.0.1:{private.port}"
    with RedisSaver(Link(url, timeout=0.2, connect_timeout=0.2, patience=0.5)) as saver:
        assert works(saver)
        private.process.send_signal(signal.SIGSTOP)
        begun = time.monotonic()
        try:
            with pytest.raises(StoreError, match=r"(?i)time"):
                works(saver)
        finally:
            private.process.send_signal(signal.SIGCONT)
        assert time.monotonic() - begun < 3
        assert works(saver)


async def test_a_restarted_server_is_waited_for_and_taught_again(private: Any) -> None:
    async with RedisSaver(f"redis://127.0.0.1:{private.port}") as saver:
        await saver.aput(THREAD, empty_checkpoint(), {"step": 0}, {})
        private.kill()
        put = asyncio.create_task(saver.aput(THREAD, empty_checkpoint(), {"step": 1}, {}))
        await asyncio.sleep(0.3)
        await asyncio.to_thread(private.start)
        await put  # the server has forgotten the script as well
        found = await saver.aget_tuple(THREAD)
        assert found is not None
        assert found.metadata.get("step") == 1


def test_one_saver_serves_threads_and_several_event_loops(one: Any) -> None:
    url = f"redis://127.0.0.1:{one.port}"
    saver = RedisSaver(url, prefix="loops")

    async def use() -> None:
        for step in range(3):
            await saver.aput(THREAD, empty_checkpoint(), {"step": step}, {})
        await saver.aclose()

    for _ in range(2):
        asyncio.run(use())
    assert len(list(saver.list(THREAD))) == 6
    threads = [threading.Thread(target=works, args=(saver,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(list(saver.list(THREAD))) == 10
    saver.close()


@pytest.mark.parametrize("scheme", ["redis", "redis+cluster", "redis+sentinel"])
def test_nobody_there_is_said_in_a_sentence(scheme: str) -> None:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{one.getsockname()[1]}"
        path = "/service" if scheme.endswith("sentinel") else ""
        with RedisSaver(Link(f"{scheme}://me:secret@{where}{path}", patience=0.1)) as saver:
            with pytest.raises(StoreError, match=f"Redis at {where} .*see whether it runs") as refused:
                works(saver)
            with pytest.raises(StoreError, match=f"Redis at {where} ") as refused:
                asyncio.run(saver.aget_tuple(THREAD))
            assert "secret" not in str(refused.value)


def test_a_full_server_is_said_in_a_sentence(private: Any) -> None:
    private.ask("CONFIG", "SET", "maxmemory", "1")
    with RedisSaver(f"redis://127.0.0.1:{private.port}") as saver, pytest.raises(StoreError, match="raise maxmemory"):
        works(saver)
