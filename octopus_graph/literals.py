"""Literals: what a rewrite must keep as it is. Numbers with sign and unit, quotations, code and names."""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from octopus_graph.units import THOUSANDFOLD, UNIT, UNITS, in_digits, symbol

__all__ = [
    "KINDS",
    "Number",
    "fold",
    "literals",
    "lost",
    "masked",
    "normal",
    "spelled_out",
    "words",
]

_UNIT_AT = re.compile(rf"[\s-]?({UNIT})(?:\s?(?:/|·|\*|per\s)\s?({UNIT})|\s({UNIT}))?", re.IGNORECASE)
_DIGITS = r"(?:\d+(?:[.,]\d+)*|\.\d+)(?:[eE][-+]?\d+(?!\w))?"
_NUMBER = re.compile(
    rf"(?:(?P<money>[$€£¥])\s?)?(?P<sign>(?<![\w)\]%])-)?(?<!\w)(?P<value>{_DIGITS}(?:[/^:]-?{_DIGITS})*)"
)
_JOINED = re.compile(r"[^\W\d]-$")  # UTF-8 bytes are no 8 bytes
_LIST = re.compile(r"\d+(?:,\d+){2,}")
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_ORDINAL = re.compile(r"(?:st|nd|rd|th)(?!\w)")
_ENDINGS = frozenset(
    ("", *["s", "es", "n", "an", "ian", "vian", "ans", "ians", "ese", "ish", "ic", "er", "ers", "i", "y"])
)
_TAIL = re.compile(r"([^\W\d_]\w*)")
_QUOTE = re.compile(r"\"(\S[^\"\n]{0,80})\"|(?<![\w'])'([^\s'](?:[^'\n]|(?<=\w)'(?=\w)){0,80})'(?!\w)")
_CODE = re.compile(
    r"`+([^`]+)`+|("
    r"(?<![\w-])--?[a-z][\w-]+"  # a flag
    r"|(?<![\w/])[~.]{0,2}(?:/[\w.-]+){2,}"  # a path
    r"|\b[A-Za-z]\w*(?:\.\w+)*\([^\s()]*\)"  # a call
    r"|\b\w*[^\W\d]_\w+\b|\b[a-z]+[A-Z]\w*\b|\b[a-z]\w+(?:\.[a-z_]\w+)+\b|\b[A-Z](?:\+\+|#)"
    r"|\b[^\W\d]\w*(?:==|!=|<=|>=|->|=>|::|\^)\w+)"
)
_LOUD = frozenset(
    [
        "not",
        "because",
        "and",
        "or",
        "why",
        "what",
        "all",
        "no",
        "only",
        "never",
        "always",
        "how",
        "is",
        "very",
        "so",
        "you",
        "one",
        "two",
        "i",
        "i'm",
        "i've",
        "i'd",
        "i'll",
    ]
)
_NO_OWNERS = frozenset(
    [
        "what",
        "who",
        "how",
        "where",
        "when",
        "why",
        "which",
        "that",
        "it",
        "there",
        "here",
        "let",
        "he",
        "she",
        "one",
        "everyone",
    ]
)
_LETTERED = re.compile(r"\b(?:in|vitamin|hepatitis|language|group|class|type|plan|with|point)\s$", re.IGNORECASE)
_NAME = re.compile(r"[^\W\d_](?:[\w'&.]*\w)?")
_START = re.compile(r"(?:^|[.?!:;\n\"(>|*]|\s-)[\s'\"(*\[-]*$")
_SUPERSCRIPT = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+")
_TIGHT = re.compile(
    r"(?<=[^\W\d_])\^(?=-?\d)|(?<=\d) (?=/ ?\d)|(?<=\d/) (?=\d)"
)  # x^2 is compared as x2, and 2^10 as it is
_SUPER = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_SIGNS = str.maketrans(
    {**dict.fromkeys("“”„«»", '"'), **dict.fromkeys("‘’‚", "'"), **dict.fromkeys("−–", "-"), "⁄": "/"}  # noqa: RUF001
)


KINDS = ("number", "code", "quote", "name")


@dataclass(frozen=True)
class Number:
    """A number as it is compared.

    Attributes:
        text: As it was written.
        value: With its sign, without a thousand's comma.
        unit: Its unit's symbol, `""` for none.
    """

    text: str
    value: str
    unit: str = ""
    start: int = 0


def normal(text: str) -> str:
    """Writes dashes, quotation marks, superscripts and the two signs for micro one way."""
    text = _SUPERSCRIPT.sub(lambda found: "^" + found.group().translate(_SUPER), text)
    return _TIGHT.sub("", unicodedata.normalize("NFKC", text).translate(_SIGNS))


def masked(text: str) -> str:
    """Returns a text of the same length with quotations and code blotted out."""
    for pattern in (_CODE, _QUOTE):
        text = pattern.sub(lambda found: "x" * len(found.group()), text)
    return text


def literals(text: str) -> dict[str, list[str]]:
    """Finds the literals of a text by kind: `number`, `quote`, `code`, `name`.

    Example:
        >>> literals("Why does `f(x)` give 3.5 mV?")
        {'code': ['f(x)'], 'number': ['3.5 mV']}
    """
    text = normal(text)
    found: dict[str, list[str]] = {}
    for kind, pattern in (("code", _CODE), ("quote", _QUOTE)):
        for match in pattern.finditer(text):
            if not symbol(literal := next(filter(None, match.groups())).strip()):
                found.setdefault(kind, []).append(literal)
        text = pattern.sub(_blot, text)
    plain = text
    for number in _numbers(text):
        found.setdefault("number", []).append(number.text)
        end = number.start + len(number.text)
        plain = plain[: number.start] + " " * len(number.text) + plain[end:]
    for name in _names(plain):
        found.setdefault("name", []).append(name)
    return found


def lost(text: str, rewrite: str, kinds: Iterable[str] = KINDS) -> list[str]:
    """Returns the literals of a text that a rewrite has not, each as often as it is missing."""
    rewrite = normal(rewrite)
    unquoted = normal(text)
    for pattern in (_CODE, _QUOTE):  # what is in them is compared as a whole
        unquoted = pattern.sub(_blot, unquoted)
    missing: list[str] = []
    for kind, found in literals(text).items():
        if kind not in kinds:
            continue
        if kind == "number":
            missing += _lost_numbers(list(_numbers(unquoted)), list(_numbers(in_digits(rewrite))))
        elif kind == "name":
            here = words(rewrite)
            missing += [
                name
                for name in found
                if not any(same_name(fold(name), each) for each in here) and not spelled_out(name, rewrite)
            ]
        else:
            missing += [
                each
                for each in found
                if not (_in(each, rewrite) if kind == "code" else _in(_plain(each), _plain(rewrite)))
            ]
    return missing


def _blot(found: re.Match[str]) -> str:
    """Returns blanks, and a unit as it is: mmHg is no variable."""
    return found.group() if symbol(found.group()) else " " + "x" * (len(found.group()) - 2) + " "


def fold(text: str) -> str:
    """Returns a text without case, accents and a possessive's s."""
    plain = "".join(each for each in unicodedata.normalize("NFKD", text.lower()) if not unicodedata.combining(each))
    return plain.removesuffix("'s").replace(".", "")


def words(text: str) -> set[str]:
    """Returns the words of a text, folded."""
    return {fold(word) for word in _NAME.findall(normal(text))}


def _numbers(text: str) -> Iterator[Number]:
    for match in _NUMBER.finditer(text):
        value, end = match["value"], match.end()
        if ordinal := _ORDINAL.match(text, end):
            end = ordinal.end()
        unit, tail = _UNIT_AT.match(text, end), _TAIL.match(text, end)
        of = ""
        if unit and not _JOINED.search(text[: match.start()]) and (first := symbol(unit[1])):
            second = symbol(unit[2] or (unit[3] if first in THOUSANDFOLD else "") or "")
            of = first + ("/" if unit[2] else " ") + second if second else first
            end = unit.end() if second or not (unit[2] or unit[3]) else unit.end(1)
        elif tail:
            of, end = tail[1], tail.end()
        if match["money"]:
            of = f"{of} {match['money']}".strip()
        bracketed = text[match.start() - 1 : match.start()] in {"(", "["} and text[match.end() :][:1] in {")", "]"}
        if (bracketed or _LIST.fullmatch(value)) and not _THOUSANDS.fullmatch(value):
            yield from (Number(each, each, start=match.start()) for each in value.split(","))
            continue
        value = value.replace(",", "") if _THOUSANDS.fullmatch(value) else value.replace(",", ".")
        yield Number(text[match.start() : end], (match["sign"] or "") + value, of, match.start())


def _lost_numbers(wanted: list[Number], there: list[Number]) -> list[str]:
    """Takes each number out of those that are there; one with a unit first, as it fits fewer."""
    missing: list[str] = []
    for number in sorted(wanted, key=lambda number: not number.unit):
        fits = [each for each in there if each.value == number.value and (not number.unit or each.unit == number.unit)]
        if fits:
            there.remove(min(fits, key=lambda each: each.unit != number.unit))
        else:
            missing.append(number.text)
    return missing


def _names(text: str) -> Iterator[str]:
    """Yields the words that are names: capitals within a sentence, acronyms, letters with digits."""
    shouted = sum(map(str.isupper, text)) > 2 * sum(map(str.islower, text))
    for match in _NAME.finditer(text):
        name = match.group().removesuffix("'s")
        capitals = sum(map(str.isupper, name))
        if (
            name.lower() in _LOUD
            or (len(name) == 1 and not _LETTERED.search(text[: match.start()]))
            or (len(name) > 1 and name in UNITS)
        ):
            continue
        own = match.group().endswith("'s") and name.lower() not in _NO_OWNERS
        odd = (
            (own and capitals and not shouted)
            or any(map(str.isdigit, name))
            or (not shouted and (capitals > 1 or (capitals and not name.isascii())))
        )
        if (odd or (name[0].isupper() and not shouted)) and (odd or not _START.search(text[: match.start()])):
            yield name


def same_name(name: str, word: str) -> bool:
    """Says whether a word is a name, or is made from it by an ending, or it from the word: Peru, Peruvian; Stoicism."""
    if word in {name, name + "s"} or name in {word + ending for ending in ("s", "es", "ity", "ism")}:
        return True
    stems = {name[: len(name) - cut] for cut in range(4) if len(name) - cut > 3 or not cut}
    return len(name) > 3 and any(word.startswith(stem) and word[len(stem) :] in _ENDINGS for stem in stems)


def spelled_out(acronym: str, text: str) -> bool:
    """Says whether words of a text have an acronym's letters as their initials."""
    if len(acronym) < 2 or not acronym.isupper():
        return False
    spelled = _NAME.findall(text.lower())
    great = [word for word in spelled if word not in {"of", "the", "and", "for", "to", "in"}]
    return any(acronym.lower() in "".join(word[0] for word in some) for some in (spelled, great))


def _in(literal: str, text: str) -> bool:
    """Says whether a literal stands in a text, whatever the spaces."""
    return "".join(literal.split()) in "".join(text.split())


def _plain(text: str) -> str:
    return re.sub(r"[^\w\s]|_", "", text.lower())
