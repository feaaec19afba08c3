"""An evaluation ended by `kill -9`: what was measured is printed and written, and the same command goes on from it."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

PROGRAM = """\
import os, signal, sys
from octopus_graph.cli import app
from octopus_graph.router import OctopusRouter
from octopus_graph.testing import scripted_router

last = int(sys.argv.pop(1))
scored = 0

def script(scene):
    global scored
    scored += 1
    if scored == last:
        os.kill(os.getpid(), signal.SIGKILL)
    with open("scored", "a") as stream:
        stream.write(f"{scene.request} after {len(scene.answers)}\\n")
    return "law" if "contract" in scene.request else None if scene.answers else "math"

OctopusRouter.from_pretrained = classmethod(lambda cls, model=None: scripted_router(script))
app(sys.argv[1:])
"""
SINGLE = [{"request": f"integral {number}?", "expert": "math", "source": "exam"} for number in range(150)]
PATHS = [
    {"request": f"part {number}", "hops": [{"expert": "math", "query": "?", "answer": "1"}], "source": "parts"}
    for number in range(20)
]


@pytest.fixture
def run(tmp_path: Path) -> Any:
    """Runs the command line with a router that kills the process when it is asked for the n-th time."""
    (tmp_path / "cases.jsonl").write_text("".join(json.dumps(row) + "\n" for row in SINGLE + PATHS))
    (tmp_path / "program.py").write_text(PROGRAM)

    def command(last: int, *more: str, out: str = "out") -> subprocess.CompletedProcess[str]:
        (tmp_path / "scored").write_text("")
        line = [sys.executable, "program.py", str(last), "evaluate", "all", "cases.jsonl", "--no-baselines"]
        return subprocess.run(
            [*line, "--out", out, *more], capture_output=True, text=True, cwd=tmp_path, check=False, timeout=200
        )

    return command


def test_a_killed_evaluation_goes_on_from_what_it_had(run: Any, tmp_path: Path) -> None:
    def scored() -> list[str]:
        return (tmp_path / "scored").read_text().splitlines()

    def figures(out: str) -> dict[str, Any]:
        return json.loads((tmp_path / out / "evaluation.json").read_text())

    def timeless(found: dict[str, Any]) -> dict[str, Any]:
        rewrites = {source: {**rows, "milliseconds": None} for source, rows in found["rewrite"].items()}
        return {key: value for key, value in found.items() if key not in ("measured", "speed")} | {"rewrite": rewrites}

    killed = run(150 + 10)  # after 150 single requests, in the midst of the paths
    assert killed.returncode == -signal.SIGKILL
    assert "Routing: share right" in killed.stdout
    assert "Paths" not in killed.stdout
    assert list(figures("out")["measured"]) == ["routing"]
    assert "Routing: share right" in (tmp_path / "out" / "evaluation.html").read_text()

    again = run(-1)
    assert again.returncode == 0, again.stderr[-2000:]
    assert "routing: measured" in again.stderr
    assert "with the same router, cases and limits" in again.stderr
    assert "Routing: share right" in again.stdout
    decided = scored()
    assert decided[0] == "part 4 after 0", "four paths were kept, and the fifth was begun"
    straight = run(-1, out="elsewhere")
    assert straight.returncode == 0, straight.stderr[-2000:]
    assert len(scored()) == len(decided) + 150 + 2 * 4
    assert timeless(figures("out")) == timeless(figures("elsewhere"))
