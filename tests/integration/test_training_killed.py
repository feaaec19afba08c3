"""A training run ended by `kill -9`: the router that was there stays, and the same command goes on from there."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from octopus_graph.router import OctopusRouter

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900), pytest.mark.slow]

TOPICS = {
    "refunds": ("money back", "refund", "returned parcel", "wrong charge", "double payment"),
    "shipping": ("parcel late", "delivery date", "tracking number", "courier", "address change"),
}
RECIPE = """\
version: 1
router:
  {rank: 4, first_layer: 26, modules: [q_proj, v_proj], learning_rate: 0.002, token_learning_rate: 0.004, batch: 8,
   evaluations: 8, patience: 8, seed: 17}
edge:
  {rank: 2, first_layer: 28, modules: [q_proj], learning_rate: 0.001, token_learning_rate: 0, batch: 8, seed: 17}
mixture: {passes: 3, composed: 20, composed_edge: 4}
"""


def test_a_killed_run_leaves_the_old_router_and_goes_on(tmp_path: Path) -> None:
    rows = [
        {"request": f"{asked} {topic}, order {number}", "expert": expert}
        for expert, topics in TOPICS.items()
        for topic in topics
        for number, asked in enumerate(("question about my", "where is the", "help with the", "i have a", "again the"))
    ]
    examples, recipe = tmp_path / "rows.jsonl", tmp_path / "recipe.yaml"
    examples.write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe.write_text(RECIPE)
    out, work = tmp_path / "router", tmp_path / "work"
    out.mkdir()
    (out / "mine.txt").write_text("the router that was here")
    command = [sys.executable, "-m", "octopus_graph", "train", "router", "--examples", str(examples)]
    command += ["--config", str(recipe), "--out", str(out), "--work", str(work)]

    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=tmp_path)
    until = time.monotonic() + 300
    while not list(work.rglob("checkpoint-*/trainer_state.json")):
        assert first.poll() is None, "it ended before its first checkpoint"
        assert time.monotonic() < until
        time.sleep(0.2)
    os.kill(first.pid, signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL
    assert [path.name for path in out.iterdir()] == ["mine.txt"]

    newest = max(int(path.name.rpartition("-")[2]) for path in work.rglob("checkpoint-*"))
    again = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert again.returncode == 0, again.stderr[-2000:]
    states = [json.loads(path.read_text()) for path in work.rglob("checkpoint-*/trainer_state.json")]
    last = max(states, key=lambda state: state["global_step"])
    steps = [entry["step"] for entry in last["log_history"]]
    assert last["global_step"] > newest
    assert steps == sorted(steps), "a run that began anew would log its first steps twice"
    assert not (out / "mine.txt").exists()
    decision = OctopusRouter.from_pretrained(out).decide("I want my money back for order 77", rewrite="never")
    assert decision.expert == "refunds"
