"""Where a text lies among others: the mean state of its tokens a third of the way up the router's own model.

The states of a causal model all point one way, because of a few dimensions that are large whatever is said. So each
dimension is measured against its mean and spread over some sentences of no importance; without that, paraphrases and
other questions cannot be told apart (docs/log.md, 2026-11-25). Below the layers that routers are trained on nothing
changes with training.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Sequence
from typing import Any

import torch

from octopus_graph.engines.hf.network import Network
from octopus_graph.engines.text import AnyTokenizer, encode_segment
from octopus_graph.prompt import Segment

__all__ = ["Meaning"]

BUDGET = 128  # tokens of a text
BATCH = 16
REFERENCE = (
    "Which train do I take to the airport?",
    "explain photosynthesis to a child",
    "My neighbour plays the drums at night, what can I do about it?",
    "Write a short poem about the sea.",
    "What is the square root of two?",
    "how long do I boil an egg",
    "Who built the old bridge in the middle of town?",
    "The printer says it is out of paper, but it is not.",
    "Compare two ways to save money for a house.",
    "is it normal to be tired all day in winter",
    "Translate this sentence into Spanish for me.",
    "Why do cats purr?",
    "Give me three arguments for and against school uniforms.",
    "A function should return the longest word in a list.",
    "Which vitamins are in an orange?",
    "what happened at the end of the second world war",
    "Can my employer change my contract without asking me?",
    "Describe the taste of coffee to somebody who never had it.",
    "how far away is the moon",
    "What does it mean when a bank raises its interest rates?",
    "Name the capital of a country in South America.",
    "I cannot sleep before exams, any advice?",
    "Who was the philosopher that doubted everything?",
    "How is steel made?",
    "my car makes a strange noise when it rains",
    "What makes a good leader?",
    "Summarise the plot of a famous play.",
    "Where do I find the settings for dark mode?",
    "How do magnets work?",
    "is a tomato a fruit or a vegetable",
    "Plan a weekend in the mountains for four people.",
    "What should I say at my friend's wedding?",
)


class Meaning:
    """Makes vectors of texts."""

    def __init__(self, network: Network, tokenizer: AnyTokenizer) -> None:
        """Measures the sentences of no importance.

        Args:
            network: The router's model.
            tokenizer: Its tokenizer.
        """
        self._lower = network.lower()
        self._tokenizer = tokenizer
        # The first token draws attention from all others and says nothing: it is a token of no meaning, and left out.
        known: Any = tokenizer
        first = known.eos_token_id if known.bos_token_id is None else known.bos_token_id
        self._first = int(first or 0)
        self._mean, self._spread = torch.zeros(()), torch.ones(())
        states = self._states(REFERENCE)
        self._mean, self._spread = states.mean(0), states.std(0).clamp_min(1e-6)

    def __call__(self, texts: Sequence[str]) -> list[list[float]]:
        """Returns one vector of length one for each text."""
        measured = (self._states(texts) - self._mean) / self._spread
        return torch.nn.functional.normalize(measured, dim=1).tolist()

    @torch.inference_mode()
    def _states(self, texts: Sequence[str]) -> torch.Tensor:
        ids = [
            [self._first, *encode_segment(self._tokenizer, Segment(text.lower().strip(" ?.!"), budget=BUDGET))]
            for text in texts
        ]
        order = sorted(range(len(ids)), key=lambda place: len(ids[place]))  # alike lengths pad little
        rows: list[torch.Tensor] = [torch.empty(0)] * len(ids)
        for start in range(0, len(order), BATCH):
            places = order[start : start + BATCH]
            length = max(len(ids[place]) for place in places)
            padded = torch.tensor([ids[place] + [0] * (length - len(ids[place])) for place in places])
            mask = torch.tensor([[1] * len(ids[place]) + [0] * (length - len(ids[place])) for place in places])
            states = self._lower(padded, mask).float()
            mask[:, 0] = 0
            pooled = (states * mask[..., None]).sum(1) / mask.sum(1).clamp_min(1)[:, None]
            for place, row in zip(places, pooled, strict=True):
                rows[place] = row
        return torch.stack(rows)
