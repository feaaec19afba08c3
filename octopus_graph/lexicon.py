"""The lexicon: what the words of a request alone say of its expert, added to the logits of its first decision.

A language model of this size reads what is meant and forgets which words it has met; a linear model over words and
pieces of words is the other way round, and together they are wrong less often than either (docs/adr/0011). Its features
are hashed (Weinberger et al. 2009, arXiv 0902.2206), so a table of a fixed size is all there is to keep:

    lexicon.safetensors   table   (buckets, experts) int8, each expert's column in units of its scale
                          scale, bias   (experts,) float32
                          rarity  (buckets,) float16, the inverse document frequency of what falls into a bucket
                          trust   (2,) float32: the scores count exp(trust[0] + trust[1] * log(words + 3))
"""
# pyright: reportUnknownVariableType=false
# safetensors ships partial types.

import hashlib
import math
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from octopus_graph.errors import AdapterError

__all__ = ["BUCKETS", "LEXICON", "Lexicon", "buckets_of", "read_lexicon"]

LEXICON = "lexicon.safetensors"
BUCKETS = 1 << 16
READ = 2000  # characters, the first two thirds and the last third: where a long text says what it wants
_WORD = re.compile(r"\w+")
_PIECES = (3, 4, 5)


def buckets_of(text: str) -> tuple[list[int], int]:
    """Returns the buckets that a text's words, pairs of words and pieces of words fall into, and how many words it has.

    Example:
        >>> buckets_of("ATP") == buckets_of("atp!")
        True
    """
    if len(text) > READ:
        text = text[: READ * 2 // 3] + " " + text[-READ // 3 :]
    words = _WORD.findall(text.lower())
    found = {*words, *(f"{a} {b}" for a, b in pairwise(words))}
    for word in set(words):
        edged = f"<{word}>"
        for size in _PIECES:
            found.update(edged[at : at + size] for at in range(len(edged) - size + 1))
    return sorted({zlib.crc32(each.encode(errors="replace")) % BUCKETS for each in found}), len(words)


@dataclass(frozen=True)
class Lexicon:
    """A linear model over hashed words; see the module for the shapes."""

    table: NDArray[np.int8]
    scale: NDArray[np.float32]
    bias: NDArray[np.float32]
    rarity: NDArray[np.float16]
    trust: tuple[float, float]

    @cached_property
    def revision(self) -> str:
        """Names the contents; reckoned once, as every key of a cache asks for it."""
        digest = hashlib.sha256(repr(self.trust).encode())
        for each in (self.table, self.scale, self.bias, self.rarity):
            digest.update(each.tobytes())
        return digest.hexdigest()[:8]

    def scores(self, text: str) -> list[float]:
        """Returns what to add to each expert's logit, in token order: the less, the longer the text is.

        In a long text, or one of several parts, most words are about something else than what is asked first.
        """
        likely, words = self.likely(text)
        return [self.weight(words) * each for each in likely]

    def weight(self, words: int) -> float:
        """Returns what the scores of a text of so many words count."""
        return math.exp(self.trust[0] + self.trust[1] * math.log(words + 3))

    def likely(self, text: str) -> tuple[list[float], int]:
        """Returns the logarithm of each expert's probability against all others, and how many words the text has."""
        buckets, words = buckets_of(text)
        rarity = self.rarity[buckets].astype(np.float32)
        length = float(np.linalg.norm(rarity)) or 1.0
        raw = (rarity / length) @ self.table[buckets].astype(np.float32) * self.scale + self.bias
        return [-float(np.logaddexp(0.0, -each)) for each in raw], words


def read_lexicon(folder: Path, experts: Sequence[str]) -> Lexicon | None:
    """Reads a router folder's lexicon, where there is one.

    Raises:
        AdapterError: If it is broken, or one of other experts.
    """
    if not (folder / LEXICON).is_file():
        return None
    try:
        kept: dict[str, NDArray[Any]] = load_file(folder / LEXICON)
        table, scale, bias, rarity, trust = (kept[name] for name in ("table", "scale", "bias", "rarity", "trust"))
        shapes = table.shape, scale.shape, bias.shape, rarity.shape, trust.shape
        whole = all(bool(np.isfinite(each).all()) for each in (scale, bias, rarity, trust))
    except (OSError, KeyError, SafetensorError) as error:
        raise AdapterError(f"{folder.name}/{LEXICON} is broken ({error}): train the router again.") from None
    size = len(experts)
    if shapes != ((BUCKETS, size), (size,), (size,), (BUCKETS,), (2,)) or not whole:
        raise AdapterError(f"{folder.name}/{LEXICON} does not fit the router's {size} experts: train the router again.")
    return Lexicon(table, scale, bias, rarity, (float(trust[0]), float(trust[1])))
