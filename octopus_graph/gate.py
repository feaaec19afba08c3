"""The gate: whether a rewrite may be sent in the place of what was typed, and what else to send where it may not."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher

from octopus_graph.literals import KINDS, fold, literals, lost, masked, normal, spelled_out, words
from octopus_graph.units import in_digits

__all__ = ["clause_about", "parts_about", "trusted"]

LONGER, ROOM = 1.3, 60  # a rewrite may be so many times as long as its request, and so many characters more
SHORT = 200  # what is told in a request of so many characters belongs to its question; longer ones were pasted
# Beside the part it is about most, a rewrite is about one of whose words it has such a share, which is also such a
# share of the best part's share, and has such a share of words that are not in the best part. Numbers and code
# count from FAR, names and quotations from CLOSE: a name that another question mentions is no loss, a number mostly is.
CLOSE = (0.5, 0.8, 0.25)
FAR = (0.34, 0.4, 0.1)
NEARLY_ALL = 0.7  # of the words of what is told: quotations in it count then too

_LETTER = r"(?:[a-hxyz]|i{1,3}|iv|vi{0,3}|[αβγδ])"
_MARKER = (
    rf"(?:[(\[](?:\d{{1,2}}|{_LETTER})[)\]]|(?:\d{{1,2}}|{_LETTER})\.?[)\]]"
    rf"|[1-9][/*]|\d{{1,2}}(?: ->?|[.:-])|\[ \]|{_LETTER}[.:]"
    r"|(?:q|p|q-|nr\.?|no\.?|number|task|ask|part|question|item|point|thing|[#@§]) ?"
    r"(?:\d{1,2}|one|two|three|four|[a-d])"
    r"(?: -|[.:)-]*)|(?:one|two|three|four)[:,]|[•*+/-]|--|\.)(?=\s)"
)
_LISTED = re.compile(rf"(?:^|[.?!;:,]\s)\s*{_MARKER}", re.IGNORECASE | re.MULTILINE)
_INLINE = re.compile(rf"\s{_MARKER}", re.IGNORECASE)
_BRACKETED = re.compile(r"(?<=\s)(?:[(\[]?(?:[1-9]|[a-h]|i{1,3}|iv|v)\.?[)\]])(?=\s)", re.IGNORECASE)
_COUNTED = re.compile(r"(?:^|[\n:.])\W*1\s[a-z].*?\s2\s[a-z]", re.IGNORECASE | re.DOTALL)
_COUNT = re.compile(r"(?:(?<=\s)|^)[1-5](?=\s[a-z])", re.IGNORECASE)
_ITEM = "¶"  # stands where an item of a list begins

_THEN = r"(?:and|then|also|plus|after|afterwards|before|but|while|next|second|third|secondly|thirdly|finally|lastly|&)"
_BORDER = re.compile(
    r"(?P<soft>(?<=[.!:])[\s\"')]+|,\s(?:so\s)?(?=(?:what|who|how|why|when|where|which|is|are|does|do|can)\b))"
    rf"|(?<=[?;])[\s\"')]+|\n+|[,-]?\s{_THEN}(?:,?\s{_THEN})*\s(?=[^\W\d])"
    r"|,?\s(?:and\s)?(?:thereafter|thereupon|followed by"
    r"|(?:continue|go on|move on|follow|finish|end|close) (?:with|to|on))\s"
    rf"|(?<!\d)\s/\s|\s?{_ITEM}\s?",
    re.IGNORECASE,
)
_OPENING = re.compile(
    r"^(?:[\W_]+|(?:and|then|also|btw|by the way|firstly|secondly|first|second|third|next|finally|lastly|please|pls|plz"
    r"|so|ok|hi|hey|but|say|after that|afterwards|following that|now)\b)*",
    re.IGNORECASE,
)
_ASKS = re.compile(
    r"\?\W*$|^(?:(?:what|who|how|where|when|why|which)(?:'?s|'?re|'?d)?|whose|is|are|was|were|do|does|did|can|could"
    r"|should|may|must|will|would|has|have|i want|i need|i'd|i would|let me|give|find|compute|calc|calculate|work|name"
    r"|list|write|translate|solve|show|define|describe|compare|draft|suggest|recommend|convert|estimate|prove|explain"
    r"|tell|sum)\b",
    re.IGNORECASE,
)
_WONDERS = re.compile(r"\b(?:what|which|who|how|why|where)\b", re.IGNORECASE)
_SUBJECT = re.compile(r"\b(?:i|i'm|i've|my|we|our|he|she|they|said|says|asked|told|wrote)\b", re.IGNORECASE)
_TELLS = re.compile(
    r"\b(?:i|i'm|i've|my|we|our|he|she|his|her|it|they|is|are|was|were|has|have|had|am)\b", re.IGNORECASE
)
_LEANS = re.compile(  # on what was said before
    r"\b(?:it|its|it's|they|them|their|that|that's|this|these|those|there|then|he|him|his|she|her|hers|such|same|one"
    r"|ones|both|former|latter|above|result|answer|else|other|others|another|instead|too|do so)\b",
    re.IGNORECASE,
)
_COMMON = frozenset(
    "a an the i me my we our us you your he she it its they them their his her one this that these those there here"  # noqa: SIM905
    " is are was were be been am do does did have has had can could should would may might must will shall not no yes"
    " what when where which who whom whose why how if so as at by for from in into of on off to with without about up"
    " and or but than then too also just very much many some any all each every more most less please tell explain"
    " give show name say mean means write describe list first second third next last get got make made let want need"
    " like good know think im ive id ill whats hows whos wheres dont doesnt didnt isnt cant pls plz ok hi hey thanks"
    " said says".split()
)


@dataclass(frozen=True)
class _Part:
    """A clause of a request: its text, where it begins, whether it asks, and whether a new item begins with it."""

    text: str
    start: int
    asks: bool
    apart: bool

    @property
    def stems(self) -> set[str]:
        return _stems(self.text)


def trusted(rewrite: str, request: str, sources: Iterable[str] = ()) -> bool:
    """Says whether a rewrite may be sent in the place of a request.

    It may not be much longer, nor hold a number or a name that neither the request nor a source holds: that would be
    an answer, or a mistake. And it must keep each literal of the parts of the request that it is about: a question
    about the lease need not name the 40 Ah that another question of the same request asks about.

    Args:
        rewrite: What the router wrote.
        request: What was typed.
        sources: Earlier turns, and answers of this run.
    """
    known = [request, *sources]
    longest = len(request) + max(map(len, known[1:]), default=0)
    return (
        len(rewrite) <= LONGER * longest + ROOM
        and not _new_numbers(rewrite, known)
        and not _new_names(rewrite, known)
        and not any(
            lost(part.text if "quote" in kinds else _QUOTES.sub(" ", part.text), rewrite, kinds)
            for part, kinds in _about(rewrite, _parts(request))
        )
    )


def parts_about(rewrite: str, request: str) -> list[str]:
    """Returns the parts of a request that a rewrite is about, as they are compared."""
    return [part.text for part, _ in _about(rewrite, _parts(request))]


def clause_about(rewrite: str, request: str) -> str | None:
    """Returns the one typed question that a refused rewrite is about, where that question stands alone.

    What a small model gets wrong is mostly a number or a name; which of several questions it means it gets right. Its
    literals survive, as nobody writes them again.

    Args:
        rewrite: What the router wrote, refused.
        request: What was typed.

    Returns:
        `None` where the request asks one thing only, or the question leans on something outside it.
    """
    parts = _parts(request)
    about = [part for part, _ in _about(rewrite, parts)]
    if sum(part.asks for part in parts) < 2 or len(about) != 1 or len(normal(request)) != len(request):
        return None
    part = about[0]
    typed = request[part.start : part.start + len(part.text)]
    if not part.asks or _LEANS.search(part.text) or len(part.stems) < 2 or normal(typed) != part.text:
        return None
    return typed.strip(" ,;-")


_QUOTES = re.compile(r"[\"']")
_NUMBER = re.compile(r"\d+(?:\.\d+)*")
_GROUPS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")


def _new_numbers(rewrite: str, known: Sequence[str]) -> list[str]:
    """Finds digits that no source has, whichever way a source writes its thousands and decimals."""
    there: set[str] = set()
    for text in (in_digits(normal(each)) for each in known):
        for way in (text, _GROUPS.sub("", text), text.replace(",", "."), re.sub(r"(?<=\d)\.(?=\d{3}(?!\d))", "", text)):
            there.update(_NUMBER.findall(way), re.findall(r"\d+", way))
    return [number for number in _NUMBER.findall(_GROUPS.sub("", normal(rewrite))) if number not in there]


def _new_names(rewrite: str, known: Sequence[str]) -> list[str]:
    """Finds names that no source has, typing errors and acronyms spelled out aside."""
    there = set[str]().union(*(words(text) for text in known))
    short = [word.upper() for word in there if 1 < len(word) < 6]
    return [
        name
        for name in literals(rewrite).get("name", [])
        if len(name) > 1
        and not any(_alike(fold(name), word) for word in there)
        and not any(spelled_out(name, text) for text in known)
        and not any(spelled_out(acronym, rewrite) for acronym in short)
    ]


def _alike(name: str, word: str) -> bool:
    if name == word:
        return True
    if abs(len(name) - len(word)) > 4 or not set(name[:3]) & set(word[:3]):
        return False
    alike = SequenceMatcher(None, name, word)
    least = 0.6 if name[:3] == word[:3] else 0.75
    return alike.real_quick_ratio() >= least and alike.ratio() >= least


def _parts(request: str) -> list[_Part]:
    """Splits a request where a sentence, a list's item or a joined question ends, and never in quotations or code."""
    text = normal(request)
    mask = _items(masked(text))
    parts: list[_Part] = []
    at, apart = 0, True
    for border in [*_BORDER.finditer(mask), None]:
        end = border.start() if border else len(mask)
        raw = "".join(
            typed if blotted in {typed, "x"} else " " for typed, blotted in zip(text[at:end], mask[at:end], strict=True)
        )
        if clause := raw.strip():
            start = at + len(raw) - len(raw.lstrip())
            part = _Part(clause, start, _asks(clause), apart)
            if parts and not any(map(_is_word, part.stems)):  # a formula, "and why": nothing without what is before it
                before = parts[-1]
                joined = text[before.start : start + len(clause)]
                parts[-1] = replace(before, text=joined, asks=before.asks or part.asks)
            else:
                parts.append(part)
            apart = False
        if border:
            apart = apart or border["soft"] is None
            at = border.end()
    return parts


def _items(mask: str) -> str:
    """Puts a sign in the place of each marker of a list: it counts nothing."""
    mask = _LISTED.sub(_item, mask)
    if _ITEM in mask:
        mask = _INLINE.sub(_item, mask)
    mask = _BRACKETED.sub(_item, mask)
    return _COUNT.sub(_item, mask) if _COUNTED.search(mask) else mask


def _item(marker: re.Match[str]) -> str:
    found = marker.group()
    kept = (
        found[0] if len(found) > 1 and (found[0].isspace() or (found[0] in ".?!;:," and found.strip() != ".")) else ""
    )
    return kept + _ITEM + " " * (len(found) - len(kept) - 1)


def _about(rewrite: str, parts: Sequence[_Part]) -> list[tuple[_Part, tuple[str, ...]]]:
    """Returns the parts that a rewrite is about, and whether all kinds of literals of each count or only numbers."""
    said = _stems(rewrite)
    has = [part.stems for part in parts]
    share = [len(stems & said) / max(1, len(stems)) for stems in has]
    if not any(share):
        return [(part, KINDS) for part in parts]
    best = max(range(len(parts)), key=lambda place: (len(has[place] & said) * share[place], share[place]))
    close, far = (
        [
            place == best
            or (
                share[place] >= max(least, nearly * share[best])
                and len((has[place] & said) - has[best]) >= new * len(has[place])
            )
            for place in range(len(parts))
        ]
        for least, nearly, new in (CLOSE, FAR)
    )
    on = [near or distant for near, distant in zip(close, far, strict=True)]
    asked = any(part.asks for part in parts)
    kinds = [
        KINDS if close[place] and (part.asks or not asked) else KINDS[:3] if share[place] >= NEARLY_ALL else KINDS[:2]
        for place, part in enumerate(parts)
    ]
    several = sum(part.asks or not _TELLS.search(part.text) for part in parts) > 1
    brief = sum(len(part.text) for part in parts) <= SHORT
    for place, part in reversed(list(enumerate(parts))):  # what is told belongs to the question, of several to the next
        if brief and not part.asks and not on[place]:
            follows = place + 1 < len(parts) and not parts[place + 1].apart and bool(_TELLS.search(part.text))
            on[place] = not several or (follows and on[place + 1])
    return [(part, kinds[place]) for place, part in enumerate(parts) if on[place]]


def _stems(text: str) -> set[str]:
    """Returns the stems of the words that say what a text is about, and its numbers."""
    plain = re.sub(r"(?<=\w)'(?=\w)", "", normal(text).lower())
    stems = {word[:5] for word in words(plain) if len(word) > 1 and word not in _COMMON}
    return stems | set(re.findall(r"\d+", in_digits(plain)))


def _asks(clause: str) -> bool:
    return bool(_ASKS.search(_OPENING.sub("", clause)) or (_WONDERS.search(clause) and not _SUBJECT.search(clause)))


def _is_word(stem: str) -> bool:
    return not stem.isdigit()
