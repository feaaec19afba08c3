"""Units and numbers in words: every way to write one, and what it is compared by."""

import re

__all__ = ["THOUSANDFOLD", "UNIT", "UNITS", "in_digits", "symbol"]

_SCALES = {"p": "pico", "n": "nano", "μ": "micro", "m": "milli", "k": "kilo", "M": "mega", "G": "giga", "T": "tera"}
_SCALED = {  # symbol: words; each also with a prefix
    "m": "metre meter",
    "g": "gram gramme",
    "s": "second sec",
    "L": "l litre liter",
    "V": "v volt",
    "A": "amp ampere",
    "W": "w watt",
    "Wh": "watthour",
    "Ah": "",
    "Hz": "hertz",
    "Ω": "ohm",
    "F": "farad",
    "H": "henry",
    "J": "joule",
    "N": "newton",
    "Pa": "pascal",
    "T": "tesla",
    "bar": "",
    "mol": "mole",
    "B": "byte",
    "bit": "",
    "eV": "",
    "cal": "calorie",
    "M": "molar",
}
_PLAIN = {  # symbol: other ways to write it
    "%": "percent per_cent pct",
    "‰": "",
    "°": "deg degree",
    "°C": "C degC degrees_celsius celsius",
    "°F": "degF degrees_fahrenheit fahrenheit",
    "K": "kelvin",
    "min": "mins minute",
    "h": "hr hour",
    "d": "day",
    "wk": "week",
    "mo": "month",
    "yr": "y year",
    "decade": "",
    "century": "centuries",
    "km/h": "kph kmh kmph",
    "mph": "mi/h",
    "mmHg": "",
    "dB": "decibel",
    "dBm": "",
    "dBi": "",
    "rpm": "",
    "ppm": "",
    "ppb": "",
    "bpm": "",
    "cm": "centimetre centimeter",
    "dm": "decimetre decimeter",
    "cL": "cl centilitre centiliter",
    "dL": "dl decilitre deciliter",
    "hPa": "",
    "psi": "",
    "px": "pixel",
    "fps": "",
    "kn": "knot",
    "ft": "foot feet",
    "inch": "inches",
    "yd": "yard",
    "mi": "mile",
    "lb": "pound",
    "oz": "ounce",
    "gal": "gallon",
    "t": "ton tonne",
    "kg": "kilo",
    "ha": "hectare",
    "acre": "",
    "€": "EUR euro",
    "$": "USD dollar",
    "£": "GBP",
    "¥": "JPY yen",
    "CHF": "franc",
    "hundred": "",
    "k": "thousand",
    "million": "mn mln",
    "bn": "billion",
    "tn": "trillion",
    "am": "a.m.",
    "pm": "p.m.",
}


def _units() -> dict[str, str]:
    """Returns every way to write a unit with its symbol: `5 kilometres` is `5 km`, and `5 m` is not `5 mm`."""
    found: dict[str, str] = {}
    for symbol, words in _SCALED.items():
        for sign, word in {"": "", **_SCALES}.items():
            found[sign + symbol] = sign + symbol
            found |= {(word if len(each) > 1 else sign) + each: sign + symbol for each in words.split()}
    for symbol, words in _PLAIN.items():
        found |= {each.replace("_", " "): symbol for each in (symbol, *words.split())}
    return found | {
        f"{way}s": symbol for way, symbol in found.items() if way.islower() and (len(way) > 2 or way in _SHORT)
    }


_SHORT = frozenset(("km", "kg", "hr", "yr", "lb"))  # that take an s
UNITS = _units()
_ANY_CASE = {way.lower(): symbol for way, symbol in reversed(UNITS.items()) if len(way) > 1}
THOUSANDFOLD = frozenset(("hundred", "k", "million", "bn", "tn", "M"))  # that another unit may follow
UNIT = "(?:" + "|".join(re.escape(way) for way in sorted(UNITS, key=len, reverse=True)) + r")(?:-?\d)?(?![^\W_])"
_COUNT = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
    "twenty",
]
_IN_WORDS = {word: str(value) for value, word in enumerate(_COUNT)} | {  # for what was typed in digits
    **{
        word: f"{value}0"
        for value, word in enumerate(["thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"], 3)
    },
    **{
        word: str(value)
        for value, word in enumerate(["third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"], 3)
    },
}
_IN_WORD = re.compile(rf"\b(?:{'|'.join(_IN_WORDS)})\b", re.IGNORECASE)


def symbol(way: str) -> str:
    """Returns the symbol of a unit, `""` where a word is none."""
    base = way.rstrip("-0123456789")
    symbol = UNITS.get(base) or _ANY_CASE.get(base.lower(), "")
    return symbol and symbol + way[len(base) :]


def in_digits(text: str) -> str:
    """Writes numbers from zero to twenty in digits."""
    text = re.sub(
        r"\bfirst\b", "1", re.sub(r"(?<!\d)(?<!\d\s)\bsecond\b", "2", text, flags=re.IGNORECASE), flags=re.IGNORECASE
    )
    return _IN_WORD.sub(lambda found: _IN_WORDS[found.group().lower()], text)
