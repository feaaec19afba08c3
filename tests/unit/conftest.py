"""Tiny checkpoints with random weights: real files, real tokenizers, real transformers, in milliseconds."""

import json
import string
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import LlamaConfig, LlamaForCausalLM, Phi3Config, Phi3ForCausalLM, PreTrainedTokenizerFast

from octopus_graph.engines.hf.loading import load_base, with_functional_tokens
from octopus_graph.tokens import PAPER_EXPERTS, FunctionalTokens

SIZE: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
}


def save_phi3(folder: Path, *, opens: bool) -> Path:
    """Saves a Phi-3 laid out as Octopus v4: Phi-3's markers from 32000, functional tokens from 32011."""
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "\u2581", *string.printable[:94]]
    pieces += [f"piece{index}" for index in range(32_000 - len(pieces))]
    tokenizer = Tokenizer(
        models.BPE(
            {piece: index for index, piece in enumerate(pieces)},
            [],
            unk_token="<unk>",
            byte_fallback=True,
            fuse_unk=True,
        )
    )
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    markers = ["<|endoftext|>", "<|assistant|>", *(f"<|placeholder{i}|>" for i in range(1, 5)), "<|system|>", "<|end|>"]
    markers += ["<|placeholder5|>", "<|placeholder6|>", "<|user|>", *FunctionalTokens(PAPER_EXPERTS)]
    tokenizer.add_special_tokens([AddedToken(marker, special=True, normalized=False) for marker in markers])
    if opens:
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="<|endoftext|>",
        pad_token="<|endoftext|>",
        unk_token="<unk>",
    )
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = Phi3Config(vocab_size=32_064, pad_token_id=32_000, eos_token_id=32_000, bos_token_id=1, **SIZE)
    model: Any = Phi3ForCausalLM(config)
    model.to(torch.bfloat16).save_pretrained(folder)
    return folder


def save_llama(folder: Path, seed: int = 0, hidden: int = 32) -> Path:
    """Saves a byte-level Llama with ChatML markers and tied embeddings, the layout of the embedded base."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {
        piece: index for index, piece in enumerate(["<|endoftext|>", "<|im_start|>", "<|im_end|>", *alphabet])
    }
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<|im_start|>", eos_token="<|im_end|>")
    fast.pad_token = "<|im_end|>"
    fast.save_pretrained(folder)
    torch.manual_seed(seed)
    config = LlamaConfig(
        **{**SIZE, "hidden_size": hidden},
        vocab_size=len(vocabulary),
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
    )
    model: Any = LlamaForCausalLM(config)
    model.to(torch.bfloat16).save_pretrained(folder)
    return folder


def save_adapter(base: Path, folder: Path, seed: int, *, rows: bool) -> Path:
    """Saves a LoRA with random weights for a base; with `rows` it brings the functional tokens."""
    model, tokenizer = load_base(base)
    tokens = list(FunctionalTokens(PAPER_EXPERTS))
    trunk = with_functional_tokens(model, tokenizer, tokens)
    torch.manual_seed(seed)
    adapted = get_peft_model(
        trunk,
        LoraConfig(
            r=4,
            target_modules=["q_proj", "v_proj", "down_proj"],
            init_lora_weights=False,
            trainable_token_indices=[tokenizer.get_vocab()[token] for token in tokens] if rows else None,
            task_type="CAUSAL_LM",
        ),
        autocast_adapter_dtype=False,
    )
    if rows:
        for name, weight in adapted.named_parameters():
            if "trainable_tokens_delta" in name:
                weight.data.normal_(std=0.3)
    adapted.save_pretrained(str(folder), save_embedding_layers=False)
    return folder


@pytest.fixture(scope="session")
def phi3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_phi3(tmp_path_factory.mktemp("octopus-v4"), opens=False)


@pytest.fixture(scope="session")
def phi3_that_opens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_phi3(tmp_path_factory.mktemp("octopus-v4-bos"), opens=True)


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_llama(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="session")
def wide_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_llama(tmp_path_factory.mktemp("wide"), hidden=64)


@pytest.fixture(scope="session")
def router_folder(llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole router folder: adapter, card, and edge adapters of math and law."""
    folder = save_adapter(llama, tmp_path_factory.mktemp("router"), 1, rows=True)
    for seed, expert in enumerate(("math", "law"), start=2):
        save_adapter(llama, folder / "edges" / expert, seed, rows=False)
    card = {"version": 1, "base": str(llama), "format": "chatml", "experts": list(PAPER_EXPERTS), "temperature": 1.5}
    (folder / "router.json").write_text(json.dumps(card))
    return folder
