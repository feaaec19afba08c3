"""`octopus-graph worker` and `octopus-graph runs`, as processes of their own."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from octopus_graph.cli import app

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

GRAPH = """
import time
from octopus_graph import Expert, create_octopus_graph
from octopus_graph.state import OctopusContext
from octopus_graph.testing import EchoExpert, scripted_router

def hang(query):
    open("hangs", "w").close()
    time.sleep(300)  # in a thread that nobody can end
    return query

def build():
    script = {"plan": ["math", "law"], "unsure": {"math": 1.0, "law": 0.9}, "hang": "history"}
    defaults = OctopusContext(min_confidence=0.8, when_unsure="ask", max_hops=2)
    experts = [EchoExpert("math"), EchoExpert("law"), Expert("history", "Hangs", hang)]
    return create_octopus_graph(experts, scripted_router(script), defaults=defaults)
"""
Command = Callable[..., Result]


@pytest.fixture
def command(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setenv("OCTOPUS_REDIS_URL", url)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(GRAPH)
    return lambda *arguments: CliRunner().invoke(app, arguments)


@pytest.fixture
def worker(url: str, tmp_path: Path, command: Command) -> Generator[subprocess.Popen[bytes]]:
    line = [sys.executable, "-m", "octopus_graph", "worker", "--graph", "mine:build", "--grace", "1", "--queue", "q"]
    log = tmp_path / "worker.log"
    with log.open("w") as errors:
        process = subprocess.Popen(line, cwd=tmp_path, env={**os.environ, "OCTOPUS_REDIS_URL": url}, stderr=errors)
    try:
        until(lambda: "takes runs of the queue 'q'" in log.read_text(), process)
        yield process
    finally:
        process.kill()
        process.wait()


def until(true: Callable[[], bool], worker: subprocess.Popen[bytes]) -> None:
    while not true():
        assert worker.poll() is None
        time.sleep(0.05)


def shown(done: Result) -> Any:
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


def test_runs_are_submitted_shown_resumed_and_a_worker_that_is_told_to_stop_ends_well(
    command: Command, worker: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    queue = ("--queue", "q")
    done = shown(command("runs", "submit", "a plan", "--wait", "--json", *queue))
    assert (done["status"], done["path"]) == ("done", ["math", "law"])

    asked = command("runs", "submit", "unsure", "--thread", "t", "--wait", "--json", *queue)
    assert asked.exit_code == 3
    run = shown(asked)["run"]
    resumed = shown(command("runs", "resume", run, "law", "--wait", "--json", *queue))
    assert (resumed["status"], resumed["path"]) == ("done", ["law", "math"])

    listed = shown(command("runs", "list", "--json", *queue))
    assert [one["run"] for one in listed] == [run, done["run"]]
    assert command("runs", "cancel", run, *queue).stdout == f"{run}: it was over already (done)\n"

    hanging = shown(command("runs", "submit", "hang", "--json", *queue))["run"]
    until((tmp_path / "hangs").exists, worker)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(60) == 0  # though a thread of it sleeps for minutes
    assert shown(command("runs", "show", hanging, "--json", *queue))["status"] == "queued"
    assert command("runs", "cancel", hanging, *queue).stdout == f"{hanging}: cancelled\n"


def test_what_is_wrong_is_said_in_a_line(command: Command) -> None:
    unknown = command("runs", "show", "nobody")
    assert (unknown.exit_code, unknown.stdout) == (1, "")
    assert "There is no run 'nobody'" in unknown.stderr
    assert command("runs", "requeue").exit_code == 2
    assert command("runs", "dead", "--json").stdout == "[]\n"


def test_a_graph_that_is_not_there_is_said_in_a_line(command: Command, tmp_path: Path) -> None:
    line = [sys.executable, "-m", "octopus_graph", "worker", "--graph", "mine:nothing"]
    missing = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert missing.returncode == 2
    assert "There is no function 'nothing' in a module 'mine'" in missing.stderr
