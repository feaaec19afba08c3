import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import octopus_graph.training
from octopus_graph.errors import TrainingError
from octopus_graph.router import SHIPPED
from octopus_graph.training.recipe import PLAN
from octopus_graph.weights import EMBEDDED


class Commands:
    """In the place of octopus_graph.training.commands."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def shipped_lessons(self, data: Path) -> Path:
        return data

    def own_lessons(self, files: list[Path]) -> list[Path]:
        return files

    def train_router(
        self, lessons: Any, plan: Any, out: Path, work: Path, *, base: str, start: Path | None, say: Any
    ) -> None:
        self.calls.append((lessons, out, work, base, start))
        say("98% of [it] \x1b is learnt.")

    def train_all(
        self, lessons: Any, plan: Any, out: Path, work: Path, *, base: str, start: Path | None, say: Any
    ) -> None:
        self.calls.append(("all", lessons, out, work, base, start))

    def train_edges(self, lessons: Any, plan: Any, router: Path, work: Path, *, experts: Any, say: Any) -> None:
        self.calls.append((lessons, router, work, experts))
        say("Edges.")

    def calibrate_router(self, lessons: Any, router: Path, work: Path, *, say: Any) -> None:
        self.calls.append((lessons, router, work))
        say("Calibrated.")


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> Commands:
    commands = Commands()
    monkeypatch.setattr(octopus_graph.training, "commands", commands, raising=False)
    return commands


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "mmlu_dev.jsonl").touch()
    return tmp_path


def test_the_router_is_trained_where_it_is_said(octopus: Any, commands: Commands, data: Path) -> None:
    result = octopus("train", "router", "--data", data, "--out", "o", "--work", "w", "--base", "org/base")

    assert (result.exit_code, result.stdout) == (0, "98% of [it] \ufffd is learnt.\n")
    assert commands.calls == [(data, Path("o"), Path("w"), "org/base", None)]


def test_a_finished_router_is_calibrated_where_it_is(octopus: Any, commands: Commands, data: Path) -> None:
    result = octopus("train", "calibration", "--data", data, "--router", "r", "--work", "w")

    assert (result.exit_code, result.stdout) == (0, "Calibrated.\n")
    assert octopus("train", "calibration", "--examples", "a.jsonl", "--router", "mine").exit_code == 0
    assert commands.calls == [
        (data, Path("r"), Path("w")),
        ([Path("a.jsonl")], Path("mine"), Path("build/calibration")),
    ]


@pytest.mark.parametrize("command", ["router", "all"])
def test_a_run_may_go_on_from_a_router(octopus: Any, commands: Commands, data: Path, command: str) -> None:
    assert octopus("train", command, "--data", data, "--out", "o", "--start", "older").exit_code == 0
    assert commands.calls[0][-2:] == (EMBEDDED, Path("older"))


def test_the_shipped_router_is_the_default_and_data_may_lie_beside(
    octopus: Any, commands: Commands, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, shared = data / "repository", data / "shared" / "data"
    here.mkdir()
    shared.mkdir(parents=True)
    (shared / "mmlu_dev.jsonl").touch()
    monkeypatch.chdir(here)

    assert octopus("train", "router").exit_code == 0
    assert octopus("train", "edges", "--expert", "math", "--expert", "law").exit_code == 0
    beside = Path("../shared/data")
    assert commands.calls == [
        (beside, SHIPPED, Path("build/router"), EMBEDDED, None),
        (beside, SHIPPED, Path("build/edges"), ["math", "law"]),
    ]


def test_your_own_examples_train_a_router_and_its_edges(octopus: Any, commands: Commands) -> None:
    result = octopus("train", "all", "--examples", "a.jsonl", "--examples", "b.jsonl", "--out", "o", "--work", "w")

    assert result.exit_code == 0
    files = [Path("a.jsonl"), Path("b.jsonl")]
    assert commands.calls == [("all", files, Path("o"), Path("w"), EMBEDDED, None)]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--examples", "a.jsonl"), "say where your router is to go"),
        (("--examples", "a.jsonl", "--data", "d", "--out", "o"), "--examples trains on your rows alone"),
    ],
)
def test_your_own_examples_never_touch_the_shipped_router(
    octopus: Any, commands: Commands, arguments: tuple[str, ...], says: str
) -> None:
    result = octopus("train", "router", *arguments)

    assert result.exit_code == 2
    assert says in result.stderr
    assert commands.calls == []


def test_a_training_file_with_a_mistake_is_named_by_line(
    octopus: Any, commands: Commands, data: Path, tmp_path: Path
) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text(PLAN.read_text(encoding="utf-8").replace("rank: 16", "rank: 0"), encoding="utf-8")

    result = octopus("train", "router", "--data", data, "--config", config)

    assert result.exit_code == 2
    assert "mine.yaml:5: router.rank: input should be greater than 0." in result.stderr


def test_json_is_the_figures(octopus: Any, commands: Commands, data: Path) -> None:
    (data / "figures.json").write_text('{"routes": {"mmlu": 0.85}}')

    result = octopus("train", "edges", "--data", data, "--router", data, "--json")

    assert json.loads(result.stdout) == {"router": str(data), "figures": {"routes": {"mmlu": 0.85}}}
    assert result.stderr == "Edges.\n"


def test_data_that_is_not_there_is_one_line(
    octopus: Any, commands: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    for arguments, says in (((), "give the folder that holds"), (("--data", "absent"), "'absent' holds no")):
        result = octopus("train", "router", *arguments)
        assert result.exit_code == 2
        assert f"Invalid value for --data: {says} mmlu_dev.jsonl" in result.stderr
        assert result.stderr.count("\n") == 1
    assert commands.calls == []


def test_a_run_that_fails_is_one_line(
    octopus: Any, commands: Commands, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train_router(*_: Any, **__: Any) -> None:
        raise TrainingError("mmlu_dev.jsonl, line 3: question: Field required.")

    monkeypatch.setattr(commands, "train_router", train_router)
    result = octopus("train", "router", "--data", data)

    assert (result.exit_code, result.stderr) == (1, "Error: mmlu_dev.jsonl, line 3: question: Field required.\n")


def test_without_the_extra_it_says_what_to_install(octopus: Any, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(octopus_graph, "training")  # put back: else it stays the half that is imported now
    for name in [name for name in sys.modules if name.startswith("octopus_graph.training")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "peft", None)

    result = octopus("train", "router", "--data", data)

    assert result.exit_code == 1
    assert result.stderr == "Error: Training needs the extra 'train': pip install 'octopus-graph[train]'.\n"


TINY = """\
version: 1
router: {rank: 4, first_layer: 1, modules: [q_proj, v_proj, down_proj], learning_rate: 0.01, token_learning_rate: 0.02,
  batch: 8, evaluations: 2}
edge: {rank: 2, first_layer: 1, modules: [q_proj], learning_rate: 0.01, token_learning_rate: 0, batch: 8}
mixture: {passes: 4}
"""


def test_a_router_of_ones_own_experts_from_rows_to_a_decision(octopus: Any, llama: Path, tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"request": letter * 6 + str(number), "expert": expert}
        for letter, expert in (("b", "billing"), ("s", "support"))
        for number in range(60)
    ]
    rows += [
        {"request": f"b{n} s{n}", "hops": [{"expert": "billing", "query": "b"}, {"expert": "support", "query": "s"}]}
        for n in range(20)
    ]
    file, config, place = tmp_path / "mine.jsonl", tmp_path / "tiny.yaml", tmp_path / "router"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    config.write_text(TINY, encoding="utf-8")
    command = ["train", "all", "--examples", file, "--config", config, "--base", llama]
    result = octopus(*command, "--out", place, "--work", tmp_path / "work", "--json")

    assert result.exit_code == 0, result.stderr
    assert set(json.loads(result.stdout)["figures"]) == {"training", "data", "routes", "edges", "paths"}
    decided = json.loads(octopus("route", "--router", place, "bbbbbb77", "--json").stdout)
    assert (decided["expert"], decided["token"]) == ("billing", "<nexa_0>")
    assert octopus("route", "--router", place, "--expert", "math", "x").exit_code == 2
    again = octopus(*command, "--out", place, "--work", tmp_path / "work")
    assert "finished; nothing to train" in again.stdout


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_ctrl_c_says_that_the_same_command_goes_on_and_so_it_does(llama: Path, tmp_path: Path) -> None:
    rows = [
        {"request": letter * 6 + str(number), "expert": expert}
        for letter, expert in (("b", "billing"), ("s", "support"))
        for number in range(60)
    ]
    examples, config, place, work = (tmp_path / name for name in ("mine.jsonl", "tiny.yaml", "router", "work"))
    examples.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    slow = TINY.replace("evaluations: 2", "evaluations: 30, patience: 30").replace("passes: 4", "passes: 15")
    config.write_text(slow, encoding="utf-8")
    command = [sys.executable, "-m", "octopus_graph", "train", "router", "--examples", examples, "--config", config]
    command += ["--base", llama, "--out", place, "--work", work]

    heard = tmp_path / "stderr"
    with heard.open("w") as file, subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=file) as run:
        try:
            while not list(work.rglob("checkpoint-*/trainer_state.json")):
                assert run.poll() is None, "it ended before its first checkpoint"
                time.sleep(0.02)
            run.send_signal(signal.SIGINT)
            assert run.wait() == 130
        finally:
            run.kill()  # a test that failed, or took too long, leaves no process
    stderr = heard.read_text()

    assert "\nInterrupted: the same command goes on from the last checkpoint.\n" in stderr
    assert "Traceback" not in stderr
    assert not place.exists()
    stopped = max(int(path.name.rpartition("-")[2]) for path in work.rglob("checkpoint-*"))
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    states = [json.loads(path.read_text()) for path in work.rglob("checkpoint-*/trainer_state.json")]
    last = max(states, key=lambda state: state["global_step"])
    steps = [entry["step"] for entry in last["log_history"]]
    assert last["global_step"] > stopped
    assert steps == sorted(steps), "a run that began anew would log its first steps twice"
    assert (place / "router.json").is_file()


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (['{"request": "a", "expert": "one"}', "{"], "mine.jsonl, line 2: this is no JSON object."),
        (['{"request": "a", "expert": "no name!"}'], "mine.jsonl, line 1: 'no name!' is no name for an expert"),
        (['{"request": "", "expert": "one"}'], "mine.jsonl, line 1: request: String should have at least 1"),
        (['{"request": "a", "expert": "one"}'], "There is only one: a router needs two experts."),
        (['{"request": "a"}'], "There are no experts in the rows: a router needs two."),
    ],
)
def test_rows_that_make_no_router_are_one_line(octopus: Any, tmp_path: Path, lines: list[str], says: str) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text("\n".join(lines), encoding="utf-8")
    result = octopus("train", "router", "--examples", file, "--out", tmp_path / "router")

    assert result.exit_code == 1
    assert says in result.stderr
    assert not (tmp_path / "router").exists()
