"""Models and adapters through transformers and peft: for training, for chats, and for what `llama` does not know."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# transformers and peft ship partial types.

import copy
import warnings
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from safetensors import SafetensorError
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from octopus_graph.engines.hf.files import fast_dtype
from octopus_graph.engines.text import add_tokens
from octopus_graph.errors import AdapterError, WeightsError

__all__ = [
    "llama_of",
    "load_base",
    "load_edge",
    "load_model",
    "load_tokenizer",
    "shared_copy",
    "with_functional_tokens",
    "with_merged_adapter",
]

BROKEN = (OSError, ValueError, KeyError, RuntimeError, SafetensorError)
"""What transformers and peft raise on files that are missing, cut off or of another model."""


def load_base(folder: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Loads a model folder in the type of `fast_dtype`, without running any code that came with it.

    Raises:
        WeightsError: If the folder does not hold a causal language model.
    """
    tokenizer = load_tokenizer(folder)
    return load_model(folder), tokenizer


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Loads the tokenizer of a model folder.

    Raises:
        WeightsError: If the folder does not hold one.
    """
    with _loads(folder):
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)


def load_model(folder: Path) -> PreTrainedModel:
    """Loads the model of a folder, in the type of `fast_dtype`.

    Raises:
        WeightsError: If the folder does not hold a causal language model.
    """
    with _loads(folder):
        return AutoModelForCausalLM.from_pretrained(
            folder, dtype=fast_dtype(), trust_remote_code=False, local_files_only=True, use_safetensors=True
        ).eval()


def llama_of(folder: Path, weights: Mapping[str, torch.Tensor]) -> PreTrainedModel:
    """Makes a Llama of weights that are in memory already, all of one type; it shares them.

    Raises:
        WeightsError: If the folder's configuration is not that of these weights.
    """
    with _loads(folder):
        config = LlamaConfig.from_pretrained(folder, local_files_only=True)
        dtype = next(iter(weights.values())).dtype
        return LlamaForCausalLM.from_pretrained(None, config=config, state_dict=dict(weights), dtype=dtype).eval()


@contextmanager
def _loads(folder: Path) -> Generator[None]:
    try:
        yield
    except BROKEN as error:
        reason = str(error).splitlines()[0] if str(error) else error.__class__.__name__
        raise WeightsError(
            f"{folder.name}: not a causal language model that transformers can load ({reason})."
        ) from error


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
        # In the type of the first: a router in bf16 must not have some of its edges in fp32.
        edges.load_adapter(str(folder), adapter_name=name, autocast_adapter_dtype=False)
    except BROKEN as error:
        raise _misfit(folder, error) from error
    return edges.eval()


def _adapted(model: PreTrainedModel, folder: Path, name: str) -> PeftModel:
    try:
        with warnings.catch_warnings():
            # peft reads an attribute that transformers has renamed.
            warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
            return PeftModel.from_pretrained(model, str(folder), adapter_name=name, autocast_adapter_dtype=False)
    except BROKEN as error:
        raise _misfit(folder, error) from error


def _misfit(folder: Path, error: Exception) -> AdapterError:
    reason = str(error).strip().splitlines()[0] if str(error).strip() else error.__class__.__name__
    return AdapterError(f"The adapter {folder.name} does not fit the base model: {reason[:200]}")
