"""One set of weights, three trees of modules over it.

    base    the model as released: what the embedded experts speak with
    trunk   base + functional tokens + the router's LoRA, merged: a route costs a bare forward pass (ADR 0003)
    edges   trunk + one small LoRA for each expert, named per call

A tree is a copy of the modules, not of the weights: only what an adapter changes is there twice.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# transformers and peft ship partial types.

import copy
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from octopus_graph.engines.text import add_tokens
from octopus_graph.errors import AdapterError, WeightsError

__all__ = ["load_base", "load_edge", "sample", "shared_copy", "with_functional_tokens", "with_merged_adapter"]

BLOCKS, BLOCK = 64, 4096  # of a file of weights


def fast_dtype() -> torch.dtype:
    """Returns the type this machine multiplies fastest: bf16 where the CPU has instructions for it, else fp32.

    Without them bf16 costs eight times fp32 on a hundred tokens (docs/log.md, 2026-11-24).
    """
    capabilities: Mapping[str, object] = getattr(torch.cpu, "get_capabilities", dict)()  # older torch has none
    native = any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    return torch.bfloat16 if native else torch.float32


def load_base(folder: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Loads a model folder in the type of `fast_dtype`, without running any code that came with it.

    Raises:
        WeightsError: If the folder does not hold a causal language model.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        model = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=fast_dtype(),
            trust_remote_code=False,
            local_files_only=True,
            use_safetensors=True,
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else error.__class__.__name__
        raise WeightsError(
            f"{folder.name}: not a causal language model that transformers can load ({reason})."
        ) from error
    return model.eval(), tokenizer


def shared_copy(model: PreTrainedModel) -> PreTrainedModel:
    """Copies the modules and shares the weights, so that adapters put on the copy leave the original as it is."""
    memo: dict[int, object] = {id(weight): weight for weight in model.parameters()}
    return copy.deepcopy(model, memo)


def with_functional_tokens(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, tokens: Sequence[str]
) -> PreTrainedModel:
    """Returns a shared copy with rows for the functional tokens, and adds the tokens to the tokenizer."""
    trunk = shared_copy(model)
    add_tokens(tokenizer, tokens)
    table: Any = trunk.get_input_embeddings()
    if len(tokenizer) > table.weight.shape[0]:
        # Resizing writes into the old table's parameter; the base keeps its own.
        table.weight = torch.nn.Parameter(table.weight.detach().clone(), requires_grad=False)
        trunk.tie_weights()
        trunk.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    return trunk


def with_merged_adapter(trunk: PreTrainedModel, folder: Path) -> PreTrainedModel:
    """Merges an adapter into the trunk; weights the adapter touches are copied first, as the base shares them.

    Raises:
        AdapterError: If the adapter is for another base.
    """
    adapted = _adapted(trunk, folder, "router")
    for module in adapted.modules():
        if isinstance(module, LoraLayer):
            layer: Any = module.get_base_layer()
            layer.weight = torch.nn.Parameter(layer.weight.detach().clone(), requires_grad=False)
    merged: Any = adapted.merge_and_unload()
    return merged.eval()


def load_edge(trunk: PreTrainedModel, edges: PeftModel | None, name: str, folder: Path) -> PeftModel:
    """Puts one expert's edge adapter on the tree of edges, which is made when the first one comes.

    Raises:
        AdapterError: If the adapter is for another base.
    """
    if edges is None:
        return _adapted(shared_copy(trunk), folder, name).eval()
    try:
        edges.load_adapter(str(folder), adapter_name=name)
    except (ValueError, KeyError, RuntimeError, OSError) as error:
        raise _misfit(folder, error) from error
    return edges.eval()


def _adapted(model: PreTrainedModel, folder: Path, name: str) -> PeftModel:
    try:
        with warnings.catch_warnings():
            # peft reads an attribute that transformers has renamed.
            warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
            return PeftModel.from_pretrained(model, str(folder), adapter_name=name, autocast_adapter_dtype=False)
    except (ValueError, KeyError, RuntimeError, OSError) as error:
        raise _misfit(folder, error) from error


def _misfit(folder: Path, error: Exception) -> AdapterError:
    reason = str(error).strip().splitlines()[0] if str(error).strip() else error.__class__.__name__
    return AdapterError(f"The adapter {folder.name} does not fit the base model: {reason[:200]}")


def sample(folder: Path, add: Callable[[bytes], object]) -> None:
    """Adds blocks of a model's weights to a digest, evenly taken: reading gigabytes would cost seconds."""
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            size = path.stat().st_size
            add(f"{path.name} {size} ".encode())
            for place in range(0, size, max(1, size // BLOCKS)):
                file.seek(place)
                add(file.read(BLOCK))


def edge_folders(folder: Path) -> Mapping[str, Path]:
    """Returns the edge adapters that lie beside a router's adapter, by expert."""
    return {path.parent.name: path.parent for path in sorted(folder.glob("edges/*/adapter_config.json"))}
