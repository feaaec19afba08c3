"""API keys: shown once when they are made, kept as argon2 hashes, checked without giving time away."""

import asyncio
import hashlib
import secrets
from collections.abc import Sequence
from pathlib import Path

from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import InvalidHashError, VerificationError

from octopus_graph.errors import ConfigurationError

__all__ = ["ApiKeys", "new_key", "read_hashes"]

PREFIX = "octopus-"
LONGEST = 256
REMEMBERED = 1024
# argon2 is slow by design. A key is 256 random bits, which nobody guesses, so the smallest setting OWASP names will do.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


def new_key() -> tuple[str, str]:
    """Makes a key and its hash.

    Example:
        >>> key, hashed = new_key()
        >>> key.startswith("octopus-"), hashed.startswith("$argon2id$")
        (True, True)
    """
    key = PREFIX + secrets.token_urlsafe(32)
    return key, _HASHER.hash(key)


def read_hashes(text: str, where: str) -> tuple[str, ...]:
    """Reads hashes: one a line, with empty lines and lines that begin with # left out.

    Args:
        text: The content of a file or of a variable.
        where: Its name, for the error.

    Raises:
        ConfigurationError: If a line is no argon2 hash, or there is none.
    """
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    hashes = [(number, line) for number, line in lines if line and not line.startswith("#")]
    for number, line in hashes:
        try:
            extract_parameters(line)
        except InvalidHashError:
            raise ConfigurationError(
                f"{where}, line {number}: this is no argon2 hash; octopus-graph keys new makes a key and its hash."
            ) from None
    if not hashes:
        raise ConfigurationError(f"{where} holds no key: add the hash that octopus-graph keys new prints.")
    return tuple(line for _, line in hashes)


def read_file(path: Path) -> tuple[str, ...]:
    """Reads a file of hashes.

    Raises:
        ConfigurationError: If it cannot be read, or holds something else.
    """
    try:
        return read_hashes(path.read_text(encoding="utf-8"), path.name)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise ConfigurationError(f"The file of API keys {path.name!r} cannot be read ({reason}).") from None


class ApiKeys:
    """The keys a server takes.

    What was checked is remembered as a digest under a secret of this process: argon2 runs once for each key, and
    neither memory nor the time of a look-up tells a key. Keys not seen before are checked one at a time.
    """

    def __init__(self, hashes: Sequence[str]) -> None:
        """Takes the hashes."""
        self._hashes = tuple(hashes)
        self._secret = secrets.token_bytes(32)
        self._known: dict[bytes, bool] = {}
        self._turn = asyncio.Lock()

    def __bool__(self) -> bool:
        """Says whether a key is needed at all."""
        return bool(self._hashes)

    async def accept(self, key: str) -> bool:
        """Says whether a key is one of them."""
        if len(key) > LONGEST or not key.isascii():
            return False
        digest = hashlib.blake2b(key.encode(), key=self._secret).digest()
        if (verdict := self._known.get(digest)) is not None:
            return verdict
        async with self._turn:
            if digest not in self._known:
                self._remember(digest, await asyncio.to_thread(self._check, key))
            return self._known[digest]

    def _remember(self, digest: bytes, verdict: bool) -> None:
        if len(self._known) >= REMEMBERED:  # wrong keys go first: they can be sent without end
            wrong = next((known for known, good in self._known.items() if not good), None)
            self._known.pop(wrong if wrong is not None else next(iter(self._known)))
        self._known[digest] = verdict

    def _check(self, key: str) -> bool:
        verdicts = [_matches(hashed, key) for hashed in self._hashes]  # all of them: the time is not to tell which
        return any(verdicts)


def _matches(hashed: str, key: str) -> bool:
    try:
        return _HASHER.verify(hashed, key)
    except VerificationError:
        return False
