"""What tells two questions apart that look alike, and that a cosine does not see.

"of radius 3" and "of radius 4", "enable" and "disable" are near each other for any model, and their answers are not. So
questions differ whose numbers, quotations, code or names do, and so do those that are one but for a word, or but for a
"not". A paraphrase of that kind is asked again, which costs a call; an answer to the opposite question would cost more.
"""

import re
from difflib import SequenceMatcher

from octopus_graph.literals import lost
from octopus_graph.persistence.entries import digest

__all__ = ["differ", "mark"]

COMMON = 0.4  # share of common words from which two questions are one but for a word
STEM = 4  # letters from which a word's beginning stands for it
TYPO = 0.8  # likeness of two spellings of one word
_WORD = re.compile(r"[^\W_]+")
# They tell how a thing is asked, and not what. Those that turn a question round, such as not, are no such words.
_EMPTY = frozenset(
    "a an the of in on at to for from by with and or as is are was were be been do does did can could will would should"  # noqa: SIM905
    " may must has have had what which who whose when where why how that this it its i me my you your we our they their"
    " s t m re ve please pls hi hello thanks thank just really so some any u ur im mean means meaning need want know"
    " find give tell show explain compute calculate determine describe name say write answer question".split()
)

_TURNING = frozenset(("not", "no", "never", "without", "cannot"))


def differ(one: str, other: str) -> bool:
    """Says whether two questions are surely not the same.

    Example:
        >>> differ("area of a circle of radius 3", "area of a circle of radius 4")
        True
        >>> differ("How do I enable swap on Debian?", "How do I disable swap on Debian?")
        True
        >>> differ("how do i enable swap on debian", "please tell me how I can enable swap on Debian")
        False
    """
    return bool(lost(one, other) or lost(other, one)) or _but_for_a_word(one, other)


def mark(question: str) -> str:
    """Makes a digest of a question's numbers: of all that are near, only those of the same mark need be looked at."""
    return digest(*sorted(re.findall(r"\d+", question)))


def _but_for_a_word(one: str, other: str) -> bool:
    a, b = _words(one), _words(other)
    if _TURNING & (a ^ b):
        return True
    alone = {word for word in a - b if not _spelt_alike(word, b)}
    foreign = {word for word in b - a if not _spelt_alike(word, a)}
    return min(len(alone), len(foreign)) == 1 and len(a & b) >= COMMON * len(a | b)


def _words(text: str) -> frozenset[str]:
    plain = text.casefold().replace("\u2019", "'").replace("can't", "can not").replace("n't", " not")
    return frozenset(_WORD.findall(plain)) - _EMPTY


def _spelt_alike(word: str, others: frozenset[str]) -> bool:
    """Says whether a word is another one with a slip, with an ending, or cut short."""
    return any(_alike(word, other) for other in others)


def _alike(word: str, other: str) -> bool:
    short, long = sorted((word, other), key=len)
    if word[0] != other[0]:  # enable and disable, legal and illegal
        return False
    return (len(short) >= STEM and long.startswith(short)) or SequenceMatcher(None, word, other).ratio() >= TYPO
