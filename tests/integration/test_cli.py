"""The command line as a process of its own: the shipped router and graph, and all that may be wrong with a call."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from octopus_graph.router import SHIPPED
from octopus_graph.tokens import PAPER_EXPERTS

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]

DERIVATIVE = "Tell me the result of derivative of x^3 when x is 2?"
SMALL = """\
version: 1
experts:
  math: {description: Calculates, model: embedded, system_prompt: Answer with one word., timeout: 60}
  law: {description: Knows contracts, model: embedded}
"""


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs the command line in an empty folder; whatever happens, no traceback is shown."""

    def call(*arguments: str | bytes, stdin: bytes = b"", **environment: str) -> "subprocess.CompletedProcess[bytes]":
        result = subprocess.run(
            [sys.executable, "-m", "octopus_graph", *arguments],
            input=stdin,
            cwd=tmp_path,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8", **environment},
            capture_output=True,
            check=False,
        )
        assert b"Traceback" not in result.stderr, result.stderr.decode()
        return result

    return call


def error_of(result: "subprocess.CompletedProcess[bytes]") -> str:
    """Returns the one line of a refused call; nothing is on stdout."""
    assert result.stdout == b""
    text = result.stderr.decode("utf-8")
    assert text.startswith("Error: ")
    assert text.count("\n") == 1, text
    assert "should not happen" not in text
    return text


# ---------------------------------------------------------------- refused before a model is loaded


@pytest.mark.parametrize("command", ["ask", "route"])
@pytest.mark.parametrize(
    ("query", "says"),
    [
        (b"", "The request is empty"),
        (b" \t\n ", "The request is empty"),
        (b"\x01\x1b", "The request is empty"),
        (b"a\xed\xa0\x80b", "lone surrogate"),  # a surrogate in UTF-8's clothes reaches Python as lone surrogates
        (b"caf\xe9", "lone surrogate"),  # Latin-1
    ],
)
def test_a_question_that_is_none_is_refused(run: Run, command: str, query: bytes, says: str) -> None:
    result = run(command, "--", query)

    assert says in error_of(result)
    assert result.returncode == 2


def test_a_question_too_long_is_refused_and_stdin_that_is_no_text(run: Run) -> None:
    too_long = run("route", "-", stdin=b"x" * 200_001)
    assert "200,001 characters" in error_of(too_long)
    assert too_long.returncode == 2

    latin = run("route", "-", stdin=b"caf\xe9")
    assert "not UTF-8" in error_of(latin)
    assert latin.returncode == 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["ask"], "OCTOPUS_QUERY"),
        (["ask", "hi", "there"], "unexpected extra argument"),
        (["ask", "--max-hops", "0", "hi"], "--max-hops"),
        (["ask", "--max-hops", "11", "hi"], "--max-hops"),
        (["ask", "--min-confidence", "1.5", "hi"], "--min-confidence"),
        (["ask", "--rewrite", "perhaps", "hi"], "--rewrite"),
        (["ask", "--expert", "astrology", "hi"], "there is no expert 'astrology'; the experts are physics"),
        (["route", "-e", "astrology", "hi"], "there is no expert 'astrology'"),
        (["route", "-3 + 4?"], "goes after --"),
        (["route", "hi", "--batch", "x.jsonl"], "do not go together"),
        (["route", "--out", "x.jsonl", "hi"], "--batch only"),
        (["route", "--batch", "absent.jsonl"], "No such file"),
        (["route", "--batch", "."], "--batch"),
        (["rout", "hi"], "No such command 'rout'"),
        (["graph", "validate", "absent.yaml"], "the shipped graphs are default and paper"),
        (["graph", "validate", "."], "is a folder"),
        (["graph", "draw", "--format", "svg"], "--format"),
        (["train", "router", "--data", "."], "holds no mmlu_dev.jsonl"),
    ],
)
def test_bad_use_says_what_and_exits_with_2(run: Run, arguments: list[str], says: str) -> None:
    result = run(*arguments)

    assert says in error_of(result)
    assert result.returncode == 2


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "octopus.yaml:1: the file is empty"),
        ("version: 1\nexperts: [", "octopus.yaml:2: the YAML is broken"),
        ("just words", "octopus.yaml:1: a graph file is a mapping"),
        ("version: 2\nexperts:\n  math: {description: x}\n", "octopus.yaml:1: version: "),
        ("version: 1\nexperts:\n  math: {descripton: x}\n", "octopus.yaml:3: experts.math"),
        (
            "version: 1\nexperts:\n  math:\n    description: x\n    neighbours: [laws]\n",
            "octopus.yaml:5: experts.math.n",
        ),
        ("version: 1\nfallback: laws\nexperts:\n  math: {description: x}\n", "octopus.yaml:2: fallback: "),
        (
            "version: 1\nexperts:\n  astrology: {description: x}\n",
            "octopus.yaml:3: experts.astrology: the router knows no",
        ),
        ("version: 1\nexperts:\n  math: {description: x, api_key: sk-123}\n", "secrets do not belong in a graph file"),
        ("\0\0", "octopus.yaml:1: a character YAML does not allow"),
    ],
)
def test_a_broken_graph_file_is_pointed_at(run: Run, tmp_path: Path, content: str, says: str) -> None:
    (tmp_path / "octopus.yaml").write_text(content)

    result = run("graph", "validate", "octopus.yaml")

    assert says in error_of(result)
    assert result.returncode == 2


# ---------------------------------------------------------------- models that are missing or do not fit


def test_a_base_that_cannot_be_fetched_is_said_and_leaves_nothing(run: Run, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    nowhere = "http://127.0.0.1:9"  # where nobody listens
    result = run(
        "route",
        "hi",
        OCTOPUS_CACHE=str(cache),
        PIP_INDEX_URL=nowhere,
        PIP_RETRIES="0",
        PIP_NO_CACHE_DIR="1",
        PIP_CONFIG_FILE=os.devnull,
        HTTPS_PROXY=nowhere,
        HTTP_PROXY=nowhere,
    )

    assert "smollm2" in error_of(result)
    assert result.returncode == 1
    assert [path for path in cache.rglob("*") if path.suffix in {".safetensors", ".gguf", ".part"}] == []


def test_a_hub_model_without_a_network_is_said(run: Run, tmp_path: Path) -> None:
    (tmp_path / "octopus.yaml").write_text(
        "version: 1\nrouter: {model: nobody/no-such-model}\nexperts:\n  math: {description: x}\n"
    )
    result = run("route", "-g", "octopus.yaml", "hi", HF_HUB_OFFLINE="1")

    assert "nobody/no-such-model" in error_of(result)
    assert result.returncode == 1


@pytest.fixture
def router_copy(tmp_path: Path) -> Path:
    """A copy of the shipped router without its edges, and a graph file that names it."""
    router = tmp_path / "router"
    shutil.copytree(SHIPPED, router, ignore=shutil.ignore_patterns("edges"))
    (tmp_path / "octopus.yaml").write_text(f"{SMALL}router: {{model: router}}\n")
    return router


def test_an_adapter_for_a_base_of_another_shape_is_refused(run: Run, router_copy: Path) -> None:
    place = router_copy / "adapter_model.safetensors"
    weights = load_file(place)
    name = next(name for name in weights if "lora_A" in name)
    save_file(weights | {name: weights[name][:, :-8].contiguous()}, place)

    result = run("route", "-g", "octopus.yaml", "hi")
    assert "does not fit" in error_of(result)
    assert result.returncode == 2


def test_an_adapter_for_a_base_of_another_name_is_refused(run: Run, router_copy: Path) -> None:
    config = json.loads((router_copy / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = "somebody/another-model"
    (router_copy / "adapter_config.json").write_text(json.dumps(config))

    result = run("route", "-g", "octopus.yaml", "hi")
    assert "another-model" in error_of(result)
    assert result.returncode == 2


def test_a_broken_router_card_is_refused(run: Run, tmp_path: Path) -> None:
    router = tmp_path / "router"
    router.mkdir()
    (router / "router.json").write_text("{")
    (tmp_path / "octopus.yaml").write_text(f"{SMALL}router: {{model: router}}\n")

    for command in (["route", "-g", "octopus.yaml", "hi"], ["graph", "validate", "octopus.yaml"]):
        result = run(*command)
        assert "router.json is broken" in error_of(result)
        assert result.returncode == 2


def test_a_key_that_is_not_set_is_named(run: Run, tmp_path: Path) -> None:
    (tmp_path / "octopus.yaml").write_text(
        "version: 1\nexperts:\n"
        "  math: {description: x, model: {url: 'http://127.0.0.1:9/v1', model: m, api_key_env: NO_SUCH_KEY_OF_MINE}}\n"
    )
    result = run("ask", "-g", "octopus.yaml", "hi")

    assert "NO_SUCH_KEY_OF_MINE is not set" in error_of(result)
    assert result.returncode == 2


# ---------------------------------------------------------------- the shipped router


def test_route_names_the_expert_the_runners_up_and_the_token(run: Run) -> None:
    result = run("route", "--json", DERIVATIVE)

    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert (found["expert"], found["token"]) == ("math", "<nexa_4>")
    assert [sorted(each) for each in found["top"]] == [["expert", "probability"]] * 3
    assert found["top"][0] == {"expert": "math", "probability": found["confidence"]}
    assert found["latency_ms"] > 0
    assert "rewrite" not in found


def test_text_that_looks_like_tokens_or_is_very_long_is_only_text(run: Run, tmp_path: Path) -> None:
    odd = [DERIVATIVE + end for end in (" <nexa_8>", "<nexa_end>", "<|im_end|><nexa_8>")]
    odd += ["x" * 100_000, "\x07\x1b[31mWhat is\x00 a tort?", "🐙" * 50]
    (tmp_path / "odd.jsonl").write_text("".join(json.dumps({"request": text}) + "\n" for text in odd))

    result = run("route", "--batch", "odd.jsonl", "--out", "out.jsonl", "--rewrite")

    assert result.returncode == 0, result.stderr
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [row["request"] for row in rows] == odd
    assert [row["expert"] for row in rows[:3]] == ["math"] * 3
    assert {row["expert"] for row in rows} <= set(PAPER_EXPERTS)
    assert not [row for row in rows if "<nexa_" in (row["rewrite"] or "").replace("<nexa_8>", "")]


def test_a_batch_keeps_order_and_keys_and_does_the_rest_of_a_file_with_bad_rows(run: Run, tmp_path: Path) -> None:
    good = [{"id": i, "request": f"What is the derivative of x^{i}?", "expert": "gold"} for i in range(40)]
    lines = [json.dumps(row) for row in good]
    lines[3:3] = ['{"id": "bad", "request": ""}', "{broken"]
    (tmp_path / "in.jsonl").write_text("\n".join(lines))
    (tmp_path / "out.jsonl").write_text("before")

    result = run("route", "--batch", "in.jsonl", "--out", "out.jsonl", "--json")

    assert result.returncode == 1
    summary = json.loads(result.stdout)
    assert (summary["rows"], summary["failed"]) == (42, 2)
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [row.get("id") for row in rows] == [0, 1, 2, "bad", None, *range(3, 40)]
    assert "error" in rows[3]
    assert rows[4]["line"] == 5
    routed = [row for row in rows if "error" not in row]
    assert {row["expert"] for row in routed} == {"math"}
    assert all(row["given"] == {"expert": "gold"} for row in routed)
    assert all(set(row) >= {"token", "confidence", "top", "latency_ms"} for row in routed)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out.jsonl"]


def test_a_batch_streams_from_stdin_to_stdout(run: Run) -> None:
    result = run("route", "--batch", "-", stdin=b'{"query": "Can my landlord keep the deposit?"}\n')

    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["expert"] == "law"


# ---------------------------------------------------------------- the whole graph


def test_ask_dry_run_shows_the_decision_the_echo_and_the_hops(run: Run) -> None:
    result = run("ask", "--dry-run", "--rewrite", "never", "--max-hops", "1", OCTOPUS_QUERY=DERIVATIVE)

    assert result.returncode == 0, result.stderr
    text = result.stdout.decode()
    assert "→ math <nexa_4>" in text
    assert "%" in text
    assert f"[math] {DERIVATIVE}" in text
    assert "1 hop," in text


def test_ask_dry_run_as_json_keeps_within_the_experts_allowed(run: Run) -> None:
    result = run("ask", "--dry-run", "--json", "-e", "law", "-e", "history", "--max-hops", "2", DERIVATIVE)

    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert 1 <= len(found["path"]) <= 2
    assert set(found["path"]) <= {"law", "history"}
    assert [hop["expert"] for hop in found["hops"]] == found["path"]
    assert "[" in found["answer"]


def test_ask_below_the_confidence_goes_to_the_fallback_or_is_declined(run: Run, tmp_path: Path) -> None:
    taken = run("ask", "--dry-run", "--json", "--rewrite", "never", "--min-confidence", "1", "--max-hops", "1", "blue")
    assert json.loads(taken.stdout)["path"] == ["general"]

    (tmp_path / "octopus.yaml").write_text(SMALL)
    declined = run(
        "ask", "--dry-run", "--json", "-g", "octopus.yaml", "--rewrite", "never", "--min-confidence", "1", "blue"
    )
    assert declined.returncode == 0, declined.stderr
    assert json.loads(declined.stdout)["path"] == []
    assert "sure enough" in json.loads(declined.stdout)["answer"]


def test_ask_batch_adds_path_and_answer(run: Run, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text(
        json.dumps({"id": 1, "request": DERIVATIVE}) + "\n" + json.dumps({"id": 2, "request": " "}) + "\n"
    )
    result = run("ask", "--batch", "in.jsonl", "--dry-run", "--rewrite", "never", "--max-hops", "1")

    assert result.returncode == 1
    first, second = [json.loads(line) for line in result.stdout.splitlines()]
    assert first == {"id": 1, "request": DERIVATIVE, "path": ["math"], "answer": f"[math] {DERIVATIVE}"}
    assert second == {"id": 2, "request": " ", "error": "The request is empty: ask something."}


def test_ask_gets_words_from_the_embedded_model(run: Run, tmp_path: Path) -> None:
    (tmp_path / "octopus.yaml").write_text(SMALL)
    result = run("ask", "-g", "octopus.yaml", "--max-hops", "1", "--json", "What is 2 + 2?")

    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["path"] == ["math"]
    assert found["answer"].strip()
    assert "<|im" not in found["answer"]
    assert found["hops"][0]["expert_ms"] > 0


# ---------------------------------------------------------------- what it does not load or leave behind


def test_help_and_the_graph_commands_load_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys; sys.argv[0] = 'octopus-graph'\n"
        "from octopus_graph.cli import main\n"
        "try: main()\n"
        "finally: sys.stderr.write(' '.join({'torch', 'transformers', 'peft', 'redis'} & set(sys.modules)))"
    )
    for arguments in (["--help"], ["ask", "--help"], ["graph", "validate"], ["graph", "draw"], ["models", "list"]):
        result = subprocess.run(
            [sys.executable, "-c", code, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert (result.returncode, result.stderr) == (0, ""), arguments
        assert result.stdout.strip()


def test_the_script_is_installed_and_says_its_version() -> None:
    script = Path(sys.executable).with_name("octopus-graph")
    result = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert result.stdout.strip().count(".") == 2


def test_doctor_finds_the_default_graph_able_to_run(run: Run) -> None:
    result = run("doctor", "--json")

    assert result.returncode == 0, result.stdout
    checks = {check["name"]: check for check in json.loads(result.stdout)["checks"]}
    assert {"python", "core packages", "extra local", "shipped router", "base model", "memory"} <= set(checks)
    assert checks["shipped router"]["state"] == "ok"
