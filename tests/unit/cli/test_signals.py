"""The command line as a process that is interrupted, ended or no longer read; its experts are slow."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(sys.platform == "win32", reason="signals are others there"),
]

MAIN = """
import signal, sys, time
# A test run in the background of a shell inherits SIGINT ignored; a terminal does not hand it on like that.
signal.signal(signal.SIGINT, signal.default_int_handler)
from octopus_graph.cli import main
from octopus_graph.spec import building
from octopus_graph.testing import EchoExpert, scripted_router

def answer(name, description="", **options):
    echo = EchoExpert(name, description, **options)
    def slow(query):
        print("asked", file=sys.stderr, flush=True)
        time.sleep(SECONDS)
        return f"[{name}] {query}"
    object.__setattr__(echo, "runnable", slow)
    return echo

building.build_router = lambda spec: scripted_router({"": "math"})
building.EchoExpert = answer
main()
"""

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    processes: list[subprocess.Popen[str]] = []

    def call(*arguments: str, seconds: float = 60) -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", MAIN.replace("SECONDS", str(seconds)), *arguments]
        pipe = subprocess.PIPE
        processes.append(subprocess.Popen(command, cwd=tmp_path, stdin=pipe, stdout=pipe, stderr=pipe, text=True))
        return processes[-1]

    yield call
    for process in processes:
        process.kill()
        process.communicate()


def until_asked(process: "subprocess.Popen[str]") -> None:
    assert process.stderr is not None
    assert process.stderr.readline() == "asked\n"


@pytest.mark.parametrize(
    ("number", "code", "says"), [(signal.SIGINT, 130, "\nInterrupted.\n"), (signal.SIGTERM, 143, "")]
)
@pytest.mark.parametrize("batch", [False, True])
def test_a_run_that_is_stopped_ends_at_once_and_leaves_nothing(
    start: Start, tmp_path: Path, number: signal.Signals, code: int, says: str, batch: bool
) -> None:
    (tmp_path / "rows.jsonl").write_text('{"request": "x"}\n' * 3)
    (tmp_path / "out.jsonl").write_text("before")
    arguments = ["--batch", "rows.jsonl", "--out", "out.jsonl"] if batch else ["a question"]
    process = start("ask", "--dry-run", *arguments)
    until_asked(process)

    began = time.monotonic()
    process.send_signal(number)
    _, err = process.communicate(timeout=50)

    assert time.monotonic() - began < 20, "it waited for the expert"
    assert (process.returncode, err) == (code, says)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.jsonl", "rows.jsonl"]
    assert (tmp_path / "out.jsonl").read_text() == "before"


def test_rows_come_as_they_are_done_and_a_reader_may_leave(start: Start, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"request": "x"}\n' * 200)
    process = start("ask", "--dry-run", "--max-hops", "1", "--batch", "rows.jsonl", seconds=0.05)
    assert process.stdout is not None
    assert process.stderr is not None

    assert json.loads(process.stdout.readline())["path"] == ["math"]
    process.stdout.close()

    assert set(process.stderr.read().splitlines()) == {"asked"}
    assert process.wait() == 141


def test_a_full_disk_is_one_line(start: Start, tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    (tmp_path / "rows.jsonl").write_text('{"request": "x"}\n')
    process = start("route", "--batch", "rows.jsonl", "--out", "/dev/full")

    assert process.communicate() == ("", "Error: No space left on device\n")
    assert process.returncode == 1
