"""LoRA adapters read from their files, and merged (Hu et al. 2021): W + scale · B A.

For adapters that `files.LoraConfig` understands; the others are peft's.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError

from octopus_graph.engines.hf.files import LoraConfig, read_config, tensors
from octopus_graph.errors import AdapterError

__all__ = ["Lora", "merge", "read_lora"]

ROWS = "embed_tokens.token_adapter.trainable_tokens_delta"
TABLE = "embed_tokens.weight"

_named = re.compile(r"base_model\.model\.(?:model\.)?(.+)").fullmatch
_part = re.compile(r"(.+)\.lora_([AB])\.weight").fullmatch


@dataclass(frozen=True)
class Lora:
    """An adapter.

    Attributes:
        scale: What the products B A are multiplied by.
        pairs: A, (rank, in), and B, (out, rank), by the name of the projection they belong to.
        rows: Rows of the table of tokens, by id.
    """

    scale: float
    pairs: Mapping[str, tuple[torch.Tensor, torch.Tensor]]
    rows: Mapping[int, torch.Tensor]


def read_lora(folder: Path, weights: Mapping[str, torch.Tensor]) -> Lora:
    """Reads an adapter, in the type of the weights it is for.

    Args:
        folder: With adapter_config.json and adapter_model.safetensors.
        weights: Of the model, by name.

    Raises:
        AdapterError: If it is not for these weights.
    """
    table = weights[TABLE]
    halves: dict[str, dict[str, torch.Tensor]] = {}
    rows: dict[int, torch.Tensor] = {}
    try:
        config = LoraConfig.model_validate(read_config(folder / "adapter_config.json"))
        for full, tensor in tensors(folder / "adapter_model.safetensors"):
            name = found[1] if (found := _named(full)) else full
            value = tensor.to(table.dtype, copy=True)
            if name == ROWS:
                rows = dict(zip(config.trainable_token_indices or (), value, strict=True))
            elif part := _part(name):
                halves.setdefault(part[1], {})[part[2]] = value
            else:
                raise _misfit(folder, f"it holds {name}")
    except (OSError, ValueError, SafetensorError) as error:
        raise _misfit(folder, (str(error).splitlines() or [type(error).__name__])[0]) from error
    if set(rows) != set(config.trainable_token_indices or ()):
        raise _misfit(folder, "rows of tokens are missing")
    if any(not 0 <= id_ < len(table) or row.shape != table.shape[1:] for id_, row in rows.items()):
        raise _misfit(folder, "its tokens are not those of the base")
    for name, pair in halves.items():
        weight = weights.get(name + ".weight")
        shapes = [tuple(pair[half].shape) if half in pair else () for half in "AB"]
        if weight is None or weight.dim() != 2 or shapes != [(config.r, weight.shape[1]), (weight.shape[0], config.r)]:
            raise _misfit(folder, f"{name} has another shape")
    return Lora(config.scale, {name: (pair["A"], pair["B"]) for name, pair in halves.items()}, rows)


def merge(lora: Lora, weights: Mapping[str, torch.Tensor]) -> set[str]:
    """Adds an adapter to the weights, in place, rounded as peft rounds.

    Returns:
        The names of the weights that are others now.
    """
    for name, (down, up) in lora.pairs.items():
        weight = weights[name + ".weight"]
        weight += (up.float() @ down.float() * lora.scale).to(weight.dtype)
    for id_, row in lora.rows.items():
        weights[TABLE][id_] = row
    return {name + ".weight" for name in lora.pairs}


def _misfit(folder: Path, reason: str) -> AdapterError:
    return AdapterError(f"The adapter {folder.name} does not fit the base model: {reason[:200]}")
