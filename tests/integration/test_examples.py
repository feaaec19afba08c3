"""Each example runs as its docstring says."""

import subprocess
import sys
from pathlib import Path

import pytest

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


def run(root: Path, name: str, *arguments: str) -> str:
    command = [sys.executable, str(root / "examples" / name), *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_every_example_is_run_here(root: Path) -> None:
    assert {path.name for path in (root / "examples").glob("*.py")} == {*EXPECTED, *AT_A_SERVER, "train_your_own.py"}


@pytest.mark.parametrize("name", EXPECTED)
def test_the_example_prints_what_it_promises(root: Path, name: str) -> None:
    assert EXPECTED[name] in run(root, name)


@pytest.mark.parametrize("name", AT_A_SERVER)
def test_the_example_asks_a_real_openai_compatible_server(root: Path, llama_url: str, name: str) -> None:
    said = run(root, name, llama_url, "smollm2")
    assert AT_A_SERVER[name] in said
    assert len(said.split()) >= 8  # a small model's words are its own, but they came


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_router_is_trained_on_own_requests(root: Path, tmp_path: Path) -> None:
    lines = run(root, "train_your_own.py", str(tmp_path / "router")).splitlines()[-3:]
    assert [line.split()[0] for line in lines] == ["shipping", "refunds", "devices"]
    assert (tmp_path / "router" / "router.json").is_file()
