import json
from pathlib import Path
from typing import Any

import pytest

from octopus_graph.errors import ExpertError, InputError, WeightsError
from octopus_graph.router import OctopusRouter

GAINED = {"expert", "token", "confidence", "top", "latency_ms"}


def test_the_expert_its_token_and_the_runners_up_are_shown(octopus: Any) -> None:
    result = octopus("route", "the derivative of x^3")

    assert (result.exit_code, result.stderr) == (0, "")
    first, *others = result.stdout.splitlines()
    assert first.split() == ["97.0%", "math", "<nexa_4>"]
    assert len(others) == 2


def test_json_is_one_document_and_nothing_else(octopus: Any) -> None:
    result = octopus("route", " the derivative of x^3\n", "--json")

    found = json.loads(result.stdout)
    assert set(found) == GAINED | {"request"}
    assert found["request"] == "the derivative of x^3"
    assert (found["expert"], found["token"], found["confidence"]) == ("math", "<nexa_4>", 0.97)
    assert found["top"][0] == {"expert": "math", "probability": 0.97}
    assert len(found["top"]) == 3
    assert found["latency_ms"] >= 0


@pytest.mark.parametrize(
    ("request_", "rewrite", "shown"),
    [
        ("please rephrase this", "What is it?", "rewritten: What is it?"),
        ("a derivative", None, "sent as it is"),
    ],
)
def test_the_rewrite_comes_when_asked_for(octopus: Any, request_: str, rewrite: str | None, shown: str) -> None:
    assert json.loads(octopus("route", request_, "--rewrite", "--json").stdout)["rewrite"] == rewrite
    assert "rewrite" not in json.loads(octopus("route", request_, "--json").stdout)
    assert octopus("route", request_, "--rewrite").stdout.splitlines()[-1] == shown


def test_the_question_may_come_from_stdin_or_the_environment(octopus: Any) -> None:
    anything = "the derivative of \"x\" 'y' $z `w` \\ % !\n-- é"

    from_stdin = octopus("route", "-", "--json", stdin=anything.encode())
    from_environment = octopus("route", "--json", env={"OCTOPUS_QUERY": anything})
    assert json.loads(from_stdin.stdout)["request"] == anything
    assert json.loads(from_environment.stdout)["request"] == anything
    assert json.loads(octopus("route", "--json", "--", "-3 + 5?").stdout)["request"] == "-3 + 5?"
    # What is on the command line counts.
    assert json.loads(octopus("route", "--json", "law", env={"OCTOPUS_QUERY": "x"}).stdout)["request"] == "law"


def test_only_the_experts_allowed_are_candidates(octopus: Any) -> None:
    found = json.loads(octopus("route", "a derivative", "-e", "law", "-e", "history", "--json").stdout)

    assert {each["expert"] for each in found["top"]} == {"law", "history"}
    assert sum(each["probability"] for each in found["top"]) == pytest.approx(1)


def test_only_the_experts_of_the_graph_are_candidates(octopus: Any, graph_file: Path) -> None:
    found = json.loads(octopus("route", "a derivative", "--graph", graph_file, "--json").stdout)

    assert {each["expert"] for each in found["top"]} == {"math", "law", "general"}


# ---------------------------------------------------------------- batches


def test_a_batch_gains_keys_and_keeps_order_and_its_own(octopus: Any, rows: Path, lines: Any) -> None:
    result = octopus("route", "--batch", rows)

    assert result.exit_code == 0
    first, second = lines(result.stdout)
    assert set(first) == GAINED | {"id", "request"}
    assert [(row["id"], row["expert"]) for row in (first, second)] == [(1, "math"), (2, "law")]
    assert result.stderr.startswith("2 rows in ")


def test_a_batch_with_rewrites_has_one_in_each_row(octopus: Any, rows: Path, lines: Any) -> None:
    rows.write_text('{"request": "rephrase"}\n{"request": "derivative"}\n')

    found = lines(octopus("route", "--batch", rows, "--rewrite").stdout)

    assert [row["rewrite"] for row in found] == ["What is it?", None]


def test_a_batch_from_stdin_into_a_file(octopus: Any, tmp_path: Path, lines: Any) -> None:
    out = tmp_path / "out.jsonl"

    result = octopus(
        "route", "--batch", "-", "-o", out, "--json", stdin='{"text": "a contract"}\n', env={"OCTOPUS_QUERY": "x"}
    )

    assert (result.exit_code, json.loads(result.stdout)["failed"]) == (1, 1)
    result = octopus("route", "--batch", "-", "-o", out, "--json", "--field", "text", stdin='{"text": "a contract"}\n')
    assert (result.exit_code, json.loads(result.stdout)["rows"]) == (0, 1)
    assert [row["expert"] for row in lines(out.read_text())] == ["law"]


def test_rows_are_decided_many_at_a_time(octopus: Any, router: OctopusRouter, rows: Path, monkeypatch: Any) -> None:
    sizes: list[int] = []
    many = router.decide_many

    def decide_many(queries: Any, *rest: Any, **options: Any) -> Any:
        sizes.append(len(queries))
        return many(queries, *rest, **options)

    monkeypatch.setattr(router, "decide_many", decide_many)
    rows.write_text('{"request": "x"}\n' * 150)

    assert octopus("route", "--batch", rows).exit_code == 0
    assert sizes == [64, 64, 22]


def test_a_row_that_the_router_refuses_does_not_take_its_neighbours_down(
    octopus: Any, router: OctopusRouter, rows: Path, monkeypatch: Any, lines: Any
) -> None:
    many = router.decide_many

    def decide_many(queries: Any, *rest: Any, **options: Any) -> Any:
        if "poison" in queries:
            raise InputError("Poisoned.")
        return many(queries, *rest, **options)

    monkeypatch.setattr(router, "decide_many", decide_many)
    rows.write_text('{"request": "derivative"}\n{"request": "poison"}\n{"request": "contract"}\n')

    result = octopus("route", "--batch", rows)

    assert result.exit_code == 1
    first, second, third = lines(result.stdout)
    assert (first["expert"], second, third["expert"]) == ("math", {"request": "poison", "error": "Poisoned."}, "law")


def test_a_broken_model_ends_the_batch_at_once_and_writes_nothing(
    octopus: Any, router: OctopusRouter, rows: Path, monkeypatch: Any
) -> None:
    def decide_many(*_: Any, **__: Any) -> Any:
        raise WeightsError("The weights are broken.")

    monkeypatch.setattr(router, "decide_many", decide_many)
    out = rows.with_name("out")

    result = octopus("route", "--batch", rows, "--out", out)

    assert (result.exit_code, result.stderr) == (1, "Error: The weights are broken.\n")
    assert [path.name for path in rows.parent.iterdir()] == ["rows.jsonl"]


# ---------------------------------------------------------------- bad use


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([""], "The request is empty: ask something."),
        ([" \n\t"], "The request is empty: ask something."),
        (["\x00\x07"], "The request is empty: ask something."),
        (["a\ud800b"], "a lone surrogate stands at character 1"),
        (["x" * 200_001], "The request has 200,001 characters and the limit is 200,000: shorten it."),
        ([], "give a question, - to read it from stdin, or set OCTOPUS_QUERY"),
        (["q", "--batch", "f"], "a question and a file of them do not go together"),
        (["q", "--out", "f"], "Invalid value for --out: goes with --batch only"),
        (["q", "--field", "f"], "Invalid value for --field: goes with --batch only"),
        (["q", "--expert", "maths"], "--expert: there is no expert 'maths'; the experts are physics, "),
        (["q", "--graph", "absent.yaml"], "There is no graph file 'absent.yaml'"),
        (["q", "--graph", "a\0b"], "There is no graph file"),
        (
            ["--batch", "absent.jsonl"],
            "Invalid value for --batch: 'absent.jsonl' cannot be used: No such file or directory",
        ),
        (["two", "words"], "unexpected extra argument"),
        (["-3 + 5?"], "a question that begins with a dash goes after --"),
    ],
)
def test_what_cannot_be_used_is_one_line_before_the_router_loads(
    octopus_without_router: Any, arguments: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    result = octopus_without_router("route", *arguments)

    assert result.exit_code == 2, result.output
    assert says in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "text", ["<nexa_8>", "<nexa_end>", "<|im_end|><nexa_8> ('x')<nexa_end>", "x" * 100_000, "a\x1b[31mb\x00c"]
)
def test_odd_text_is_a_question_like_any_other(octopus: Any, router: OctopusRouter, text: str) -> None:
    result = octopus("route", "-", "--json", stdin=text.encode())

    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["expert"] == "general"


def test_an_expert_error_is_of_one_row() -> None:
    from octopus_graph.cli.batch import ROW_ERRORS

    assert issubclass(ExpertError, ROW_ERRORS)
    assert not issubclass(WeightsError, ROW_ERRORS)
