"""Prompts: pieces of text that say whether they may be trusted."""

from dataclasses import dataclass

__all__ = ["Prompt", "Segment"]


@dataclass(frozen=True)
class Segment:
    """A piece of a prompt.

    Attributes:
        text: The text as it stands.
        trusted: Whether special tokens in the text count as such. Text from users, files and models is never trusted: a
            `<nexa_8>` in it is tokenised as the characters it is made of.
        budget: The most tokens the piece may take, 0 for no limit. A longer piece keeps its first two thirds and its
            last third.
    """

    text: str
    trusted: bool = False
    budget: int = 0


Prompt = tuple[Segment, ...]
