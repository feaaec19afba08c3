"""What a killed run, a full disk and another disk leave of the router that was there."""

import errno
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from octopus_graph.errors import TrainingError
from octopus_graph.training.disk import publish, restore, write_text

KILLED = """\
import os, signal, sys
from pathlib import Path
from octopus_graph.training.disk import publish

real = Path.replace
def replace(self, target):
    if self.name.endswith(".fresh"):  # the second rename
        os.kill(os.getpid(), signal.SIGKILL)
    return real(self, target)
Path.replace = replace
publish(Path(sys.argv[1]), Path(sys.argv[2]))
"""


def folder(place: Path, content: str) -> Path:
    place.mkdir(parents=True)
    (place / "file").write_text(content)
    return place


@pytest.fixture
def router(tmp_path: Path) -> Path:
    """The router that is there."""
    return folder(tmp_path / "here" / "router", "old")


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """The one to be put in its place."""
    return folder(tmp_path / "work" / "fresh", "new")


def test_what_is_published_replaces_the_old_and_leaves_nothing_beside_it(router: Path, fresh: Path) -> None:
    publish(fresh, router)
    assert (router / "file").read_text() == "new"
    assert [path.name for path in router.parent.iterdir()] == ["router"]
    assert (fresh / "file").read_text() == "new"


def test_the_place_need_not_be_there_nor_its_parent(tmp_path: Path, fresh: Path) -> None:
    publish(fresh, tmp_path / "some" / "where")
    assert (tmp_path / "some" / "where" / "file").read_text() == "new"


def test_what_was_made_on_another_disk_is_published(router: Path, fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Path.replace

    def replace(self: Path, target: Path) -> Path:
        if self.parent != target.parent:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return whole(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    publish(fresh, router)
    assert (router / "file").read_text() == "new"


def test_a_rename_that_fails_brings_the_old_one_back(
    router: Path, fresh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Path.replace

    def replace(self: Path, target: Path) -> Path:
        if self.name == ".router.fresh":
            raise OSError(errno.EIO, "Input/output error")
        return whole(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(TrainingError, match=r"The folder router could not be written \(Input/output error\)"):
        publish(fresh, router)
    assert (router / "file").read_text() == "old"
    assert [path.name for path in router.parent.iterdir()] == ["router"]


def test_a_run_killed_between_the_renames_loses_nothing(router: Path, fresh: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, str(fresh), str(router)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not router.exists()
    restore(router)
    assert (router / "file").read_text() == "old"
    publish(fresh, router)
    assert (router / "file").read_text() == "new"
    assert [path.name for path in router.parent.iterdir()] == ["router"]


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), r"\(No space left on device\): make room"),
        (shutil.Error([("a", "b", "[Errno 28] No space left on device")]), r"No space left on device\): make room"),
        (PermissionError(errno.EACCES, "Permission denied"), r"denied\): choose a place that may be written to"),
    ],
)
def test_a_full_disk_leaves_the_old_router(
    router: Path, fresh: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, says: str
) -> None:
    def full(_: Path, place: Path, **__: object) -> None:
        folder(place, "half")
        raise error

    monkeypatch.setattr(shutil, "copytree", full)
    with pytest.raises(TrainingError, match=says):
        publish(fresh, router)
    assert (router / "file").read_text() == "old"
    assert [path.name for path in router.parent.iterdir()] == ["router"]


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, whole = tmp_path / "calibration.json", Path.write_text
    write_text(file, "old")

    def half(self: Path, text: str, **rest: str) -> int:
        whole(self, text[:1], **rest)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", half)
    with pytest.raises(TrainingError, match=r"calibration\.json could not be written"):
        write_text(file, "new")
    assert file.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["calibration.json"]
