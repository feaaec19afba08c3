"""Folders of model files: kept whole, looked at quickly, read in full on request."""

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock
from platformdirs import user_cache_path
from pydantic import BaseModel, ValidationError

from octopus_graph.errors import WeightsError

MANIFEST = "octopus.json"

_IS_DIGEST = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}").fullmatch

State = Literal["ready", "missing", "broken"]


@dataclass(frozen=True)
class ModelInfo:
    """One model of this machine, as `models list` shows it."""

    name: str
    path: Path
    size: int
    state: State
    source: str
    licence: str


class FileRecord(BaseModel):
    """What a file of a copy must be."""

    size: int
    sha256: str


class Manifest(BaseModel):
    """The record of a finished copy, written last: a copy without one is not finished."""

    origin: dict[str, str]
    files: dict[str, FileRecord]


def ways_out(model: str = "") -> str:
    """Says what to do about a model that is not here; ends a sentence of an error.

    Args:
        model: The model, when it is not the default one.

    Returns:
        Half a sentence.
    """
    command = f"octopus-graph models pull {model}".strip()
    return (
        f"connect to the network once and run `{command}`, or set OCTOPUS_MODEL to the folder of a model that is here"
    )


def cache_folder() -> Path:
    """Where the embedded model is kept.

    Returns:
        The folder that `OCTOPUS_CACHE` names, or else the user's cache folder as the platform has it.
    """
    chosen = os.environ.get("OCTOPUS_CACHE")
    return Path(chosen).expanduser().absolute() if chosen else user_cache_path("octopus-graph")


def copy_state(folder: Path, origin: dict[str, str]) -> State:
    """Says in well under a millisecond whether a copy is whole and was made from `origin`.

    Args:
        folder: Where the copy is.
        origin: What it must have been made from, and by which version.

    Returns:
        "broken" also for a copy of another origin: either way it has to be made again.
    """
    try:
        if not folder.exists():
            return "missing"
        manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
        whole = all((folder / name).stat().st_size == record.size for name, record in manifest.files.items())
    except (OSError, ValidationError):
        return "broken"
    return "ready" if whole and manifest.origin == origin else "broken"


def publish(target: Path, origin: dict[str, str], build: Callable[[Path, Path], None]) -> None:
    """Makes a copy and moves it into place whole; of several processes one makes it and the others wait.

    Args:
        target: Where the copy goes; what lies there unfinished is replaced.
        origin: What the copy is made from; goes into its manifest.
        build: Called with a scratch folder and with the folder to fill. If it raises, nothing stays behind.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.parent / f".{target.name}.lock"):
        if copy_state(target, origin) == "ready":  # another process made it while this one waited
            return
        for dead in target.parent.glob(f".{target.name}-*"):  # only the lock's holder has such a folder: its maker died
            shutil.rmtree(dead, ignore_errors=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        try:
            filled = scratch / "filled"
            filled.mkdir()
            build(scratch, filled)
            _write_manifest(filled, origin)
            if target.exists():
                target.replace(scratch / "replaced")  # a folder cannot be put in the place of one that is not empty
            filled.replace(target)
            _sync(target.parent)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def forget(folder: Path) -> None:
    """Makes a copy count as unfinished, so that the next `publish` replaces it.

    Args:
        folder: Where the copy is.
    """
    (folder / MANIFEST).unlink(missing_ok=True)


def check_folder(folder: Path) -> None:
    """Refuses a folder that is not a whole safetensors model, without reading the weights.

    Args:
        folder: A model folder of any origin.

    Raises:
        WeightsError: There is no configuration, no safetensors weights, or a part of them is missing or cut short.
    """
    if not (folder / "config.json").is_file():
        raise WeightsError(f"{folder} holds no config.json: give the folder that a model was saved in.")
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        pickles = sorted(file.name for file in folder.iterdir() if file.suffix in {".bin", ".pt", ".pth", ".ckpt"})
        if pickles:
            raise WeightsError(
                f"{folder} holds its weights as a pickle only ({pickles[0]}), which can run code when it is loaded:"
                " save the model as safetensors, or choose one that is."
            )
        raise WeightsError(f"{folder} holds no *.safetensors weights: give a folder that does, or download it again.")
    wanted = {file.name for file in weights} | _shards(folder)
    for name in sorted(wanted):
        if not _is_whole(folder / name):
            raise WeightsError(f"{folder / name} is missing or cut short: download the model again.")


def verify(path: Path) -> list[str]:
    """Reads a model's files in full and compares each with the checksum it came with.

    Args:
        path: A folder that `resolve` returned.

    Returns:
        The names of the files that were compared; none for a folder of your own, which came without checksums.

    Raises:
        WeightsError: A file is missing or damaged, or this is no model folder.
    """
    if not path.is_dir():
        raise WeightsError(f"There is no folder {path}: fetch the model with `octopus-graph models pull`.")
    if (path / MANIFEST).is_file():
        expected = _recorded(path)
    else:
        # The hub's cache names a blob by its content: sha256 for large files, git's object id for small ones.
        blobs = {file.name: file.resolve() for file in path.iterdir() if file.is_symlink()}
        expected = {
            name: blob.name for name, blob in blobs.items() if blob.parent.name == "blobs" and _IS_DIGEST(blob.name)
        }
    for name, digest in expected.items():
        file = path / name
        if not file.is_file() or _digest(file, git=len(digest) == 40) != digest:
            raise WeightsError(
                f"{file} is damaged (its checksum is not the recorded one): delete {file.resolve()} and fetch the model"
                " again with `octopus-graph models pull`."
            )
    check_folder(path)
    return sorted(expected)


def sha256(file: Path) -> str:
    """Computes the sha256 of a file.

    Args:
        file: What to read.

    Returns:
        The digest in hexadecimal.
    """
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _digest(file: Path, *, git: bool) -> str:
    if not git:
        return sha256(file)
    content = file.read_bytes()  # the hub keeps only small files this way
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _recorded(folder: Path) -> dict[str, str]:
    try:
        manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    except ValidationError as error:
        remedy = "make the model again with `octopus-graph models pull`"
        raise WeightsError(f"{folder / MANIFEST} cannot be read: {remedy}.") from error
    return {name: record.sha256 for name, record in manifest.files.items()}


def _shards(folder: Path) -> set[str]:
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return set()
    try:
        content: dict[str, Any] = json.loads(index.read_bytes())
        return {str(name) for name in content["weight_map"].values()}
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise WeightsError(f"{index} cannot be read: download the model again.") from error


def _is_whole(file: Path) -> bool:
    """The header of a safetensors file says how long it must be: finds cut copies and git-lfs pointers at once."""
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if 8 + length > size:
                return False
            header: dict[str, Any] = json.loads(stream.read(length))
        ends = [int(tensor["data_offsets"][1]) for name, tensor in header.items() if name != "__metadata__"]
    except (OSError, ValueError, KeyError, AttributeError, TypeError, IndexError):
        return False
    return 8 + length + max(ends, default=0) == size


def _write_manifest(folder: Path, origin: dict[str, str]) -> None:
    files: dict[str, FileRecord] = {}
    for file in sorted(folder.iterdir()):
        file.chmod(0o644)  # safetensors writes 0600, and a cache may be shared or baked into an image
        _sync(file)
        files[file.name] = FileRecord(size=file.stat().st_size, sha256=sha256(file))
    manifest = folder / MANIFEST
    manifest.write_text(Manifest(origin=origin, files=files).model_dump_json(indent=2) + "\n", encoding="utf-8")
    _sync(manifest)
    _sync(folder)


def _sync(path: Path) -> None:
    """Sees a file or folder onto the disk, so that a power cut cannot leave a manifest without its files."""
    if os.name != "posix" and path.is_dir():  # only POSIX can open a folder
        return
    flags = os.O_RDONLY if os.name == "posix" else os.O_RDWR
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
