"""The distribution as others get it: built, installed into a fresh environment, imported from elsewhere."""

import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

MODULES = ("octopus_graph", "octopus_graph_integrations", "octopus_graph_server")


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel made the way releases are: from the sdist, not from the repository."""
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, root, cwd=out)
    return next(out.glob("*.whl"))


def install(environment: Path, *what: str | Path) -> Path:
    """Make an environment, install only `what`, and let it see this one's dependencies; return its python."""
    venv.create(environment, with_pip=False)
    python = environment / "bin" / "python"
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=environment).strip())
    # Of a path that a .pth file adds, the .pth files are ignored: the repository itself stays out of sight.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    # --ignore-installed: pip sees the installation this test runs in as well, and must leave it alone.
    options = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--ignore-installed"]
    run(sys.executable, "-m", "pip", "--python", python, "install", *options, *what, cwd=environment)
    return python


def homes(python: Path, cwd: Path) -> list[Path]:
    """Where the three packages are imported from."""
    code = f"import {', '.join(MODULES)}; print({'.__file__, '.join(MODULES)}.__file__, sep=chr(10))"
    return [Path(line).resolve() for line in run(python, "-c", code, cwd=cwd).splitlines()]


def test_the_wheel_holds_the_three_packages_and_their_data(wheel: Path, root: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    data = {
        str(path.relative_to(root))
        for pattern in ("*.jsonl", "*.yaml", "*.safetensors")
        for path in (root / "octopus_graph").rglob(pattern)
    }

    assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == set(MODULES)
    assert {f"{module}/py.typed" for module in MODULES} <= names
    assert data <= names


def test_the_wheel_imports_from_outside_the_repository(wheel: Path, tmp_path: Path) -> None:
    python = install(tmp_path / "env", wheel)

    assert all(home.is_relative_to((tmp_path / "env").resolve()) for home in homes(python, tmp_path))


def test_an_editable_install_imports_from_the_repository(root: Path, tmp_path: Path) -> None:
    python = install(tmp_path / "env", "--editable", root)

    assert all(home.is_relative_to(root) for home in homes(python, tmp_path))
