"""openai-node against the server, under Node; the assertions stand in js_openai/openai.test.mjs."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

TESTS = 12


@pytest.fixture(scope="session")
def packages(root: Path) -> Path:
    """The client, installed once for each lock file."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        pytest.skip("node and npm are not installed")
    source, target = root / "tests/integration/server/js_openai", root / "build/js_openai"
    target.mkdir(parents=True, exist_ok=True)
    with FileLock(target / ".lock"):
        lock, done = (source / "package-lock.json").read_text(), target / ".installed"
        for name in ("package.json", "package-lock.json", ".npmrc", "openai.test.mjs"):
            shutil.copy(source / name, target)
        if not done.exists() or done.read_text() != lock:
            got = subprocess.run([npm, "ci"], check=False, cwd=target, capture_output=True, text=True, timeout=300)
            if got.returncode:
                pytest.skip(f"npm could not install the client: {got.stderr[-300:]}")
            done.write_text(lock)
    return target


def test_the_javascript_client_works(packages: Path, url: str) -> None:
    got = subprocess.run(
        ["node", "--test", "--test-reporter=tap", "openai.test.mjs"],
        check=False,
        cwd=packages,
        capture_output=True,
        text=True,
        env=os.environ | {"OCTOPUS_URL": url},
        timeout=300,
    )
    counts = dict(re.findall(r"^# (tests|pass|fail|skipped) (\d+)$", got.stdout, re.MULTILINE))
    sys.stdout.write(f"openai-node: {counts}\n")
    assert got.returncode == 0, got.stdout[-4000:] + got.stderr[-2000:]
    assert counts == {"tests": str(TESTS), "pass": str(TESTS), "fail": "0", "skipped": "0"}


def test_the_lock_file_names_no_registry(root: Path) -> None:
    assert "resolved" not in (root / "tests/integration/server/js_openai/package-lock.json").read_text()
