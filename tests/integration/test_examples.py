"""Each example runs as its docstring says."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

EXPECTED = {"decide.py": "<nexa_4> math", "own_experts.py": "<nexa_8> law"}


def test_every_example_is_run_here(root: Path) -> None:
    assert {path.name for path in (root / "examples").glob("*.py")} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_the_example_prints_what_it_promises(root: Path, name: str) -> None:
    command = [sys.executable, str(root / "examples" / name)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert EXPECTED[name] in result.stdout
