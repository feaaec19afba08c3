"""What a rewrite must keep as it is: numbers with their units, quotations, code and names."""

import re
from collections.abc import Iterable

__all__ = ["literals", "survives", "trusted"]

_UNIT = r"%|°[CF]?|[kMGTmµn]?(?:V|A|W|Hz|Wh|Ah|Ω|F|H|m|g|s|J|N|Pa|bar|K|mol|L|l|B|bit|eV)(?:\b|(?=²|³|/))"
_LITERALS = re.compile(
    rf"(?P<number>\d+(?:[.,]\d+)*(?:\s?(?:{_UNIT}))?)"
    r"|(?P<quote>[\"“]\S[^\"”\n]{0,80}[\"”])"
    r"|(?P<code>`[^`\n]+`|\b\w+(?:\.\w+)*\(\)|\b[a-z]+_[a-z_]+\b)"
    r"|(?P<name>(?<=[a-z,] )[A-Z][a-z]+(?: [A-Z][a-z]+)*)"
)
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_MARKER = re.compile(r"(?:^|(?<=\s))[(\[]?\d{1,2}[.)\]](?=\s)")  # of a list: it counts nothing
_BORDER = re.compile(
    r"(?<=[.?!;:])\s+|\n+|\s[-*+]\s|,?\s(?:and|then|also|plus|after|before|but|while|&)\s", re.IGNORECASE
)
_ASKS = re.compile(
    r"\?\s*$|^\W*(?:what|who|whose|how|why|when|where|which|is|are|was|were|do|does|did|can|could|should|may|must|will|"
    r"find|compute|calc|calculate|work out|name|give|list|write|translate|solve|show|define|describe|compare|draft|"
    r"suggest|recommend|convert|estimate|prove|explain|tell|sum)\b",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\W\d_]{4,}")
_COMMON = frozenset(
    "what when where which who whom whose does have that this with from them they their there then than into about"  # noqa: SIM905
    " would could should much many some your mine please tell explain give show first second next last".split()
)


def literals(text: str) -> dict[str, list[str]]:
    """Finds the literals of a text by kind: `number`, `quote`, `code`, `name`.

    Example:
        >>> literals("Why does `f(x)` give 3.5 mV?")
        {'code': ['f(x)'], 'number': ['3.5 mV']}
    """
    found: dict[str, list[str]] = {}
    for match in _LITERALS.finditer(_MARKER.sub(" ", text)):
        found.setdefault(match.lastgroup or "", []).append(match.group().strip('"“”`'))
    return found


def survives(kind: str, literal: str, rewrite: str) -> bool:
    """Says whether a literal stands in a rewrite; a thousand's comma, a space before a unit and case are no matter."""
    if kind != "number":
        return literal.lower() in rewrite.lower()
    wanted = _plain(literal)
    return any(_plain(found).startswith(wanted) and _value(found) == _value(literal) for found in _numbers(rewrite))


def trusted(rewrite: str, request: str, sources: Iterable[str] = ()) -> bool:
    """Says whether a rewrite may be sent in the place of a request.

    It may not hold a number that neither the request nor a source holds. And it must keep each literal of the parts of
    the request that it is about, and of what is told beside the questions: a question about the lease need not name the
    40 Ah that another question of the same request asks about, but the rent that was mentioned before it.

    Args:
        rewrite: What the router wrote.
        request: What was typed.
        sources: Earlier turns, and answers of this run.
    """
    known = {_value(number) for text in (request, *sources) for number in _NUMBER.findall(text)}
    if any(_value(number) not in known for number in _NUMBER.findall(rewrite)):
        return False
    parts = [part for part in _BORDER.split(_MARKER.sub(" ", request)) if part and part.strip()]
    about = [part for part in parts if _words(part) & _words(rewrite) or not _ASKS.search(part)]
    if not any(_words(part) & _words(rewrite) for part in parts):
        about = parts
    return all(
        survives(kind, literal, rewrite)
        for part in about
        for kind, found in literals(part).items()
        for literal in found
    )


def _numbers(text: str) -> list[str]:
    return literals(text).get("number", [])


def _plain(number: str) -> str:
    return number.replace(",", "").replace(" ", "")


def _value(number: str) -> str:
    found = _NUMBER.match(number)
    return (found.group() if found else number).replace(",", "")


def _words(text: str) -> set[str]:
    """Returns the stems of the words that say what a text is about."""
    return {word[:5] for word in _WORD.findall(text.lower()) if word not in _COMMON}
