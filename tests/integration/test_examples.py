"""Each example runs as its docstring says."""

import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from octopus_graph import OctopusRouter

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

EXPECTED = {
    "decide.py": "<nexa_4> math",
    "human_in_the_loop.py": "computer_science: I debug: ",
    "own_experts.py": "<nexa_8> law",
    "own_tools.py": "-> math: 12\n",
    "replace_supervisor.py": "supervisor: The derivative is 3x^2.\n",
    "retrieval_expert.py": "law: Our contract says: Deposit",
}
AT_A_SERVER = {
    "agent_with_middleware.py": "'shown': ['solve']",
    "chat_model.py": "<nexa_8> law (",
    "experts_by_url.py": "<nexa_4> math:\n",
}


Run = Callable[..., str]


@pytest.fixture(scope="module")
def router() -> OctopusRouter:
    return OctopusRouter.from_pretrained()


@pytest.fixture
def run(root: Path, router: OctopusRouter, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs an example as `python examples/NAME ARGUMENTS` does, but for the router: it is loaded once for all."""

    def run_one(name: str, *arguments: str) -> str:
        monkeypatch.setattr(OctopusRouter, "from_pretrained", lambda *_, **__: router)
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        runpy.run_path(str(root / "examples" / name), run_name="__main__")
        return capsys.readouterr().out

    return run_one


def test_an_example_runs_in_a_process_of_its_own(root: Path) -> None:
    command = [sys.executable, str(root / "examples" / "decide.py")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert EXPECTED["decide.py"] in result.stdout


def test_every_example_is_run_here(root: Path) -> None:
    assert {path.name for path in (root / "examples").glob("*.py")} == {*EXPECTED, *AT_A_SERVER, "train_your_own.py"}


@pytest.mark.parametrize("name", EXPECTED)
def test_the_example_prints_what_it_promises(run: Run, name: str) -> None:
    assert EXPECTED[name] in run(name)


@pytest.mark.parametrize("name", AT_A_SERVER)
def test_the_example_asks_a_real_openai_compatible_server(run: Run, llama_url: str, name: str) -> None:
    said = run(name, llama_url, "smollm2")
    assert AT_A_SERVER[name] in said
    assert len(said.split()) >= 8  # a small model's words are its own, but they came


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_router_is_trained_on_own_requests(root: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(root / "examples" / "train_your_own.py"), str(tmp_path / "router")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()[-3:]
    assert [line.split()[0] for line in lines] == ["shipping", "refunds", "devices"]
    assert (tmp_path / "router" / "router.json").is_file()
