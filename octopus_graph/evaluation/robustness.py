"""The task `robustness`: the same request typed another way should go to the same expert.

Nothing here is shared with the dresses of training: other slips of the finger, other words of politeness, other ways of
pasting, other paragraphs.
"""

import random
from collections.abc import Callable, Sequence

from octopus_graph.evaluation.contenders import Contender
from octopus_graph.evaluation.metrics import Slice, part

__all__ = ["measure_robustness", "slipped"]

_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_BESIDE = {key: row[max(0, at - 1) : at] + row[at + 1 : at + 2] for row in _ROWS for at, key in enumerate(row)}
_SLIPS = 8  # one word of so many
_JOIN = "\0"  # stands where a space will be missing
_POLITE = (
    "{text} pls and thank you",
    "pls pls tell me: {text}",
    "could u pls help, {text}",
    "sorry to bother you, {text}",
    "{text} - pls reply soon",
    "would you be so kind: {text}",
    "pls!! {text}",
    "{text} if you please",
)
_PASTES = (
    "{paragraph}\n---\n{text}",
    "> {paragraph}\n\n{text}",
    "FYI: {paragraph} Anyway: {text}",
    "{paragraph}\n\n\n\nmy question is this: {text}",
    "[{paragraph}]\n{text}",
    "<<{paragraph}>> {text}",
)


def measure_robustness(
    contender: Contender,
    requests: Sequence[str],
    paragraphs: Sequence[str],
    paraphrases: Sequence[tuple[str, str]] = (),
    *,
    seed: int = 23,
) -> dict[str, Slice]:
    """Returns the share of requests that keep their expert, for each way of typing.

    Args:
        contender: Who decides.
        requests: Clean requests.
        paragraphs: Texts to put in front of them, none of them seen in training.
        paraphrases: Requests, and the same said in other words by a human.
        seed: Of slips, politeness and paragraphs.
    """
    draw = random.Random(seed)
    ways: dict[str, Callable[[str], str]] = {
        "typos": lambda text: slipped(text, draw),
        "all_caps": str.upper,
        "lower_case": lambda text: text.lower().rstrip("?.! "),
        "pls": lambda text: draw.choice(_POLITE).format(text=text),
    }
    if paragraphs:
        ways["pasted_paragraph"] = lambda text: draw.choice(_PASTES).format(
            paragraph=draw.choice(paragraphs), text=text
        )
    pairs = {way: [(text, change(text)) for text in requests] for way, change in ways.items()}
    pairs["paraphrase"] = list(paraphrases)
    texts = list(dict.fromkeys(text for found in pairs.values() for pair in found for text in pair))
    expert = dict(zip(texts, (guess.expert for guess in contender.guess(texts)), strict=True)) if texts else {}
    return {way: part([expert[one] == expert[other] for one, other in found]) for way, found in pairs.items() if found}


def slipped(text: str, draw: random.Random) -> str:
    """Lets the finger slip in one word of eight, and in one at least; what holds a digit stays as it is."""
    words = text.split(" ")
    long = [place for place, word in enumerate(words) if len(word) > 2 and word.isalpha()]
    for place in draw.sample(long, min(len(long), max(1, round(len(words) / _SLIPS)))):
        words[place] = _slip(words[place], draw)
    return " ".join(words).replace(_JOIN + " ", "").replace(_JOIN, "")


def _slip(word: str, draw: random.Random) -> str:
    at = draw.randrange(len(word) - 1)
    before, letter, after = word[:at], word[at], word[at + 1 :]
    match draw.randrange(5):
        case 0:
            return before + draw.choice(_BESIDE.get(letter.lower(), letter)) + after
        case 1:
            return before + after
        case 2:
            return before + 2 * letter + after
        case 3:
            return before + after[0] + letter + after[1:]
        case _:
            return word + _JOIN
