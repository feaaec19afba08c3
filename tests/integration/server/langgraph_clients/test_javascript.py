"""LangGraph's JavaScript client and its React hooks against a real server, under Node."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

FILES = ("package.json", "package-lock.json")
OFFLINE = ("ENOTFOUND", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "EAI_AGAIN", "ENETUNREACH")
EXPECTED = {
    "langgraph.test.mjs": 10,
    "use-stream.test.mjs": 6,
    "event-streaming.test.mjs": 3,
    "react.test.mjs": 4,
}


@pytest.fixture(scope="session")
def packages(root: Path) -> Path:
    """The JavaScript packages, installed once for each lock file."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        pytest.skip("node and npm are not installed")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.lstrip("v").partition(".")[0]) < 20:
        pytest.skip(f"the JavaScript clients need node 20, this is {version.strip()}")
    source, target = root / "tests/integration/server/js", root / "build/js"
    target.mkdir(parents=True, exist_ok=True)
    with FileLock(target / ".lock"):
        lock = (source / "package-lock.json").read_text()
        done = target / ".installed"
        if not done.exists() or done.read_text() != lock:
            for name in FILES:
                shutil.copy(source / name, target)
            got = subprocess.run(
                [npm, "ci", "--no-audit", "--no-fund"], check=False, cwd=target, capture_output=True, timeout=300
            )
            said = got.stderr.decode()
            if any(trouble in said for trouble in OFFLINE):
                pytest.skip("the registry of JavaScript packages cannot be reached")
            assert got.returncode == 0, said[-2000:]
            done.write_text(lock)
    return target


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPECTED)
def test_the_javascript_client_works(packages: Path, root: Path, probe: Any, name: str) -> None:
    shutil.copy(root / "tests/integration/server/js" / name, packages)
    got = subprocess.run(
        ["node", "--test", "--test-reporter=tap", name],
        check=False,
        cwd=packages,
        capture_output=True,
        text=True,
        env=os.environ | {"OCTOPUS_URL": probe.url},
        timeout=300,
    )
    counts = {
        kind: int(count) for kind, count in re.findall(r"^# (tests|pass|fail|skipped) (\d+)$", got.stdout, re.MULTILINE)
    }
    sys.stdout.write(f"{name}: {counts}\n")
    assert got.returncode == 0, got.stdout[-4000:] + got.stderr[-2000:]
    assert counts == {"tests": EXPECTED[name], "pass": EXPECTED[name], "fail": 0, "skipped": 0}


def test_the_lock_file_names_no_registry(root: Path) -> None:
    assert "resolved" not in (root / "tests/integration/server/js/package-lock.json").read_text()
