"""The embedded Valkey: one for all processes of a user, kept on disk, stopped by the last, and well again after `kill
-9`."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from langgraph.checkpoint.base import empty_checkpoint

from octopus_graph.persistence import EmbeddedServer, StoreError, open_saver
from octopus_graph.persistence import embedded as module

pytestmark = pytest.mark.integration

THREAD: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
WRITER = """\
import sys, time
from pathlib import Path
from langgraph.checkpoint.base import empty_checkpoint
from octopus_graph.persistence import open_saver

with open_saver("embedded", folder=Path(sys.argv[1])) as saver:
    config = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
    for number in range(int(sys.argv[2])):
        config = saver.put(config, empty_checkpoint(), {"step": number}, {})
    print("ready", flush=True)
    sys.stdin.readline()
"""


def writer(folder: Path, count: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-W", "error", "-c", WRITER, str(folder), str(count)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def ready(process: "subprocess.Popen[str]") -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"


def servers(folder: Path) -> list[psutil.Process]:
    found: list[psutil.Process] = []
    for process in psutil.process_iter(["cmdline", "status"]):
        command = process.info["cmdline"] or []
        if str(folder / "valkey.conf") in command or f"unixsocket:{folder / 'valkey.sock'}" in " ".join(command):
            found.append(process)
    return found


def count(folder: Path) -> int:
    with open_saver("embedded", folder=folder) as saver:
        return len(list(saver.list(THREAD)))


def test_what_was_written_is_there_after_a_clean_stop(tmp_path: Path) -> None:
    with open_saver("embedded", folder=tmp_path) as saver:
        saver.put(THREAD, empty_checkpoint(), {"step": 0}, {})
        assert len(servers(tmp_path)) == 1
    assert servers(tmp_path) == []
    assert count(tmp_path) == 1
    assert not module._is_alive(tmp_path)


def test_processes_share_one_and_the_last_stops_it(tmp_path: Path) -> None:
    processes = [writer(tmp_path, 5) for _ in range(3)]
    for process in processes:
        ready(process)
    assert len(servers(tmp_path)) == 1
    assert count(tmp_path) == 15
    for process in processes:
        assert len(servers(tmp_path)) == 1
        process.communicate("\n", timeout=20)
        assert process.returncode == 0
    assert servers(tmp_path) == []


def test_a_killed_user_leaves_a_server_that_the_next_takes_over(tmp_path: Path) -> None:
    process = writer(tmp_path, 5)
    ready(process)
    process.kill()
    process.communicate()
    assert len(servers(tmp_path)) == 1
    assert count(tmp_path) == 5
    assert servers(tmp_path) == []


def test_a_killed_server_has_lost_nothing_and_the_next_user_starts_another(tmp_path: Path) -> None:
    process = writer(tmp_path, 200)
    ready(process)
    os.kill(servers(tmp_path)[0].pid, signal.SIGKILL)
    assert count(tmp_path) == 200
    process.communicate("\n", timeout=20)
    assert process.returncode == 0
    assert servers(tmp_path) == []


def test_a_run_goes_on_when_the_server_is_killed_under_it(tmp_path: Path) -> None:
    with open_saver("embedded", folder=tmp_path) as saver:
        config = THREAD
        for number in range(30):
            if number % 10 == 5:
                os.kill(servers(tmp_path)[0].pid, signal.SIGKILL)
            config = saver.put(config, empty_checkpoint(), {"step": number}, {})
        assert len(list(saver.list(THREAD))) == 30
    assert servers(tmp_path) == []


def test_a_half_written_last_line_is_cut_off(tmp_path: Path) -> None:
    with open_saver("embedded", folder=tmp_path) as saver:
        saver.put(THREAD, empty_checkpoint(), {"step": 0}, {})
        os.kill(servers(tmp_path)[0].pid, signal.SIGKILL)
    (log,) = (tmp_path / "appendonlydir").glob("*.incr.aof")
    with log.open("ab") as file:
        file.write(b"*3\r\n$3\r\nSET\r\n$1\r\nk")
    assert count(tmp_path) == 1


def test_two_of_one_process_count_as_two(tmp_path: Path) -> None:
    first, second = EmbeddedServer(tmp_path), EmbeddedServer(tmp_path)
    assert first.acquire() == first.acquire() == second.acquire()
    first.release()
    first.release()
    assert len(servers(tmp_path)) == 1
    second.release()
    assert servers(tmp_path) == []


def test_many_at_once_start_one(tmp_path: Path) -> None:
    barrier = threading.Barrier(6)
    counts: list[int] = []

    def use() -> None:
        barrier.wait()
        with EmbeddedServer(tmp_path).use():
            counts.append(len(servers(tmp_path)))

    threads = [threading.Thread(target=use) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [1] * 6
    assert servers(tmp_path) == []


def test_a_long_path_has_its_socket_elsewhere(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 40)
    server = EmbeddedServer(folder)
    assert len(server.url) < 110
    assert count(folder) == 0
    socket = Path(server.url.removeprefix("unix://"))
    assert socket.parent.stat().st_mode & 0o077 == 0
    socket.parent.rmdir()


def test_only_the_user_may_look_into_the_folder(tmp_path: Path) -> None:
    with EmbeddedServer(tmp_path / "data").use():
        assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
        assert (tmp_path / "data" / "valkey.sock").stat().st_mode & 0o777 == 0o700


def test_one_that_does_not_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "appendonlydir").write_text("not a folder")
    with pytest.raises(StoreError, match=r"ended as soon as it was started .*valkey.log, or set OCTOPUS_REDIS_URL"):
        EmbeddedServer(tmp_path).acquire()
    assert servers(tmp_path) == []


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"cannot use the folder .*set OCTOPUS_DATA"):
        EmbeddedServer(tmp_path / "file" / "data").acquire()
    monkeypatch.setattr(module.os, "getuid", lambda: 12345)
    with pytest.raises(StoreError, match="belongs to somebody else"):
        EmbeddedServer(tmp_path / "data").acquire()


def test_a_frozen_one_is_not_joined_by_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_saver("embedded", folder=tmp_path):
        frozen = servers(tmp_path)[0]
        monkeypatch.setattr(module, "PATIENCE", 0.3)
        monkeypatch.setattr(module, "TIMEOUT", 0.1)
        frozen.suspend()
        try:
            with pytest.raises(StoreError, match="does not answer"):
                EmbeddedServer(tmp_path).acquire()
            assert len(servers(tmp_path)) == 1
        finally:
            frozen.resume()
            monkeypatch.undo()
    for _ in range(100):
        if not servers(tmp_path):
            break
        time.sleep(0.02)
    assert servers(tmp_path) == []
