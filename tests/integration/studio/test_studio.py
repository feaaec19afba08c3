"""Studio's own server opens our graphs offline, and shows what Studio draws, edits, stops and resumes.

`langgraph dev` runs as a user starts it, on a free port; langgraph_sdk is what Studio itself talks through.
"""

import json
import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from langgraph_sdk import get_sync_client
from typer.testing import CliRunner, Result

from octopus_graph.cli import app
from octopus_graph.tokens import PAPER_EXPERTS

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(900)]

DEPOSIT = "Can my landlord keep the deposit?"


@pytest.fixture(scope="module")
def url(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A running `langgraph dev`; it must need no key and no network, and says so if it does."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = tmp_path_factory.mktemp("studio")
    command = [str(Path(sys.executable).with_name("langgraph")), "dev", "--no-browser", "--no-reload"]
    command += ["--config", str(root / "integrations" / "studio" / "langgraph.json"), "--port", str(port)]
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("LANGSMITH", "LANGCHAIN"))}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, env={**environment, "OCTOPUS_DRY_RUN": "1"}, stdout=log, stderr=subprocess.STDOUT
        )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(address, process, folder / "log")
        yield address
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            if httpx.get(f"{address}/ok", timeout=5).is_success:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.5)
    pytest.fail(log.read_text())


@pytest.fixture
def studio(url: str) -> Iterator[Any]:
    with get_sync_client(url=url, timeout=600) as client:
        yield client


def assistant(studio: Any, graph: str) -> str:
    (found,) = studio.assistants.search(graph_id=graph, metadata={"created_by": "system"})
    return found["assistant_id"]


def asked(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


@pytest.mark.parametrize("graph", ["octopus", "office"])
def test_every_schema_is_there_and_the_context_can_be_edited(studio: Any, graph: str) -> None:
    schemas = studio.assistants.get_schemas(assistant(studio, graph))
    for name in ("input_schema", "output_schema", "state_schema", "config_schema", "context_schema"):
        assert schemas[name], name
    settings = schemas["context_schema"]["properties"]
    assert {"max_hops", "min_confidence", "when_unsure", "experts"} <= set(settings)
    assert settings["max_hops"]["default"] == 3
    assert "messages" in schemas["input_schema"]["properties"]
    assert {"messages", "hops", "decision"} <= set(schemas["state_schema"]["properties"])


def test_the_graph_is_drawn_with_its_experts_and_the_edges_there_are(studio: Any) -> None:
    drawn = studio.assistants.get_graph(assistant(studio, "octopus"))
    assert {node["id"] for node in drawn["nodes"]} == {"__start__", "route", "finish", "__end__", *PAPER_EXPERTS}
    edges = {(edge["source"], edge["target"]) for edge in drawn["edges"]}
    assert {("__start__", "route"), ("route", "law"), ("law", "finish"), ("finish", "__end__")} <= edges
    assert ("law", "law") not in edges


def test_agents_unfold_into_their_own_nodes(studio: Any) -> None:
    office = assistant(studio, "office")
    drawn = {node["id"] for node in studio.assistants.get_graph(office, xray=True)["nodes"]}
    assert {"researcher:look_up", "lawyer:draft", "lawyer:approve"} <= drawn
    assert set(studio.assistants.get_subgraphs(office)) == {"researcher", "lawyer"}


def test_a_run_streams_its_decision_and_its_state_says_why_and_how_long(studio: Any) -> None:
    thread = studio.threads.create()["thread_id"]
    context = {"max_hops": 1, "rewrite": "never"}
    parts = list(
        studio.runs.stream(thread, "octopus", input=asked(DEPOSIT), context=context, stream_mode=["updates", "custom"])
    )
    events = [part.data["event"] for part in parts if part.event == "custom"]
    assert events == ["decision", "hop", "answer"]
    assert [node for part in parts if part.event == "updates" for node in part.data] == ["route", "law", "finish"]
    values = studio.threads.get_state(thread)["values"]
    assert values["decision"]["token"] == "<nexa_8>"
    (hop,) = values["hops"]
    assert hop["expert"] == "law"
    assert hop["answer"] == f"[law] {DEPOSIT}"
    assert hop["top"][0][0] == "law"
    assert 0 < hop["confidence"] <= 1
    assert hop["decide_ms"] > 0
    steps = studio.threads.get_history(thread)
    assert [step["next"] for step in steps] == [[], ["finish"], ["law"], ["route"], ["__start__"]]


def test_an_unsure_run_stops_is_shown_its_question_and_goes_on(studio: Any) -> None:
    thread = studio.threads.create()["thread_id"]
    context = {"min_confidence": 1.0, "when_unsure": "ask", "rewrite": "never", "max_hops": 1}
    studio.runs.wait(thread, "octopus", input=asked(DEPOSIT), context=context)
    state = studio.threads.get_state(thread)
    assert state["next"] == ["route"]
    assert "name the expert" in state["tasks"][0]["interrupts"][0]["value"]["question"]
    done = studio.runs.wait(thread, "octopus", command={"resume": "politics"}, context=context)
    assert done["messages"][-1]["content"].startswith("[politics]")


def test_a_stop_inside_an_agent_can_be_looked_into_and_resumed(studio: Any) -> None:
    thread = studio.threads.create()["thread_id"]
    context = {"max_hops": 1, "rewrite": "never"}
    studio.runs.wait(thread, "office", input=asked(DEPOSIT), context=context)
    (task,) = studio.threads.get_state(thread, subgraphs=True)["tasks"]
    assert task["name"] == "lawyer"
    assert task["interrupts"][0]["value"]["letter"] == f"Draft of a letter about: {DEPOSIT}"
    assert task["state"]["next"] == ["approve"]
    done = studio.runs.wait(thread, "office", command={"resume": "yes"}, context=context)
    assert done["messages"][-1]["content"] == "The human said: yes"


def test_a_run_is_taken_up_before_its_decision_with_another_context(studio: Any) -> None:
    """What docs/studio.md does by hand: back to before the wrong decision, other experts allowed, and on from there."""
    thread = studio.threads.create()["thread_id"]
    context = {"max_hops": 1, "rewrite": "never"}
    studio.runs.wait(thread, "octopus", input=asked(DEPOSIT), context=context)
    before = next(step for step in studio.threads.get_history(thread) if step["next"] == ["route"])
    again = studio.runs.wait(
        thread,
        "octopus",
        input=None,
        checkpoint_id=before["checkpoint"]["checkpoint_id"],
        context={**context, "experts": ["politics"]},
    )
    assert again["messages"][-1]["content"] == f"[politics] {DEPOSIT}"


def test_a_wrong_route_becomes_a_training_row(studio: Any, url: str, tmp_path: Path) -> None:
    thread = studio.threads.create()["thread_id"]
    studio.runs.wait(thread, "octopus", input=asked(DEPOSIT), context={"max_hops": 1, "rewrite": "never"})
    file = tmp_path / "my.jsonl"

    def add(*more: str) -> Result:
        return CliRunner().invoke(app, ["data", "add", "--expert", "politics", "--to", str(file), *more])

    added = add("--from-thread", thread, "--server", url)
    assert added.exit_code == 0, added.stderr
    row = json.loads(file.read_text())
    assert (row["request"], row["expert"]) == (DEPOSIT, "politics")
    assert "already" in add("--from-thread", thread, "--server", url).stderr
    assert "no thread" in add("--from-thread", str(uuid.uuid4()), "--server", url).stderr.lower()
    assert "no thread" in add("--from-thread", "nobody", "--server", url).stderr.lower()
    assert "--server" in add("--from-thread", thread, "--server", "http://127.0.0.1:1").stderr
