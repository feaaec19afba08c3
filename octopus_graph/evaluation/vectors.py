"""Embeddings that are computed once: baselines embed every row they learn from, the longest part of a first run."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# safetensors ships partial types.

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

__all__ = ["Embed", "Vectors"]

Embed = Callable[[Sequence[str]], Any]
"""Texts in, an array of shape (texts, dimensions) out."""

READ = 600  # characters a sentence encoder is given: it learned from sentences, and the router reads 128 tokens
CHUNK = 512  # texts to a file: what a run that is killed loses at most


class Vectors:
    """An encoder with a memory on the disk: files of digests of texts and their rows."""

    def __init__(self, embed: Embed, folder: Path | None = None, say: Callable[[str], None] = lambda _: None) -> None:
        """Takes the encoder.

        Args:
            embed: The encoder.
            folder: Where rows are kept, of this encoder alone; `None` keeps them in memory.
            say: Hears how far it is.
        """
        self._embed = embed
        self._folder = folder
        self._say = say
        self._known: dict[bytes, NDArray[np.float32]] = {}
        for file in sorted(folder.glob("*.safetensors")) if folder else ():
            try:
                found = load_file(file)
                self._known |= zip(map(bytes, found["keys"]), found["rows"], strict=True)
            except (OSError, SafetensorError, KeyError, ValueError):
                say(f"{file} cannot be read, and is left out.")

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Returns one row for each text."""
        cut = [text[:READ] for text in texts]
        keys = [hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest() for text in cut]
        new = {key: text for key, text in zip(keys, cut, strict=True) if key not in self._known}
        todo = sorted(new, key=lambda key: len(new[key]))  # alike lengths pad little
        for start in range(0, len(todo), CHUNK):
            if len(todo) > CHUNK:
                self._say(f"  embeddings: {start:,} of {len(todo):,}")
            some = todo[start : start + CHUNK]
            rows = np.asarray(self._embed([new[key] for key in some]), dtype=np.float32)
            self._known |= zip(some, rows, strict=True)
            self._write(some, rows)
        return np.stack([self._known[key] for key in keys])

    def _write(self, keys: Sequence[bytes], rows: NDArray[np.float32]) -> None:
        if not self._folder:
            return
        name = hashlib.sha256(b"".join(keys)).hexdigest()[:24]
        whole, fresh = self._folder / f"{name}.safetensors", self._folder / f".{name}.fresh"
        digests = np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(len(keys), -1)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            save_file({"keys": digests, "rows": np.ascontiguousarray(rows)}, fresh)
            fresh.replace(whole)
        except (OSError, SafetensorError) as error:
            with suppress(OSError):
                fresh.unlink()
            self._say(f"Embeddings cannot be kept in {self._folder} ({str(error).splitlines()[0]}), so they are not.")
            self._folder = None
