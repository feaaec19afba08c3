"""One PING in Redis' own protocol: whether a server answers can be told without the extra `redis`."""

import socket
import ssl
from urllib.parse import unquote, urlsplit

__all__ = ["ping"]

PATIENCE = 2.0  # seconds


def ping(url: str) -> tuple[str, str]:
    """Asks a server whether it is there.

    Args:
        url: `redis://`, `rediss://` or `unix://`, with credentials or not.

    Returns:
        The server without the credentials, and what is wrong; empty where nothing is.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "localhost", parts.port or 6379
    except ValueError as error:
        return "the URL", f"cannot be read ({error})"
    if parts.scheme not in ("redis", "rediss", "unix"):
        return "the URL", "must begin with redis://, rediss:// or unix://"
    where = parts.path if parts.scheme == "unix" else f"{host}:{port}"
    commands = [["PING"]]
    if parts.password:
        commands.insert(0, ["AUTH", *([unquote(parts.username)] if parts.username else []), unquote(parts.password)])
    try:
        with _connected(parts.scheme, parts.path, host, port) as connection:
            for command in commands:
                connection.sendall(b"".join(_encoded(command)))
                answer = connection.recv(512).decode("utf-8", "replace").strip()
                if not answer.startswith("+"):
                    return where, answer.lstrip("-").splitlines()[0] if answer else "closed the connection"
    except OSError as error:
        return where, error.strerror or str(error) or type(error).__name__
    return where, ""


def _connected(scheme: str, path: str, host: str, port: int) -> socket.socket:
    if scheme == "unix":
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(PATIENCE)
        connection.connect(path)
        return connection
    connection = socket.create_connection((host, port), timeout=PATIENCE)
    return (
        ssl.create_default_context().wrap_socket(connection, server_hostname=host) if scheme == "rediss" else connection
    )


def _encoded(command: list[str]) -> list[bytes]:
    parts = [part.encode("utf-8", "surrogateescape") for part in command]
    return [b"*%d\r\n" % len(parts), *(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)]
