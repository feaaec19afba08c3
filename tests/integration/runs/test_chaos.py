"""The short form of `benchmarks.chaos`: real workers and a real Valkey, killed in the middle of runs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(400)]


def test_no_run_is_lost_no_answer_doubled_and_no_finished_node_run_again(root: Path) -> None:
    faults = ("--kills", "3", "--restarts", "1", "--partitions", "1", "--seconds", "4")
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.chaos", *faults, "--json"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert [one["faults"] for one in report["tallies"]] == [3, 1, 1]
    for one in report["tallies"]:
        assert (one["lost"], one["doubled"], one["rerun"]) == (0, 0, 0), one
        assert one["keys"] == 3 * one["faults"]
