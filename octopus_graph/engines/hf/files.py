"""What lies in the folders of models and adapters, read without transformers and peft.

`LlamaConfig` and `LoraConfig` say which models `llama` and `lora` know. They hold every key such a file may have with
the values that are understood: whatever else stands there fails the check, and transformers and peft do the work.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# safetensors ships no types.

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from safetensors import safe_open

__all__ = ["WEIGHTS", "LlamaConfig", "LoraConfig", "edge_folders", "fast_dtype", "read_config", "sample", "tensors"]

WEIGHTS = "model.safetensors"
BLOCKS, BLOCK = 64, 4096  # of a file of weights
MAPPED = 16  # tensors


def fast_dtype() -> torch.dtype:
    """Returns the type this machine multiplies fastest: bf16 where the CPU has instructions for it, else fp32.

    Without them bf16 costs eight times fp32 on a hundred tokens (docs/log.md, 2026-11-24).
    """
    capabilities: Mapping[str, object] = getattr(torch.cpu, "get_capabilities", dict)()  # older torch has none
    native = any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    return torch.bfloat16 if native else torch.float32


class Rope(BaseModel):
    """Rotary positions as Llama 2 has them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rope_theta: float
    rope_type: Literal["default"] = "default"


class LlamaConfig(BaseModel):
    """`config.json` of a Llama with tied embeddings, no biases and plain rotary positions."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model_type: Literal["llama"]
    architectures: tuple[Literal["LlamaForCausalLM"]]
    hidden_act: Literal["silu"]
    attention_bias: Literal[False] = False
    mlp_bias: Literal[False] = False
    tie_word_embeddings: Literal[True]
    pretraining_tp: Literal[1] = 1
    rope_parameters: Rope

    hidden_size: int
    intermediate_size: int
    num_attention_heads: int
    num_hidden_layers: int
    num_key_value_heads: int
    head_dim: int
    rms_norm_eps: float
    vocab_size: int

    # What training, `generate` and transformers itself go by.
    attention_dropout: Any = None
    bos_token_id: Any = None
    dtype: Any = None
    eos_token_id: Any = None
    initializer_range: Any = None
    max_position_embeddings: Any = None
    pad_token_id: Any = None
    transformers_version: Any = None
    unk_token_id: Any = None
    use_cache: Any = None


class LoraConfig(BaseModel):
    """`adapter_config.json` of a plain LoRA: W + alpha/r · B A on projections, and rows of the table of tokens."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    peft_type: Literal["LORA"]
    r: int = Field(gt=0)
    lora_alpha: float
    trainable_token_indices: tuple[int, ...] | None = None
    init_lora_weights: bool = True  # PiSSA, OLoRA and others change the base too
    bias: Literal["none"] = "none"
    fan_in_fan_out: Literal[False] = False
    lora_bias: Literal[False] = False
    use_dora: Literal[False] = False
    use_qalora: Literal[False] = False
    use_rslora: Literal[False] = False
    ensure_weight_tying: Literal[False] = False
    alpha_pattern: dict[str, float] = Field(default={}, max_length=0)
    rank_pattern: dict[str, int] = Field(default={}, max_length=0)
    loftq_config: dict[str, object] = Field(default={}, max_length=0)
    alora_invocation_tokens: None = None
    arrow_config: None = None
    corda_config: None = None
    eva_config: None = None
    kasa_config: None = None
    layer_replication: None = None
    lora_ga_config: None = None
    megatron_config: None = None
    modules_to_save: None = None
    monteclora_config: None = None
    target_parameters: None = None
    use_bdlora: None = None
    velora_config: None = None

    # Which modules have an adapter is seen by the tensors that are there; the rest is for training.
    auto_mapping: Any = None
    base_model_name_or_path: Any = None
    exclude_modules: Any = None
    inference_mode: Any = None
    layers_pattern: Any = None
    layers_to_transform: Any = None
    lora_dropout: Any = None
    megatron_core: Any = None
    peft_version: Any = None
    qalora_group_size: Any = None
    revision: Any = None
    target_modules: Any = None
    task_type: Any = None

    @property
    def scale(self) -> float:
        """What the product B A is multiplied by."""
        return self.lora_alpha / self.r


def read_config(path: Path) -> dict[str, Any]:
    """Reads a JSON file of settings; keys that begin with an underscore are transformers' notes to itself.

    Raises:
        OSError: If it is not there.
        ValueError: If it is no JSON object.
    """
    content = TypeAdapter(dict[str, Any]).validate_json(path.read_bytes())
    return {name: value for name, value in content.items() if not name.startswith("_")}


def tensors(path: Path) -> Iterator[tuple[str, torch.Tensor]]:
    """Reads a safetensors file a few tensors at a time, so that few of its pages count as memory of this process.

    Copy what is kept: a tensor is a view of the file, which is mapped for as long as one of its views lives.
    """
    with safe_open(path, "pt") as file:
        names = list(file.keys())
    for first in range(0, len(names), MAPPED):
        with safe_open(path, "pt") as file:
            for name in names[first : first + MAPPED]:
                yield name, file.get_tensor(name)


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
