"""`ask --thread` and `octopus-graph threads`."""

import json
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from octopus_graph.cli import opening
from octopus_graph.experts import Expert
from octopus_graph.graph import create_octopus_graph
from octopus_graph.router import OctopusRouter
from octopus_graph.testing import EchoExpert

ASKS = ("--when-unsure", "ask", "--min-confidence", "0.9")


@pytest.fixture
def ask(octopus: Any, store: InMemorySaver) -> Any:
    return lambda *arguments, **extra: octopus("ask", "--dry-run", *arguments, **extra)


def test_a_conversation_is_kept_under_its_name(ask: Any, octopus: Any) -> None:
    ask("--thread", "ada", "the derivative of x^3")
    ask("--thread", "ada", "is this contract void?")
    ask("--thread", "bob", "hello")

    ada = json.loads(octopus("threads", "list", "a*", "--json").stdout)
    assert [(one["thread"], one["turns"], one["status"]) for one in ada] == [("ada", 2, "done")]
    assert (ada[0]["checkpoints"], ada[0]["bytes"] > 1000) == (10, True)
    table = octopus("threads", "list", "--limit", "1")
    assert [line.split()[0] for line in table.stdout.splitlines()] == ["thread", "bob"]
    assert "more than these 1" in table.stderr


def test_a_run_that_asks_its_human_goes_on_with_the_answer_and_its_own_settings(ask: Any, octopus: Any) -> None:
    asked = ask("--thread", "t", "unsure", *ASKS)
    assert asked.stdout.startswith("? Is this about politics or ")
    assert 'octopus-graph ask --thread t "…"' in asked.stdout

    nothing = ask("--thread", "t")
    assert (nothing.exit_code, "waits for an answer: Is this about politics" in nothing.stderr) == (2, True)
    assert json.loads(octopus("threads", "list", "--status", "waiting", "--json").stdout)[0]["thread"] == "t"

    answer = json.loads(ask("--thread", "t", "law", "--json").stdout)
    assert (answer["path"], answer["waiting"], answer["thread"]) == (["law"], None, "t")
    assert "? " not in ask("--thread", "t", "unsure").stdout, "settings are a run's own and not the thread's"


def test_a_question_to_the_human_as_json(ask: Any) -> None:
    waiting = json.loads(ask("--thread", "t", "unsure", *ASKS, "--json").stdout)["waiting"]

    assert waiting["question"].startswith("Is this about politics")
    assert waiting["experts"][0] == ["politics", pytest.approx(0.3)]


def test_a_run_cut_short_goes_on_without_a_question(
    octopus: Any, router: OctopusRouter, store: InMemorySaver, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def math(query: str) -> str:
        calls.append("math")
        return "twelve"

    def history(query: str) -> str:
        calls.append("history")
        if len(calls) == 2:
            raise ConnectionError("gone")
        return "Newton"

    experts = [Expert("math", "M", math), Expert("history", "H", history), EchoExpert("general")]
    builder: Any = create_octopus_graph(experts, router)
    monkeypatch.setattr(opening, "open_graph", lambda *_, **__: builder.compile(checkpointer=store))
    assert octopus("ask", "--thread", "t", "both of them").exit_code == 1
    assert "unfinished" in octopus("threads", "show", "t").stdout

    again = octopus("ask", "--thread", "t")
    assert (again.exit_code, "Newton" in again.stdout) == (0, True)
    assert calls == ["math", "history", "history"]
    nothing = octopus("ask", "--thread", "t")
    assert (nothing.exit_code, "nothing to go on with" in nothing.stderr) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--checkpoint", "c", "x"), "goes with --thread only"),
        (("--thread", "t", "--batch", "rows.jsonl"), "do not go together"),
        (("--thread", "t", "--checkpoint", "c", "x"), "has no checkpoint 'c'"),
    ],
)
def test_options_that_do_not_go_together(ask: Any, arguments: tuple[str, ...], said: str) -> None:
    result = ask(*arguments)

    assert result.exit_code in {1, 2}
    assert said in result.stderr


def test_a_thread_is_shown_with_messages_hops_and_history(ask: Any, octopus: Any) -> None:
    ask("--thread", "t", "both of them")

    shown = octopus("threads", "show", "t").stdout
    parts = ["t: done", "human: both of them", "ai: → math(the sum?)", "math: [math] the sum?", "hop: history <nexa_6>"]
    places = [shown.index(part) for part in parts]
    assert places == sorted(places)
    rows = octopus("threads", "history", "t").stdout.splitlines()
    assert [row.split()[4:] for row in rows[1:4]] == [
        ["finish", "end"],
        ["history", "end", "99.0%", "finish"],
        ["math", "history", "99.0%", "history"],
    ]
    steps = json.loads(octopus("threads", "history", "t", "--limit", "2", "--json").stdout)
    assert [step["ran"] for step in steps] == [["finish"], ["history"]]
    whole = json.loads(octopus("threads", "show", "t", "--json").stdout)
    assert [hop["expert"] for hop in whole["hops"]] == ["math", "history"]
    assert whole["messages"][0] == {"type": "human", "name": None, "text": "both of them"}


def test_time_travel_goes_on_from_a_checkpoint(ask: Any, octopus: Any) -> None:
    ask("--thread", "t", "the derivative")
    first = json.loads(octopus("threads", "show", "t", "--json").stdout)["checkpoint"]
    ask("--thread", "t", "a contract")
    ask("--thread", "t", "--checkpoint", first, "rephrase it")

    whole = json.loads(octopus("threads", "show", "t", "--json").stdout)
    assert [said["text"] for said in whole["messages"] if said["type"] == "human"] == ["the derivative", "rephrase it"]


def test_a_fork_from_a_checkpoint_goes_on_by_itself(ask: Any, octopus: Any) -> None:
    ask("--thread", "t", "both of them")
    steps = json.loads(octopus("threads", "history", "t", "--json").stdout)
    middle = next(step["checkpoint"] for step in steps if step["next"] == ["history"])

    made = octopus("threads", "fork", "t", "u", "--checkpoint", middle)
    assert made.stdout == "u is unfinished: octopus-graph ask --thread u goes on with it.\n"
    assert "[history] both of them" in ask("--thread", "u").stdout
    again = octopus("threads", "fork", "t", "u")
    assert (again.exit_code, "already" in again.stderr) == (2, True)


@pytest.mark.parametrize("turns", [1, 2])
def test_a_fork_may_ask_something_else(ask: Any, octopus: Any, turns: int) -> None:
    for question in ("the derivative", "both of them")[:turns]:
        ask("--thread", "t", question)
    octopus("threads", "fork", "t", "u", "--message", "a contract")

    answered = json.loads(ask("--thread", "u", "--json").stdout)
    assert answered["path"] == ["law"]
    whole = json.loads(octopus("threads", "show", "u", "--json").stdout)
    said = [message["text"] for message in whole["messages"] if message["type"] == "human"]
    assert said == ["the derivative", "a contract"][2 - turns :]


def test_a_fork_may_hold_another_state(ask: Any, octopus: Any) -> None:
    ask("--thread", "t", "the derivative")
    octopus("threads", "fork", "t", "u", "--set", 'request="another"', "--set", 'messages=[["human", "hello"]]')

    whole = json.loads(octopus("threads", "show", "u", "--json").stdout)
    assert [message["text"] for message in whole["messages"]] == ["hello"]
    for wrong in ("request", "request={", "messages=7"):
        result = octopus("threads", "fork", "t", "v", "--set", wrong)
        assert (result.exit_code, "write KEY=JSON" in result.stderr) == (2, True)


def test_deleting_asks_unless_it_is_told_not_to(ask: Any, octopus: Any) -> None:
    for thread in ("t", "u"):
        ask("--thread", thread, "the derivative")

    assert octopus("threads", "delete", "t", stdin="n\n").exit_code == 1
    assert octopus("threads", "delete", "t", stdin="y\n").exit_code == 0
    missing = octopus("threads", "delete", "u", "nobody", "--yes")
    assert (missing.exit_code, "no thread 'nobody'" in missing.stderr) == (1, True)
    assert json.loads(octopus("threads", "delete", "u", "--yes", "--json").stdout) == {"deleted": ["u"]}
    assert json.loads(octopus("threads", "list", "--json").stdout) == []


def test_since_is_an_age_or_a_time(ask: Any, octopus: Any) -> None:
    ask("--thread", "t", "the derivative")

    for since, count in (("1h", 1), ("2020-01-01", 1), ("2990-01-01T08:00+00:00", 0)):
        assert len(json.loads(octopus("threads", "list", "--since", since, "--json").stdout)) == count
    wrong = octopus("threads", "list", "--since", "yesterday")
    assert (wrong.exit_code, "an age such as 24h" in wrong.stderr) == (2, True)


@pytest.mark.integration
def test_threads_outlive_the_process_that_made_them(octopus: Any, graph_file: Path, tmp_path: Path) -> None:
    env = {"OCTOPUS_DATA": str(tmp_path / "data"), "OCTOPUS_REDIS_URL": ""}
    graph = ("--graph", graph_file)
    octopus("ask", "--dry-run", *graph, "--thread", "t", "the derivative", env=env)

    log = (tmp_path / "data" / "redis" / "valkey.log").read_text(encoding="utf-8")
    assert "bye bye" in log.lower(), "the last to leave stopped the server"
    (kept,) = json.loads(octopus("threads", "list", *graph, "--json", env=env).stdout)
    assert (kept["thread"], kept["last_request"]) == ("t", "the derivative")
    again = json.loads(octopus("replay", *graph, "--json", env=env).stdout)
    assert (again["requests"], again["changed"]) == (1, 0.0)


def test_threads_are_where_the_option_or_else_the_graph_file_says(
    graph_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("octopus_graph.persistence.open_saver", lambda where: where)

    assert opening.open_store(str(graph_file)) is None, "left to OCTOPUS_REDIS_URL"
    graph_file.write_text(graph_file.read_text() + "redis: redis://cache:6379\n")
    assert opening.open_store(str(graph_file)) == "redis://cache:6379"
    assert opening.open_store(str(graph_file), "redis://other") == "redis://other"
