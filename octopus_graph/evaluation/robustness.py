"""The task `robustness`: the same request typed another way should go to the same expert."""

import random
from collections.abc import Callable, Sequence

from octopus_graph.evaluation.contenders import Contender
from octopus_graph.evaluation.metrics import Interval, share
from octopus_graph.training.dress import mistyped, paste

__all__ = ["measure_robustness"]


def measure_robustness(
    contender: Contender, requests: Sequence[str], paragraphs: Sequence[str], *, seed: int = 23
) -> dict[str, Interval]:
    """Returns the share of requests that keep their expert, for each way of typing.

    Args:
        contender: Who decides.
        requests: Clean requests.
        paragraphs: Texts to put in front of them, none of them seen in training.
        seed: Of slips and paragraphs.
    """
    draw = random.Random(seed)
    ways: dict[str, Callable[[str], str]] = {
        "typos": lambda text: mistyped(text, draw),
        "all_caps": str.upper,
        "lower_case": lambda text: text.lower().rstrip("?.! "),
        "pls": lambda text: f"pls {text}",
    }
    if paragraphs:
        ways["pasted_paragraph"] = lambda text: paste(text, paragraphs, draw)
    clean = [guess.expert for guess in contender.guess(requests)]
    return {
        way: share(
            [
                guess.expert == before
                for guess, before in zip(contender.guess([change(text) for text in requests]), clean, strict=True)
            ]
        )
        for way, change in ways.items()
    }
