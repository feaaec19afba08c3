"""A router on any model of transformers, with peft for its adapters: slower to start than `llama`, and not choosy.

base    the model as released: what the embedded experts speak with
trunk   base + functional tokens + the router's LoRA, merged
edges   trunk + one small LoRA for each expert, named per call

A tree is a copy of the modules, not of the weights: only what an adapter changes is there twice.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# transformers and peft ship partial types.

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import DynamicCache, PreTrainedModel

from octopus_graph.engines.hf.loading import (
    load_base,
    load_edge,
    shared_copy,
    with_functional_tokens,
    with_merged_adapter,
)
from octopus_graph.engines.hf.network import KV

__all__ = ["Trees"]


class Trees:
    """The trees of one router: a `Network`."""

    def __init__(self, folder: Path, tokens: Sequence[str], adapter: Path | None, edges: Mapping[str, Path]) -> None:
        """Loads base and trunk.

        Args:
            folder: The base.
            tokens: The functional tokens.
            adapter: The router's adapter; `None` where the base is a router.
            edges: Edge adapters by expert; each is loaded when it is first named.

        Raises:
            WeightsError: If the base cannot be loaded.
            AdapterError: If the router's adapter does not fit.
        """
        self._base, tokenizer = load_base(folder)
        self._trunk: PreTrainedModel = self._base
        if adapter is not None:
            self._trunk = with_merged_adapter(with_functional_tokens(self._base, tokenizer, tokens), adapter)
        self._edge_folders = edges
        self._edges: PeftModel | None = None

    @property
    def head(self) -> torch.Tensor:
        """See `Network.head`."""
        head: Any = self._trunk.get_output_embeddings()
        return head.weight

    @property
    def bias(self) -> torch.Tensor | None:
        """See `Network.bias`."""
        head: Any = self._trunk.get_output_embeddings()
        return head.bias

    def read(
        self, ids: torch.Tensor, past: KV = (), *, mask: torch.Tensor | None = None, edge: str | None = None
    ) -> tuple[torch.Tensor, KV]:
        """See `Network.read`."""
        # A cache grows by concatenation, which makes new tensors: those of the past are never written to.
        cache = DynamicCache(ddp_cache_data=list(past)) if past else DynamicCache()
        inputs: dict[str, Any] = {"input_ids": ids, "past_key_values": cache, "use_cache": True}
        if mask is not None:
            inputs["attention_mask"] = mask
        if edge is None:
            states = self._trunk.base_model(**inputs).last_hidden_state
        else:
            # Through peft's front door, which takes the adapter's name for this call only.
            names = [edge] * len(ids)
            tree = self._edge_tree(edge)
            outputs = tree(**inputs, adapter_names=names, logits_to_keep=1, output_hidden_states=True)
            states = outputs.hidden_states[-1]
        layers: Any = cache.layers
        return states, [(layer.keys, layer.values) for layer in layers]

    def lower(self) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
        """See `Network.lower`."""
        lower: Any = shared_copy(self._trunk).base_model
        lower.layers = lower.layers[: max(1, len(lower.layers) // 3)]
        lower.norm = torch.nn.Identity()

        def states(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            return lower(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state

        return states

    def base(self) -> PreTrainedModel:
        """See `Network.base`."""
        return self._base

    def _edge_tree(self, edge: str) -> PeftModel:
        if self._edges is None or edge not in self._edges.peft_config:
            self._edges = load_edge(self._trunk, self._edges, edge, self._edge_folders[edge])
        return self._edges
