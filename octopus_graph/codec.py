r"""The one home of the wire format: what goes into the router and what comes out.

    prompt   v4:     <|system|>You are a router. …<|end|><|user|>{request}<|end|><|assistant|>
             chatml: <|im_start|>user\n{request}<|im_end|>
    output           <nexa_4> ('Find the derivative of x^3 at x = 2')<nexa_end>    an expert and a rewritten request
                     <nexa_4><nexa_end>                                            an expert, the request as it is
    after an expert  {prompt}<nexa_4><nexa_end>{answer}<|im_end|>  ->  another output, or <nexa_end> alone: done

What an expert was asked is not shown to the next decision, only that it was asked and how its answer begins: a rewrite
that went astray would lead the rest of the path astray with it (docs/log.md, 2026-11-24).

`render` writes outputs for training, `parse` reads them in inference; parse(render(token, text)) gives back any text.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from octopus_graph.errors import ConfigurationError, InputError, ParseError
from octopus_graph.prompt import Prompt, Segment
from octopus_graph.tokens import END

__all__ = [
    "CHATML",
    "CLOSE",
    "FORMATS",
    "OPEN",
    "OUTPUT_BUDGET",
    "V4",
    "Codec",
    "Done",
    "Turn",
    "clean",
    "parse",
    "quiet",
    "render",
]

OPEN = " ('"
CLOSE = "')"
REQUEST_BUDGET = 128  # tokens of the request the router reads
ANSWER_BUDGET = 24  # tokens of an answer an edge router reads: enough to see that it is one
OUTPUT_BUDGET = 96  # tokens of a rewrite
MAX_CHARACTERS = 200_000
LOUD = 12  # capitals from which a text is shouted; below, it may be an abbreviation or a formula

# A v4 checkpoint may quote its argument with either quote, add spaces, or run out of tokens before it closes.
_OUTPUT = re.compile(
    r"\s*(?P<token><nexa_\d+>)"
    r"(?:\s*\((?P<quote>['\"])(?P<text>.*?)(?:(?P=quote)\)\s*)?)?"
    r"\s*(?:<nexa_end>\s*)?",
    re.DOTALL,
)
# Control characters that carry no meaning in a request; tab, line feed and carriage return do.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def clean(request: str) -> str:
    """Makes a request fit for the router: control characters become spaces, outer white space goes.

    Raises:
        InputError: If nothing is left, if it is longer than 200,000 characters, or if it holds a lone surrogate.
    """
    if len(request) > MAX_CHARACTERS:
        raise InputError(
            f"The request has {len(request):,} characters and the limit is {MAX_CHARACTERS:,}: shorten it."
        )
    try:
        request.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"The request is not valid text: a lone surrogate stands at character {error.start}; send UTF-8."
        ) from None
    text = _CONTROL.sub(" ", request).strip()
    if not text:
        raise InputError("The request is empty: ask something.")
    return text


def quiet(text: str) -> str:
    """Lower-cases what is typed in capitals throughout, for the router's eyes alone.

    Its tokenizer breaks capitals into pieces that say little: before this, it sent three capitalised requests of ten
    elsewhere than the same in small letters (docs/log.md, 2026-11-24).

    Example:
        >>> quiet("WHO OWNS THE NILE?"), quiet("What does NATO do?")
        ('who owns the nile?', 'What does NATO do?')
    """
    capitals = sum(letter.isupper() for letter in text)
    small = sum(letter.islower() for letter in text)
    return text.lower() if capitals > 9 * small and capitals >= LOUD else text


def render(token: str, text: str | None = None) -> str:
    r"""Writes an output: a functional token, its argument where there is one, and the end.

    Example:
        >>> render("<nexa_4>", "x^3 at x = 2")
        "<nexa_4> ('x^3 at x = 2')<nexa_end>"
    """
    return f"{token}{END}" if text is None else f"{token}{OPEN}{text}{CLOSE}{END}"


def parse(output: str) -> tuple[str, str | None]:
    """Reads an output; the inverse of `render`, lenient about quotes, spaces and a missing end.

    Returns:
        The functional token, and its argument or `None`.

    Raises:
        ParseError: If the output does not begin with a functional token.

    Example:
        >>> parse("<nexa_4> ('it's x^3')<nexa_end>")
        ('<nexa_4>', "it's x^3")
    """
    # What render wrote is cut by its exact frame, so that any text survives, even one that looks like a frame itself.
    token, opened, rest = output.partition(OPEN)
    frame = CLOSE + END
    if opened and rest.endswith(frame) and re.fullmatch(r"<nexa_\d+>", token):
        return token, rest.removesuffix(frame)
    match = _OUTPUT.fullmatch(output)
    if match is None:
        raise ParseError(
            f"The router's output does not begin with a functional token and its argument: {output[:60]!r}."
        )
    return match["token"], match["text"]


@dataclass(frozen=True)
class Turn:
    """An earlier turn of the thread: what was asked, and the functional token it went to."""

    request: str
    token: str


@dataclass(frozen=True)
class Done:
    """A hop already taken in this run: the token and the answer."""

    token: str
    answer: str


@dataclass(frozen=True)
class Codec:
    """The frame of a prompt in one router's dialect.

    Attributes:
        name: What graph files and router cards call it.
        prefix: Everything before the request; the same in every call, so an engine may keep its KV cache.
        user: What opens a further user turn.
        suffix: What follows the request; the next token is the functional one.
        stop: What closes an expert's answer.
    """

    name: str
    prefix: str
    user: str
    suffix: str
    stop: str

    def prompt(self, request: str, previous: Sequence[Turn] = (), done: Sequence[Done] = ()) -> Prompt:
        """Renders what the router reads before it emits a functional token.

        Args:
            request: The request of this turn.
            previous: Earlier turns of the thread, oldest first; the last one is in view.
            done: The hops already taken for this request.
        """
        parts = [Segment(self.prefix, trusted=True)]
        for turn in previous[-1:]:
            parts.append(Segment(quiet(turn.request), budget=REQUEST_BUDGET // 2))
            parts.append(Segment(f"{self.suffix}{turn.token}{END}{self.user}", trusted=True))
        parts.append(Segment(quiet(request), budget=REQUEST_BUDGET))
        parts.append(Segment(self.suffix, trusted=True))
        for hop in done:
            parts.append(Segment(hop.token + END, trusted=True))
            parts.append(Segment(hop.answer, budget=ANSWER_BUDGET))
            parts.append(Segment(self.stop, trusted=True))
        return tuple(parts)

    @staticmethod
    def argument(prompt: Prompt, token: str) -> Prompt:
        """Renders the prompt after which the argument of a token is written: the rewritten request."""
        return (*prompt, Segment(token + OPEN, trusted=True))


V4 = Codec(
    name="v4",
    prefix="<|system|>You are a router. Below is the query from the users, please call the correct function and"
    " generate the parameters to call the function.<|end|><|user|>",
    user="<|user|>",
    suffix="<|end|><|assistant|>",
    stop="<|end|>",
)
CHATML = Codec(
    name="chatml",
    prefix="<|im_start|>user\n",
    user="\n<|im_start|>user\n",
    suffix="<|im_end|>",
    stop="<|im_end|>",
)
FORMATS = {codec.name: codec for codec in (V4, CHATML)}


def codec_named(name: str) -> Codec:
    """Returns the dialect of that name.

    Raises:
        ConfigurationError: If there is none.
    """
    if name not in FORMATS:
        raise ConfigurationError(f"There is no prompt format {name!r}; the formats are {', '.join(FORMATS)}.")
    return FORMATS[name]
