"""Dresses: the same request as other people would type it, so that what decides is the matter and not the typing."""

import random
from collections.abc import Sequence

__all__ = ["dress", "mistyped", "paste", "said"]

_OPENINGS = (
    "pls ",
    "plz help: ",
    "hey, ",
    "hi! ",
    "hello there. ",
    "quick one: ",
    "question - ",
    "so, ",
    "um ",
    "Please tell me: ",
    "Can you help me with this? ",
    "I need this by tomorrow. ",
    "ok next: ",
    "My teacher asks: ",
    "Kindly answer. ",
)
_CLOSINGS = (
    " pls",
    " thx",
    " thanks!",
    " ??",
    "??",
    "!!!",
    " please",
    " (short answer is fine)",
    " any idea?",
    " ASAP",
)
_ANSWER_OPENINGS = (
    "Sure! ",
    "Great question! ",
    "Certainly. Here is a step-by-step explanation: ",
    "**Answer:** ",
    "To answer this, we first need to look at the details. ",
    "As an expert, I would say: ",
)
_PASTES = ("{paragraph}\n\n{text}", "{paragraph}\n{text}", "{paragraph} {text}", '"{paragraph}"\n\n{text}')
_BESIDE = {"a": "sq", "e": "wr", "i": "uo", "o": "ip", "t": "ry", "n": "bm", "s": "ad", "r": "et", "l": "ko", "d": "sf"}


def dress(text: str, draw: random.Random) -> str:
    """Retypes a request as people do; numbers stay as they are, and so do all words but for a slip of the finger."""
    match draw.randrange(10):
        case 0:
            return text.upper()
        case 1:
            return text.lower()
        case 2:
            return text.rstrip("?.! ").lower()
        case 3 | 4:
            opened = draw.choice(_OPENINGS) + text
            return opened.lower() if draw.random() < 0.3 else opened
        case 5:
            return text.rstrip("?.! ") + draw.choice(_CLOSINGS)
        case _:
            return mistyped(text, draw)


def paste(text: str, paragraphs: Sequence[str], draw: random.Random) -> str:
    """Puts a paragraph in front of a request, as people do who paste before they ask."""
    return draw.choice(_PASTES).format(paragraph=draw.choice(paragraphs), text=text)


def said(expert: str, answer: str, request: str, draw: random.Random) -> str:
    """Returns an expert's answer as it may come: at times an echo of the request, a mere opening, or nothing at all.

    Who is asked next should hang on what was asked for, and not on how an expert happens to begin.
    """
    match draw.randrange(12):
        case 0:
            return f"[{expert}] {request}"
        case 1:
            return draw.choice(_ANSWER_OPENINGS) + answer
        case 2:
            return draw.choice(("", "I do not know.", "Here is what I know of it."))
        case _:
            return answer


def mistyped(text: str, draw: random.Random) -> str:
    """Lets the finger slip in one word of six, and in one at least."""
    words = text.split(" ")
    long = [place for place, word in enumerate(words) if len(word) > 3 and word.isalpha()]
    for place in draw.sample(long, min(len(long), 1 + len(long) // 6)):
        words[place] = _slip(words[place], draw)
    return " ".join(words)


def _slip(word: str, draw: random.Random) -> str:
    """Swaps, drops, doubles or misses one letter that is not the first."""
    at = draw.randrange(1, len(word) - 1)
    match draw.randrange(4):
        case 0:
            return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
        case 1:
            return word[:at] + word[at + 1 :]
        case 2:
            return word[:at] + word[at] + word[at:]
        case _:
            return word[:at] + draw.choice(_BESIDE.get(word[at].lower(), word[at])) + word[at + 1 :]
