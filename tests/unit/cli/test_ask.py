import json
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage

from octopus_graph.cli import opening
from octopus_graph.experts import Expert
from octopus_graph.graph import create_octopus_graph
from octopus_graph.router import OctopusRouter
from octopus_graph.testing import EchoExpert


@pytest.fixture
def with_experts(router: OctopusRouter, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Puts experts of a test into the graph that is opened."""

    def use(*experts: Expert, **options: Any) -> None:
        graph: Any = create_octopus_graph(experts, router, **options)
        monkeypatch.setattr(opening, "open_graph", lambda *_, **__: graph.compile(name="octopus"))

    return use


def test_a_run_is_shown_from_the_token_to_the_answer(octopus: Any) -> None:
    result = octopus("ask", "the derivative of x^3", "--dry-run")

    assert (result.exit_code, result.stderr) == (0, "")
    decision, _, answer, _, end, last = result.stdout.splitlines()
    assert decision.startswith("→ math <nexa_4>  97.0%  before ")
    assert answer == "[math] the derivative of x^3"
    assert end.startswith("→ end <nexa_end>")
    assert last.startswith("1 hop, ")


def test_each_hop_and_its_rewritten_query_are_shown(octopus: Any) -> None:
    shown = octopus("ask", "both of these", "--dry-run").stdout

    parts = [
        "→ math <nexa_4>",
        "asked as: the sum?",
        "[math] the sum?",
        "→ history <nexa_6>",
        "[history] both",
        "2 hops, ",
    ]
    places = [shown.index(part) for part in parts]
    assert places == sorted(places)
    assert shown.count("[math] the sum?") == 1, "the joined answer is not shown a second time"


def test_the_whole_run_as_json(octopus: Any) -> None:
    result = octopus("ask", "both of these", "--dry-run", "--json")

    run = json.loads(result.stdout)
    assert result.stderr == ""
    assert (run["request"], run["path"]) == ("both of these", ["math", "history"])
    assert run["answer"].startswith("## Math\n\n[math] the sum?")
    assert [(hop["expert"], hop["query"], hop["rewritten"]) for hop in run["hops"]] == [
        ("math", "the sum?", True),
        ("history", "both of these", False),
    ]
    assert [decision["token"] for decision in run["decisions"]] == ["<nexa_4>", "<nexa_6>", "<nexa_end>"]
    assert run["hops"][0]["top"][0] == {"expert": "math", "probability": 0.99}


def test_the_words_of_a_chat_model_are_shown_as_they_come_and_once(octopus: Any, with_experts: Any) -> None:
    model = GenericFakeChatModel(messages=iter([AIMessage("three x squared")]))
    with_experts(Expert("math", "Calculates", model))

    shown = octopus("ask", "the derivative").stdout

    assert shown.splitlines()[2] == "three x squared"
    assert shown.count("three x squared") == 1


def test_who_answers_in_an_experts_place_is_named(octopus: Any, with_experts: Any) -> None:
    def fails(query: str) -> str:
        raise ConnectionError("no \x1b[31mroute")

    with_experts(Expert("math", "Calculates", fails, fallback="law"), EchoExpert("law"))

    shown = octopus("ask", "the derivative").stdout

    assert "law answers for math (ConnectionError: no \ufffd[31mroute)" in shown
    assert "[law] the derivative" in shown


def test_an_expert_that_fails_is_one_line(octopus: Any, with_experts: Any) -> None:
    def fails(query: str) -> str:
        raise ConnectionError("no route")

    with_experts(Expert("math", "Calculates", fails))

    result = octopus("ask", "the derivative")

    assert result.exit_code == 1
    assert result.stderr.startswith("Error: The expert 'math' did not answer (ConnectionError: no route)")
    assert result.stderr.count("\n") == 1


def test_an_answer_cannot_drive_the_terminal(octopus: Any, with_experts: Any) -> None:
    with_experts(Expert("math", "Calculates", lambda query: "a\x1b]0;title\x07\x9b2Jb\u202e\n\tc"))

    assert "a\ufffd]0;title\ufffd\ufffd2Jb\ufffd\n\tc" in octopus("ask", "the derivative").stdout


def test_below_the_threshold_the_fallback_is_asked(octopus: Any) -> None:
    shown = octopus("ask", "unsure", "--min-confidence", "0.5", "--dry-run").stdout

    assert shown.startswith("→ general <nexa_16>  not sure enough: politics 30.0%, ")
    assert "[general] unsure" in shown


def test_without_a_fallback_the_question_is_declined(octopus: Any, with_experts: Any) -> None:
    with_experts(EchoExpert("politics"), EchoExpert("law"))

    shown = octopus("ask", "unsure", "--min-confidence", "0.8").stdout
    run = json.loads(octopus("ask", "unsure", "--min-confidence", "0.8", "--json").stdout)

    assert "No expert is sure enough to be asked" in shown
    assert shown.splitlines()[-1].startswith("0 hops, ")
    assert (run["path"], run["hops"]) == ([], [])
    assert run["answer"].startswith("No expert is sure enough")
    assert run["decisions"][0]["expert"] is None


@pytest.mark.parametrize(
    ("options", "path", "queries"),
    [
        ([], ["math", "history"], ["the sum?", "both"]),
        (["--max-hops", "1"], ["math"], ["the sum?"]),
        (["--rewrite", "never"], ["math", "history"], ["both", "both"]),
        (["--expert", "math"], ["math"], ["the sum?"]),
    ],
)
def test_options_set_the_run(octopus: Any, options: list[str], path: list[str], queries: list[str]) -> None:
    run = json.loads(octopus("ask", "both", "--dry-run", "--json", *options).stdout)

    assert run["path"] == path
    assert [hop["query"] for hop in run["hops"]] == queries


def test_options_that_are_not_given_stay_as_the_graph_file_has_them(octopus: Any, graph_file: Path) -> None:
    text = graph_file.read_text()
    graph_file.write_text(text + "defaults: {rewrite: never, max_hops: 1}\n")

    run = json.loads(octopus("ask", "rephrase", "--graph", graph_file, "--dry-run", "--json", "--max-hops", "2").stdout)

    assert run["hops"][0]["query"] == "rephrase"


# ---------------------------------------------------------------- batches


@pytest.mark.parametrize("jobs", [1, 3])
def test_a_batch_gains_path_and_answer(octopus: Any, rows: Path, lines: Any, jobs: int) -> None:
    rows.write_text(
        "".join(json.dumps({"id": i, "query": f"{q} {i}"}) + "\n" for i in range(5) for q in ("both", "contract"))
    )

    result = octopus("ask", "--batch", rows, "--dry-run", "--jobs", jobs)

    assert result.exit_code == 0
    found = lines(result.stdout)
    assert [row["path"] for row in found] == [["math", "history"], ["law"]] * 5
    assert [row["answer"] for row in found[1::2]] == [f"[law] contract {i}" for i in range(5)]
    assert set(found[0]) == {"id", "query", "path", "answer"}


def test_a_row_whose_expert_fails_says_so_and_the_rest_is_done(
    octopus: Any, with_experts: Any, rows: Path, lines: Any
) -> None:
    def fails(query: str) -> str:
        raise ConnectionError("no route")

    with_experts(Expert("math", "Calculates", fails), EchoExpert("law"))

    result = octopus("ask", "--batch", rows)

    assert result.exit_code == 1
    first, second = lines(result.stdout)
    assert first["error"].startswith("The expert 'math' did not answer (ConnectionError: no route)")
    assert set(first) == {"id", "request", "error"}
    assert second["answer"] == "[law] is this contract void?"
    assert result.stderr.endswith("; 1 failed.\n")


def test_a_mistake_of_ours_ends_the_batch_and_writes_nothing(
    octopus: Any, with_experts: Any, rows: Path, router: Any, monkeypatch: Any
) -> None:
    with_experts(EchoExpert("math"), EchoExpert("law"))

    def decide(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(router, "decide", decide)
    result = octopus("ask", "--batch", rows, "--out", rows.with_name("out"))

    assert result.exit_code == 1
    assert "ZeroDivisionError: oops" in result.stderr
    assert [path.name for path in rows.parent.iterdir()] == ["rows.jsonl"]


# ---------------------------------------------------------------- bad use


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([""], "The request is empty"),
        ([], "give a question"),
        (["q", "--batch", "f"], "do not go together"),
        (["q", "--max-hops", "0"], "--max-hops"),
        (["q", "--max-hops", "11"], "--max-hops"),
        (["q", "--max-hops", "many"], "--max-hops"),
        (["q", "--min-confidence", "1.5"], "--min-confidence"),
        (["q", "--min-confidence", "nan"], "--min-confidence"),
        (["q", "--rewrite", "sometimes"], "--rewrite"),
        (["q", "--jobs", "0"], "--jobs"),
        (["q", "--expert", "alchemy"], "there is no expert 'alchemy'"),
        (["q", "--graph", "."], ". is a folder: name the graph file in it."),
        (["q", "--graph", "broken.yaml"], "broken.yaml:2: the YAML is broken"),
        (["q", "--graph", "unknown.yaml"], "unknown.yaml:3: experts.math.neighbours[0]: there is no expert 'alchemy'"),
    ],
)
def test_what_cannot_be_used_is_one_line_before_the_router_loads(
    octopus_without_router: Any, arguments: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("broken.yaml").write_text("version: 1\nexperts: [}\n")
    Path("unknown.yaml").write_text("version: 1\nexperts:\n  math: {description: x, neighbours: [alchemy]}\n")

    result = octopus_without_router("ask", *arguments)

    assert result.exit_code == 2, result.output
    assert says in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
