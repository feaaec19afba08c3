"""A router on a Llama in plain torch: what the shipped router runs on (ADR 0010).

transformers' own Llama takes longer to import than the whole decision may take, and peft doubles what an edge costs.
The arithmetic is theirs, in their order, so states agree to the last bits; tests compare them. A model or an adapter
that is not exactly of the kind known here is left to `trees`.
"""

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from torch.nn import functional

from octopus_graph.engines.hf.files import WEIGHTS, LlamaConfig, LoraConfig, fast_dtype, read_config, tensors
from octopus_graph.engines.hf.lora import Lora, merge, read_lora
from octopus_graph.engines.hf.network import KV
from octopus_graph.errors import AdapterError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["Llama", "open_llama"]

TABLE = "embed_tokens.weight"
NORMS = ("input_layernorm", "post_attention_layernorm")

_Pair = tuple[torch.Tensor, torch.Tensor]  # keys and values


def open_llama(
    folder: Path, tokens: Mapping[str, int], adapter: Path | None, edges: Mapping[str, Path]
) -> "Llama | None":
    """Loads a model, in the type of `fast_dtype`, and merges the router's adapter into it.

    Args:
        folder: The base.
        tokens: Functional tokens that the base has no rows for, and their ids.
        adapter: The router's adapter.
        edges: Edge adapters by expert; each is loaded when it is first named.

    Returns:
        The model; `None` where the base or one of the adapters is of another kind.

    Raises:
        AdapterError: If the router's adapter does not fit, or brings no rows for `tokens`.
    """
    try:
        config = LlamaConfig.model_validate(read_config(folder / "config.json"))
        for path in (*([adapter] if adapter else []), *edges.values()):
            LoraConfig.model_validate(read_config(path / "adapter_config.json"))
        weights = _weights(folder / WEIGHTS, config, max(tokens.values(), default=-1) + 1)
    except (OSError, ValueError, SafetensorError):
        return None
    changed = set[str]()
    if adapter is not None:
        lora = read_lora(adapter, weights)
        missing = [token for token, place in tokens.items() if place not in lora.rows]
        if missing:
            raise AdapterError(f"The adapter {adapter.name} brings no row for {missing[0]}: train the router again.")
        changed = merge(lora, weights)
        if any(place < config.vocab_size for place in lora.rows):
            changed.add(TABLE)
    return Llama(folder, config, weights, changed, edges)


class Llama:
    """The router's model: a `Network`."""

    bias = None

    def __init__(
        self,
        folder: Path,
        config: LlamaConfig,
        weights: Mapping[str, torch.Tensor],
        changed: Set[str],
        edges: Mapping[str, Path],
    ) -> None:
        """Puts it together; `open_llama` reads the parts.

        Args:
            folder: The base.
            config: Its shape.
            weights: By their names in the file, without the leading `model.`.
            changed: Those that are not the base's any more.
            edges: Edge adapters by expert.
        """
        self._folder = folder
        self._config = config
        self._weights = weights
        self._changed = changed
        self._edge_folders = edges
        self._edges: dict[str, Lora] = {}
        width = config.head_dim
        self._turns = 1.0 / config.rope_parameters.rope_theta ** (torch.arange(0, width, 2).float() / width)

    @property
    def head(self) -> torch.Tensor:
        """The table of tokens, (tokens, width): the embeddings are the output's weights too."""
        return self._weights[TABLE]

    def read(
        self,
        ids: torch.Tensor,
        past: KV = (),
        *,
        mask: torch.Tensor | None = None,
        edge: str | None = None,
        layers: int | None = None,
    ) -> tuple[torch.Tensor, KV]:
        """See `Network.read`; `layers` stops below the last norm."""
        lora = None if edge is None else self._edge(edge)
        start, length = past[0][0].shape[2] if past else 0, ids.shape[1]
        states = functional.embedding(ids, self.head)
        at = self._places(start, length, states.dtype, mask)
        kept: list[_Pair] = []
        for index in range(self._config.num_hidden_layers if layers is None else layers):
            name = f"layers.{index}."
            normed = self._norm(name + NORMS[0], states)
            mixed, kv = self._attend(name, normed, past[index] if past else None, at, lora)
            kept.append(kv)
            states = states + mixed
            normed = self._norm(name + NORMS[1], states)
            gate = functional.silu(self._project(name + "mlp.gate_proj", normed, lora))
            inner = gate * self._project(name + "mlp.up_proj", normed, lora)
            states = states + self._project(name + "mlp.down_proj", inner, lora)
        return (self._norm("norm", states) if layers is None else states), kept

    def lower(self) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
        """See `Network.lower`."""
        layers = max(1, self._config.num_hidden_layers // 3)

        def states(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            return self.read(ids, mask=mask, layers=layers)[0]

        return states

    def base(self) -> "PreTrainedModel":
        """See `Network.base`; made when it is asked for."""
        from octopus_graph.engines.hf.loading import llama_of

        shared = {"model." + name: weight for name, weight in self._weights.items() if name not in self._changed}
        if TABLE not in self._changed:
            shared["model." + TABLE] = self.head[: self._config.vocab_size]
        for name, weight in tensors(self._folder / WEIGHTS):
            if name not in shared:
                shared[name] = weight.to(self.head.dtype, copy=True)
        return llama_of(self._folder, shared)

    def _places(self, start: int, length: int, dtype: torch.dtype, mask: torch.Tensor | None) -> "_Places":
        angles = torch.arange(start, start + length).float()[:, None] * self._turns
        turn = torch.cat((angles, angles), -1)
        seen = None
        if mask is not None or (start and length > 1):
            seen = torch.ones(length, start + length, dtype=torch.bool).tril(start)
            seen = seen if mask is None else seen & mask[:, None, None, :].bool()
        return _Places(turn.cos().to(dtype), turn.sin().to(dtype), seen)

    def _edge(self, edge: str) -> Lora:
        if edge not in self._edges:
            self._edges[edge] = read_lora(self._edge_folders[edge], self._weights)
        return self._edges[edge]

    def _norm(self, name: str, states: torch.Tensor) -> torch.Tensor:
        wide = states.float()
        wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self._config.rms_norm_eps)
        return self._weights[name + ".weight"] * wide.to(states.dtype)

    def _project(self, name: str, states: torch.Tensor, lora: Lora | None) -> torch.Tensor:
        projected = functional.linear(states, self._weights[name + ".weight"])
        if lora is None or name not in lora.pairs:
            return projected
        down, up = lora.pairs[name]
        return projected + functional.linear(functional.linear(states, down), up) * lora.scale

    def _attend(
        self, name: str, states: torch.Tensor, past: _Pair | None, at: "_Places", lora: Lora | None
    ) -> tuple[torch.Tensor, _Pair]:
        rows, length, _ = states.shape
        queries, keys, values = (
            self._project(f"{name}self_attn.{kind}_proj", states, lora)
            .view(rows, length, -1, self._config.head_dim)
            .transpose(1, 2)
            for kind in "qkv"
        )
        queries, keys = _rotated(queries, at), _rotated(keys, at)
        if past is not None:
            keys, values = torch.cat((past[0], keys), 2), torch.cat((past[1], values), 2)
        group = self._config.num_attention_heads // self._config.num_key_value_heads
        mixed = functional.scaled_dot_product_attention(
            queries,
            keys.repeat_interleave(group, 1),
            values.repeat_interleave(group, 1),
            attn_mask=at.seen,
            is_causal=at.seen is None and length > 1,
        )
        mixed = mixed.transpose(1, 2).reshape(rows, length, -1)
        return self._project(name + "self_attn.o_proj", mixed, lora), (keys, values)


@dataclass(frozen=True)
class _Places:
    """Where the tokens stand: the angles of their positions, (length, width of a head), and what each may look at."""

    cosines: torch.Tensor
    sines: torch.Tensor
    seen: torch.Tensor | None


def _rotated(states: torch.Tensor, at: _Places) -> torch.Tensor:
    """Turns each pair of dimensions, which lie half a head apart, by the angle of its position."""
    first, second = states.chunk(2, -1)
    return states * at.cosines + torch.cat((-second, first), -1) * at.sines


def _weights(path: Path, config: LlamaConfig, least_rows: int) -> dict[str, torch.Tensor]:
    """Reads the weights; the table of tokens gets room for new ones, whose rows are left unwritten.

    Raises:
        ValueError: If they are not those of the configuration.
    """
    wide, inner = config.hidden_size, config.intermediate_size
    heads, pairs = (count * config.head_dim for count in (config.num_attention_heads, config.num_key_value_heads))
    layer = {
        **{f"{norm}.weight": (wide,) for norm in NORMS},
        "self_attn.q_proj.weight": (heads, wide),
        "self_attn.k_proj.weight": (pairs, wide),
        "self_attn.v_proj.weight": (pairs, wide),
        "self_attn.o_proj.weight": (wide, heads),
        "mlp.gate_proj.weight": (inner, wide),
        "mlp.up_proj.weight": (inner, wide),
        "mlp.down_proj.weight": (wide, inner),
    }
    expected = {
        TABLE: (config.vocab_size, wide),
        "norm.weight": (wide,),
        **{
            f"layers.{index}.{name}": shape
            for index in range(config.num_hidden_layers)
            for name, shape in layer.items()
        },
    }
    dtype, weights = fast_dtype(), dict[str, torch.Tensor]()
    for full, tensor in tensors(path):
        name = full.removeprefix("model.")
        if expected.get(name) != tuple(tensor.shape):
            raise ValueError(f"{full} of shape {tuple(tensor.shape)} is not expected")
        if name == TABLE:
            weights[name] = torch.empty(max(len(tensor), least_rows), wide, dtype=dtype)
            weights[name][: len(tensor)] = tensor
        else:
            weights[name] = tensor.to(dtype, copy=True)
    if weights.keys() != expected.keys():
        raise ValueError(f"{path.name} lacks weights")
    return weights
