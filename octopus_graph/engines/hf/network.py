"""What the engine needs of a model: tokens in, states and keys and values out. `llama` and `trees` give it."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["KV", "Network"]

KV = Sequence[tuple[torch.Tensor, torch.Tensor]]
"""Keys and values of each layer, (rows, heads, length, width of a head); they are never written to."""


class Network(Protocol):
    """A router's model with its adapter in it, and the edge adapters beside it."""

    @property
    def head(self) -> torch.Tensor:
        """What projects states onto the vocabulary, (tokens, width)."""
        ...

    @property
    def bias(self) -> torch.Tensor | None:
        """What is added to that, (tokens,)."""
        ...

    def read(
        self, ids: torch.Tensor, past: KV = (), *, mask: torch.Tensor | None = None, edge: str | None = None
    ) -> tuple[torch.Tensor, KV]:
        """Reads tokens after what `past` holds.

        Args:
            ids: The tokens, (rows, length).
            past: What `read` gave back for the tokens before.
            mask: 0 for what fills a row up on its right, (rows, length of past and ids).
            edge: The expert whose edge adapter is put on for this call.

        Returns:
            The last states, (rows, length, width), and keys and values of past and ids.
        """
        ...

    def lower(self) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
        """Returns what reads ids and their mask, as `read` does, and stops a third of the way up."""
        ...

    def base(self) -> "PreTrainedModel":
        """Returns the model as released, which shares with this one every weight that no adapter has changed."""
        ...
