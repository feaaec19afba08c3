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
    "retrieval_expert.py": "law: Our contract says: Deposit",
}
ELSEWHERE = {"experts_by_url.py", "train_your_own.py"}  # each has a test of its own below


def run(root: Path, name: str, *arguments: str) -> str:
    command = [sys.executable, str(root / "examples" / name), *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_every_example_is_run_here(root: Path) -> None:
    assert {path.name for path in (root / "examples").glob("*.py")} == EXPECTED.keys() | ELSEWHERE


@pytest.mark.parametrize("name", EXPECTED)
def test_the_example_prints_what_it_promises(root: Path, name: str) -> None:
    assert EXPECTED[name] in run(root, name)


def test_experts_by_url_stream_from_a_real_openai_compatible_server(root: Path, llama_url: str) -> None:
    first, words = run(root, "experts_by_url.py", llama_url, "smollm2").split("\n", 1)
    assert first == "<nexa_4> math:"
    assert len(words.split()) >= 5  # a small model's words are its own, but they came


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_router_is_trained_on_own_requests(root: Path, tmp_path: Path) -> None:
    lines = run(root, "train_your_own.py", str(tmp_path / "router")).splitlines()[-3:]
    assert [line.split()[0] for line in lines] == ["shipping", "refunds", "devices"]
    assert (tmp_path / "router" / "router.json").is_file()
