"""What the README shows is run here: its Python, its commands, its graph file."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


def blocks(root: Path, language: str) -> list[str]:
    text = (root / "README.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def run(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "OCTOPUS_DATA": str(cwd / "data"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def test_the_python_prints_an_expert_and_an_answer(root: Path, tmp_path: Path) -> None:
    code = "\n".join(blocks(root, "python"))  # the later ones go on from the first
    result = run(sys.executable, "-c", code, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == "law"
    assert lines[1].startswith("I differentiate: ")
    assert "'math'" in lines[2]
    assert lines[3] == "I differentiate: Derivative of x^2?"


def test_the_commands_succeed(root: Path, tmp_path: Path) -> None:
    (commands,) = blocks(root, "bash")
    for command in commands.strip().splitlines():
        result = run("sh", "-c", command, cwd=tmp_path)
        assert result.returncode == 0, f"{command}: {result.stderr}"
        assert result.stdout.strip(), command


def test_the_graph_file_is_valid(root: Path, tmp_path: Path) -> None:
    (content,) = blocks(root, "yaml")
    (tmp_path / "octopus.yaml").write_text(content)
    result = run("octopus-graph", "graph", "validate", "--graph", "octopus.yaml", cwd=tmp_path)
    assert result.returncode == 0, result.stderr


def test_the_two_commands_of_the_readme_are_make_targets(root: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (root / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z-]+)", (root / "README.md").read_text()))
    assert {"run", "test", "router"} <= named
    assert named <= targets


def test_every_link_to_a_file_leads_somewhere(root: Path) -> None:
    text = (root / "README.md").read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    assert len(links) >= 5
    assert [link for link in links if not (root / link).exists()] == []
