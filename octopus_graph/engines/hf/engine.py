"""HFEngine: scores and completions from a transformers model in this process."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# transformers and peft ship partial types.

import copy
import hashlib
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerBase

from octopus_graph.engines.hf.loading import load_base, load_edge, sample, with_functional_tokens, with_merged_adapter
from octopus_graph.engines.hf.meaning import Meaning
from octopus_graph.engines.text import encode
from octopus_graph.errors import AdapterError
from octopus_graph.prompt import Prompt

__all__ = ["HFEngine"]

BATCH = 16

# Keys and values of each layer: (1, heads, length, width).
_KV = list[tuple[torch.Tensor, torch.Tensor]]


@dataclass
class _Read:
    """A prompt the model has read: its ids, its KV cache, and the state after its last token."""

    adapter: str | None
    ids: list[int]
    cache: DynamicCache
    state: torch.Tensor


class HFEngine:
    """A transformers model with functional tokens, the router's adapter and the experts' edge adapters.

    One lock guards the model: a forward pass uses every core there is, so two at once only slow each other. Adapters
    are named in each
    call; nothing remembers which one was last.

    Example:
        >>> engine = HFEngine(folder, tokens=["<nexa_0>", "<nexa_end>"], adapter=folder / "adapter")  # doctest: +SKIP
        >>> engine.score([codec.prompt("2 + 2?")], ["<nexa_0>"])  # doctest: +SKIP
    """

    def __init__(
        self,
        folder: Path,
        *,
        tokens: Iterable[str],
        adapter: Path | None = None,
        edges: Mapping[str, Path] | None = None,
    ) -> None:
        """Loads the model.

        Args:
            folder: The base: config, tokenizer and safetensors.
            tokens: The functional tokens; where the tokenizer lacks them the adapter must bring their rows.
            adapter: The router's LoRA, merged into the trunk; `None` for a checkpoint that is a router already.
            edges: Edge adapters by expert; each is loaded when it is first named.

        Raises:
            WeightsError: If the base cannot be loaded.
            AdapterError: If an adapter does not fit, or no one brings the functional tokens.
        """
        base, tokenizer = load_base(folder)
        # Experts speak with the tokenizer as it was: to them a functional token is plain text.
        self._base = base, copy.deepcopy(tokenizer)
        tokens = list(tokens)
        if adapter is None:
            missing = [token for token in tokens if token not in tokenizer.get_vocab()]
            if missing:
                raise AdapterError(
                    f"{folder.name} has no functional token {missing[0]}: name a router trained on it, or a"
                    " checkpoint that holds the tokens."
                )
            self._trunk: PreTrainedModel = base
        else:
            self._trunk = with_merged_adapter(with_functional_tokens(base, tokenizer, tokens), adapter)
        self._tokenizer = tokenizer
        vocabulary = tokenizer.get_vocab()
        self._vocabulary = {token: vocabulary[token] for token in tokens}
        self._edge_folders = dict(edges or {})
        self._edges: PeftModel | None = None
        self._lock = threading.RLock()
        self._prefixes: dict[tuple[str | None, tuple[int, ...]], _KV] = {}
        self._last: _Read | None = None
        self._meaning: Meaning | None = None
        digest = hashlib.sha256((folder / "config.json").read_bytes())
        if adapter is not None:
            digest.update((adapter / "adapter_model.safetensors").read_bytes())
        else:  # a router by itself: trained on in place, its weights change and its config does not
            sample(folder, digest.update)
        self._trunk_revision = f"{folder.name}-{digest.hexdigest()[:12]}"
        for expert, edge in sorted(self._edge_folders.items()):
            digest.update(expert.encode() + (edge / "adapter_model.safetensors").read_bytes())
        self._revision = f"{folder.name}-{digest.hexdigest()[:12]}"

    @property
    def revision(self) -> str:
        """Names base, router adapter and edge adapters by content."""
        return self._revision

    @property
    def trunk_revision(self) -> str:
        """Names base and router adapter alone: what edge adapters are trained on."""
        return self._trunk_revision

    @property
    def adapters(self) -> Sequence[str]:
        """The experts that have an edge adapter."""
        return list(self._edge_folders)

    @property
    def base(self) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        """The model before functional tokens and adapters, its memory shared with the router's, and its tokenizer."""
        return self._base

    @torch.inference_mode()
    def score(
        self, prompts: Sequence[Prompt], tokens: Sequence[str], *, adapter: str | None = None
    ) -> list[list[float]]:
        """See `Engine.score`. Prompts of a batch must begin with the same trusted segment."""
        with self._lock:
            columns = self._ids(tokens)
            if adapter is None and len(prompts) > 1:
                return self._score_batch(prompts, columns)
            return [self._logits(self._read(prompt, adapter).state, columns).tolist() for prompt in prompts]

    @torch.inference_mode()
    def complete(
        self, prompt: Prompt, *, stop: str, forbid: Sequence[str], max_tokens: int, adapter: str | None = None
    ) -> str:
        """See `Engine.complete`; a prompt that continues the one scored last goes on from its KV cache."""
        with self._lock:
            end = (*self._ids([stop]), self._tokenizer.eos_token_id)
            barred = self._ids([token for token in forbid if token != stop])
            read = self._read(prompt, adapter)
            state, produced = read.state, list[int]()
            while len(produced) < max_tokens:
                logits = self._logits(state)
                logits[barred] = float("-inf")
                token = int(logits.argmax())
                if token in end:
                    break
                produced.append(token)
                state = self._forward([[token]], read.cache, adapter)[0]
            self._last = None  # its cache has grown past its ids
            return str(self._tokenizer.decode(produced))

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """See `Embeds.embed`."""
        with self._lock:
            if self._meaning is None:
                self._meaning = Meaning(self._trunk, self._tokenizer)
            return self._meaning(texts)

    def _ids(self, tokens: Sequence[str]) -> list[int]:
        try:
            return [self._vocabulary[token] for token in tokens]
        except KeyError as error:
            raise AdapterError(f"The router's vocabulary has no token {error.args[0]}.") from None

    def _read(self, prompt: Prompt, adapter: str | None) -> _Read:
        """Reads a prompt; goes on from the KV cache of the last one, or of the fixed prefix, where it can."""
        ids = encode(self._tokenizer, prompt)
        last = self._last
        if (
            last is not None
            and last.adapter == adapter
            and len(ids) > len(last.ids)
            and ids[: len(last.ids)] == last.ids
        ):
            cache, start = last.cache, len(last.ids)
        else:
            cache, start = self._prefix_cache(prompt, adapter, 1)
        state = self._forward([ids[start:]], cache, adapter)[0]
        self._last = _Read(adapter, ids, cache, state)
        return self._last

    def _prefix_cache(self, prompt: Prompt, adapter: str | None, rows: int) -> tuple[DynamicCache, int]:
        """Returns a KV cache that holds the prompt's first segment, and how many tokens that is."""
        if len(prompt) < 2 or not prompt[0].trusted:
            return DynamicCache(), 0
        ids = tuple(encode(self._tokenizer, prompt[:1]))
        if (adapter, ids) not in self._prefixes:
            cache = DynamicCache()
            self._forward([list(ids)], cache, adapter)
            self._prefixes[adapter, ids] = [(layer.keys, layer.values) for layer in cache.layers]  # type: ignore[misc]
        kv = self._prefixes[adapter, ids]
        # A cache grows by concatenation, which makes new tensors: the stored ones are never written to.
        return DynamicCache(
            ddp_cache_data=[(k.expand(rows, -1, -1, -1), v.expand(rows, -1, -1, -1)) for k, v in kv]
        ), len(ids)

    def _forward(
        self, rows: list[list[int]], cache: DynamicCache, adapter: str | None, mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Runs tokens after what the cache holds.

        Returns:
            The state after the last token of each row, (rows, width); with a mask the state after every token,
            (rows, length, width), as the rows then end at different places.
        """
        inputs: dict[str, Any] = {"input_ids": torch.tensor(rows), "past_key_values": cache, "use_cache": True}
        if mask is not None:
            inputs["attention_mask"] = mask
        if adapter is None:
            states = self._trunk.base_model(**inputs).last_hidden_state
        else:
            # Through peft's front door, which takes the adapter's name for this call only.
            tree = self._edge_tree(adapter)
            outputs = tree(**inputs, adapter_names=[adapter] * len(rows), logits_to_keep=1, output_hidden_states=True)
            states = outputs.hidden_states[-1]
        return states if mask is not None else states[:, -1]

    def _edge_tree(self, adapter: str) -> PeftModel:
        if self._edges is None or adapter not in self._edges.peft_config:
            if adapter not in self._edge_folders:
                raise AdapterError(
                    f"There is no adapter {adapter!r}; there are {', '.join(self._edge_folders) or 'none'}."
                )
            self._edges = load_edge(self._trunk, self._edges, adapter, self._edge_folders[adapter])
        return self._edges

    def _logits(self, states: torch.Tensor, columns: list[int] | None = None) -> torch.Tensor:
        """Projects states onto the vocabulary, or onto some tokens: a route needs 17 rows of a table of 49,170."""
        head: Any = self._trunk.get_output_embeddings()
        if columns is None:
            return torch.nn.functional.linear(states, head.weight, head.bias).float()
        # In fp32: bf16 logits near 15 come in steps of 0.06, which makes ties of probabilities.
        bias = None if head.bias is None else head.bias[columns].float()
        return torch.nn.functional.linear(states.float(), head.weight[columns].float(), bias)

    def _score_batch(self, prompts: Sequence[Prompt], columns: list[int]) -> list[list[float]]:
        ids = [encode(self._tokenizer, prompt) for prompt in prompts]
        scores: list[list[float]] = [[] for _ in prompts]
        by_length = sorted(range(len(ids)), key=lambda place: len(ids[place]))
        for first in range(0, len(by_length), BATCH):
            places = by_length[first : first + BATCH]
            cache, start = self._prefix_cache(prompts[places[0]], None, len(places))
            rest = [ids[place][start:] for place in places]
            length = max(len(row) for row in rest)
            padded = [row + [0] * (length - len(row)) for row in rest]
            mask = torch.tensor([[1] * (start + len(row)) + [0] * (length - len(row)) for row in rest])
            states = self._forward(padded, cache, None, mask)
            last = states[torch.arange(len(rest)), torch.tensor([len(row) - 1 for row in rest])]
            for place, row in zip(places, self._logits(last, columns).tolist(), strict=True):
                scores[place] = row
        return scores
