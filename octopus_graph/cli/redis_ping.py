"""One PING in Redis' own protocol: whether a server answers can be told without the extra `redis`."""

import socket
import ssl
from urllib.parse import parse_qs, unquote, urlsplit

__all__ = ["ping"]

PATIENCE = 2.0  # seconds
KINDS = {"": 6379, "cluster": 6379, "sentinel": 26379}


def ping(url: str) -> tuple[str, str]:
    """Asks a server whether it is there; of several that a URL names, one has to be.

    Args:
        url: As `octopus_graph.persistence` takes it, with credentials or not. Sentinels are asked, not their servers.

    Returns:
        The server without the credentials, and what is wrong; empty where nothing is.
    """
    try:
        parts = urlsplit(url)
        scheme, _, kind = parts.scheme.partition("+")
        account, _, addresses = parts.netloc.rpartition("@")
        hosts = [_address(address, KINDS.get(kind, 0)) for address in addresses.split(",")]
    except ValueError as error:
        return "the URL", f"cannot be read ({error})"
    if scheme not in ("redis", "rediss", "unix") or kind not in KINDS:
        return "the URL", "must begin with redis://, rediss:// or unix://, +cluster or +sentinel before the colon"
    user, _, password = (unquote(part) for part in account.partition(":"))
    commands = [["PING"]]
    if password and kind != "sentinel":  # whose accounts are others
        commands.insert(0, ["AUTH", *([user] if user else []), password])
    secure = _secure(parts.query) if scheme == "rediss" and kind != "sentinel" else None
    problem = ""
    for host, port in hosts:
        where = parts.path if scheme == "unix" else f"{host}:{port}"
        try:
            with _connected(parts.path if scheme == "unix" else None, host, port, secure) as connection:
                problem = _asked(connection, commands)
        except OSError as error:
            problem = error.strerror or str(error) or type(error).__name__
        if not problem:
            return where, ""
    return parts.path if scheme == "unix" else addresses or "localhost:6379", problem


def _asked(connection: socket.socket, commands: list[list[str]]) -> str:
    """Sends commands, and returns what is wrong with the answers."""
    for command in commands:
        connection.sendall(b"".join(_encoded(command)))
        answer = connection.recv(512).decode("utf-8", "replace").strip()
        if not answer.startswith("+"):
            return answer.lstrip("-").splitlines()[0] if answer else "closed the connection"
    return ""


def _address(text: str, port: int) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    return parts.hostname or "localhost", parts.port or port


def _secure(query: str) -> ssl.SSLContext | OSError:
    """Makes the context that the options of a URL describe, as the client does."""
    chosen = {name: values[-1] for name, values in parse_qs(query).items()}
    try:
        context = ssl.create_default_context(cafile=chosen.get("ssl_ca_certs"))
        if certificate := chosen.get("ssl_certfile"):
            context.load_cert_chain(certificate, chosen.get("ssl_keyfile"))
    except OSError as error:
        return error
    if chosen.get("ssl_cert_reqs") == "none":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _connected(path: str | None, host: str, port: int, secure: ssl.SSLContext | OSError | None) -> socket.socket:
    if isinstance(secure, OSError):
        raise secure
    if path is not None:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(PATIENCE)
        connection.connect(unquote(path))
        return connection
    connection = socket.create_connection((host, port), timeout=PATIENCE)
    return connection if secure is None else secure.wrap_socket(connection, server_hostname=host)


def _encoded(command: list[str]) -> list[bytes]:
    parts = [part.encode("utf-8", "surrogateescape") for part in command]
    return [b"*%d\r\n" % len(parts), *(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)]
