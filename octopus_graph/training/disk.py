"""What a run leaves on the disk: whole files, readable checkpoints, and the old router until the new one is there."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# safetensors ships partial types.

import errno
import json
import shutil
import zipfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError, safe_open

from octopus_graph.errors import TrainingError

__all__ = ["copy_folder", "disk_errors", "last_whole_checkpoint", "publish", "restore", "write_text"]

_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


def publish(fresh: Path, place: Path) -> None:
    """Puts a copy of a finished folder in the place of the old one.

    The copy is made beside the place, so `fresh` may lie on another disk. Two renames then put it there; a run that is
    killed between the two leaves the old folder under another name, and `restore` puts it back.

    Raises:
        TrainingError: If it cannot be written; what was there is there again.
    """
    place = place.resolve()
    restore(place)
    beside, old = place.with_name(f".{place.name}.fresh"), _old(place)
    with disk_errors(f"The folder {place.name}"):
        try:
            copy_folder(fresh, beside)
            if place.exists():
                place.replace(old)
            beside.replace(place)
        except BaseException:
            shutil.rmtree(beside, ignore_errors=True)
            restore(place)
            raise
    shutil.rmtree(old, ignore_errors=True)


def restore(place: Path) -> None:
    """Puts a folder back that a killed run had moved away, or removes the old one where the new one is there."""
    place = place.resolve()
    old = _old(place)
    if old.exists() and not place.exists():
        old.replace(place)
    shutil.rmtree(old, ignore_errors=True)


def _old(place: Path) -> Path:
    return place.with_name(f".{place.name}.old")


def copy_folder(folder: Path, place: Path, *, without: str = "") -> None:
    """Copies a folder to a place nothing else is kept in, and leaves one file of it out.

    Raises:
        TrainingError: If it cannot be written.
    """
    with disk_errors(f"The folder {place.name.strip('.')}"):
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(folder, place, ignore=shutil.ignore_patterns(without) if without else None)


def write_text(path: Path, text: str) -> None:
    """Writes a file that is never half there.

    Raises:
        TrainingError: If it cannot be written; what was there stays.
    """
    fresh = path.with_name(f".{path.name}.fresh")
    with disk_errors(path.name):
        try:
            fresh.write_text(text, encoding="utf-8")
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)


def last_whole_checkpoint(work: Path) -> Path | None:
    """Returns the newest checkpoint that can be read; a run that was killed may have left a newer half of one."""
    found = [path for path in work.glob("checkpoint-*") if path.name.rpartition("-")[2].isdigit()]
    for path in sorted(found, key=lambda path: -int(path.name.rpartition("-")[2])):
        try:
            json.loads((path / "trainer_state.json").read_text(encoding="utf-8"))
            with safe_open(path / "adapter_model.safetensors", "pt") as tensors:
                tensors.keys()
        except (OSError, ValueError, SafetensorError):
            continue
        if zipfile.is_zipfile(path / "optimizer.pt"):
            return path
    return None


@contextmanager
def disk_errors(what: str) -> Generator[None]:
    """Says in one sentence that something could not be written; safetensors and torch have errors of their own.

    Args:
        what: The thing, as the sentence begins.

    Raises:
        TrainingError: In the place of the error.
    """
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise _unwritten(what, error) from error
    except RuntimeError as error:
        if "writ" not in str(error):  # PytorchStreamWriter failed writing file, unexpected pos, …
            raise
        raise _unwritten(what, error) from error


def _unwritten(what: str, error: Exception) -> TrainingError:
    reason = str(error).splitlines()[0][:120]
    if isinstance(error, shutil.Error):  # of copytree: a list of (from, to, why)
        reason = str(error.args[0][0][2])[:120]
    elif isinstance(error, OSError) and error.strerror:
        reason = error.strerror
    remedy = "make room"
    if isinstance(error, OSError) and error.errno in _FORBIDDEN:
        remedy = "choose a place that may be written to"
    return TrainingError(
        f"{what} could not be written ({reason}): {remedy} and start the run again; it goes on from what is finished."
    )
