"""HFEngine: scores and completions from a model in this process."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# transformers ships partial types.

import hashlib
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from octopus_graph.engines.hf.files import sample
from octopus_graph.engines.hf.llama import open_llama
from octopus_graph.engines.hf.meaning import Meaning
from octopus_graph.engines.hf.network import KV, Network
from octopus_graph.engines.hf.tokenizer import open_tokenizer
from octopus_graph.engines.text import add_tokens, encode
from octopus_graph.errors import AdapterError
from octopus_graph.prompt import Prompt

if TYPE_CHECKING:  # transformers and peft take four seconds to import, and the shipped router needs neither
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["HFEngine"]

BATCH = 16


@dataclass(frozen=True)
class _Read:
    """A prompt the model has read: its ids, keys and values, and the state after its last token."""

    adapter: str | None
    ids: list[int]
    kv: KV
    state: torch.Tensor


class HFEngine:
    """A language model with functional tokens, the router's adapter and the experts' edge adapters.

    One lock guards the model: a forward pass uses every core there is, so two at once only slow each other. Adapters
    are named in each call; nothing remembers which one was last.

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
        self._tokenizer, tokens = open_tokenizer(folder), list(tokens)
        known = self._tokenizer.get_vocab()
        lacking = [token for token in tokens if token not in known]
        if lacking and adapter is None:
            raise AdapterError(
                f"{folder.name} has no functional token {lacking[0]}: name a router trained on it, or a"
                " checkpoint that holds the tokens."
            )
        add_tokens(self._tokenizer, tokens)
        vocabulary = self._tokenizer.get_vocab()
        self._vocabulary = {token: vocabulary[token] for token in tokens}
        self._edge_folders = dict(edges or {})
        new = {token: vocabulary[token] for token in lacking}
        self._network = open_llama(folder, new, adapter, self._edge_folders) or _trees(
            folder, tokens, adapter, self._edge_folders
        )
        self._folder = folder
        self._base: tuple[PreTrainedModel, PreTrainedTokenizerBase] | None = None
        self._lock = threading.RLock()
        self._prefixes: dict[tuple[str | None, tuple[int, ...]], KV] = {}
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
    def base(self) -> "tuple[PreTrainedModel, PreTrainedTokenizerBase]":
        """The model before functional tokens and adapters, its memory shared with the router's, and its tokenizer.

        Experts speak with that tokenizer: to it a functional token is plain text. Loaded when it is first asked for.
        """
        from octopus_graph.engines.hf.loading import load_tokenizer

        with self._lock:
            if self._base is None:
                self._base = self._network.base(), load_tokenizer(self._folder)
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
            state, kv, produced = read.state, read.kv, list[int]()
            while len(produced) < max_tokens:
                logits = self._logits(state)
                logits[barred] = float("-inf")
                token = int(logits.argmax())
                if token in end:
                    break
                produced.append(token)
                states, kv = self._network.read(torch.tensor([[token]]), kv, edge=adapter)
                state = states[0, -1]
            return str(self._tokenizer.decode(produced))

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """See `Embeds.embed`."""
        with self._lock:
            if self._meaning is None:
                self._meaning = Meaning(self._network, self._tokenizer)
            return self._meaning(texts)

    def _ids(self, tokens: Sequence[str]) -> list[int]:
        try:
            return [self._vocabulary[token] for token in tokens]
        except KeyError as error:
            raise AdapterError(f"The router's vocabulary has no token {error.args[0]}.") from None

    def _read(self, prompt: Prompt, adapter: str | None) -> _Read:
        """Reads a prompt; goes on from the keys and values of the last one, or of the fixed prefix, where it can."""
        if adapter is not None and adapter not in self._edge_folders:
            raise AdapterError(f"There is no adapter {adapter!r}; there are {', '.join(self._edge_folders) or 'none'}.")
        ids, last = encode(self._tokenizer, prompt), self._last
        if last and last.adapter == adapter and len(ids) > len(last.ids) and ids[: len(last.ids)] == last.ids:
            kv, start = last.kv, len(last.ids)
        else:
            kv, start = self._prefix(prompt, adapter)
        states, kv = self._network.read(torch.tensor([ids[start:]]), kv, edge=adapter)
        self._last = _Read(adapter, ids, kv, states[0, -1])
        return self._last

    def _prefix(self, prompt: Prompt, adapter: str | None) -> tuple[KV, int]:
        """Returns keys and values of the prompt's first segment, and how many tokens that is."""
        if len(prompt) < 2 or not prompt[0].trusted:
            return (), 0
        ids = tuple(encode(self._tokenizer, prompt[:1]))
        if (adapter, ids) not in self._prefixes:
            self._prefixes[adapter, ids] = self._network.read(torch.tensor([ids]), edge=adapter)[1]
        return self._prefixes[adapter, ids], len(ids)

    def _logits(self, states: torch.Tensor, columns: list[int] | None = None) -> torch.Tensor:
        """Projects states onto the vocabulary, or onto some tokens: a route needs 17 rows of a table of 49,170."""
        head, bias = self._network.head, self._network.bias
        if columns is None:
            return torch.nn.functional.linear(states, head, bias).float()
        # In fp32: bf16 logits near 15 come in steps of 0.06, which makes ties of probabilities.
        return torch.nn.functional.linear(
            states.float(), head[columns].float(), None if bias is None else bias[columns].float()
        )

    def _score_batch(self, prompts: Sequence[Prompt], columns: list[int]) -> list[list[float]]:
        ids = [encode(self._tokenizer, prompt) for prompt in prompts]
        scores: list[list[float]] = [[] for _ in prompts]
        by_length = sorted(range(len(ids)), key=lambda place: len(ids[place]))
        for first in range(0, len(by_length), BATCH):
            places = by_length[first : first + BATCH]
            prefix, start = self._prefix(prompts[places[0]], None)
            rows = len(places)
            kv = [(keys.expand(rows, -1, -1, -1), values.expand(rows, -1, -1, -1)) for keys, values in prefix]
            rest = [ids[place][start:] for place in places]
            length = max(len(row) for row in rest)
            padded = [row + [0] * (length - len(row)) for row in rest]
            mask = torch.tensor([[1] * (start + len(row)) + [0] * (length - len(row)) for row in rest])
            states, _ = self._network.read(torch.tensor(padded), kv, mask=mask)
            last = states[torch.arange(len(rest)), torch.tensor([len(row) - 1 for row in rest])]
            for place, row in zip(places, self._logits(last, columns).tolist(), strict=True):
                scores[place] = row
        return scores


def _trees(folder: Path, tokens: Sequence[str], adapter: Path | None, edges: Mapping[str, Path]) -> Network:
    from octopus_graph.engines.hf.trees import Trees

    return Trees(folder, tokens, adapter, edges)
