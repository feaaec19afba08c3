"""Who may import whom, what the front door shows, and what may not stand in a file."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGES = ("octopus_graph", "integrations/octopus_graph_integrations", "server/octopus_graph_server")
HEAVY = ("fastapi", "peft", "redis", "torch", "transformers")
FRONT_DOOR = 12
LONGEST_FILE = 400

# The names are written as patterns, so that this file passes its own test.
REGISTRY = re.compile(
    r"pypi[.]org|pythonhosted[.]org|download[.]pytorch[.]org|registry[.]npmjs|registry[.]yarnpkg|deb[.]debian[.]org"
    r"|index[-]url\b|find[-]links\b|trusted[-]host\b"
)
MACHINE_PATH = re.compile(r"(?<![\w.$}/-])/(?:work|root|home/\w+|Users/\w+|opt/(?:wheels|pypi))(?:/|\b)")


def texts(root: Path) -> list[tuple[Path, str]]:
    """Each file that is tracked, or would be by `git add .`, with its text."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    found: list[tuple[Path, str]] = []
    for name in filter(None, listing.stdout.split("\0")):
        try:
            found.append((Path(name), (root / name).read_text(encoding="utf-8")))
        except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):
            continue  # binary, or deleted but not yet committed
    return found


def matches(files: list[tuple[Path, str]], pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{path}:{number}: {line.strip()}"
        for path, text in files
        for number, line in enumerate(text.splitlines(), start=1)
        if pattern.search(line)
    ]


def test_imports_only_go_downhill(root: Path) -> None:
    # In a process of its own: import-linter sets up logging, which silences every logger that is there already.
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True, no_logo=True))"
    result = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_importing_the_package_loads_nothing_heavy(tmp_path: Path) -> None:
    code = "import sys, octopus_graph; assert octopus_graph.__all__; print(*sys.modules)"

    loaded = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)

    assert set(HEAVY).isdisjoint(loaded.stdout.split())


def test_the_front_door_is_small_and_sorted() -> None:
    names = importlib.import_module("octopus_graph").__all__

    assert names == sorted(names)
    assert 0 < len(names) <= FRONT_DOOR


def test_every_name_of_the_front_door_can_be_imported() -> None:
    package = importlib.import_module("octopus_graph")

    missing = [name for name in package.__all__ if not hasattr(package, name)]

    assert missing == []


@pytest.mark.skipif(not (Path(__file__).parents[2] / ".git").exists(), reason="asks git which files are the project's")
def test_no_file_names_a_registry_or_a_path_of_one_machine(root: Path) -> None:
    files = texts(root)
    prose = [(path, text) for path, text in files if path.suffix != ".jsonl"]  # examples may speak of any path

    assert files, "git lists no file"
    assert matches(files, REGISTRY) == []
    assert matches(prose, MACHINE_PATH) == []


def test_files_stay_short(root: Path) -> None:
    lines = {
        str(path.relative_to(root)): len(path.read_text(encoding="utf-8").splitlines())
        for package in PACKAGES
        for path in (root / package).rglob("*.py")
    }

    assert {path: count for path, count in lines.items() if count > LONGEST_FILE} == {}
