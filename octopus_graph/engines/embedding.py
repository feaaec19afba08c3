"""Sentences as vectors, by a small encoder: mean of the last states, of length one (Reimers and Gurevych 2019)."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# transformers ships partial types.

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModel, AutoTokenizer

__all__ = ["Encoder"]

MAX_TOKENS = 256
BATCH = 32


class Encoder:
    """A BERT-like sentence encoder."""

    def __init__(self, folder: Path) -> None:
        """Loads it from a folder with config, tokenizer and safetensors."""
        self._tokenizer: Any = AutoTokenizer.from_pretrained(str(folder))
        self._model: Any = AutoModel.from_pretrained(str(folder), use_safetensors=True).eval()

    @torch.inference_mode()
    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Returns one row of length one for each text, of shape (texts, dimensions)."""
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]))  # alike lengths pad little
        rows: list[NDArray[np.float32]] = [np.empty(0, np.float32)] * len(texts)
        for start in range(0, len(order), BATCH):
            places = order[start : start + BATCH]
            batch = self._tokenizer(
                [texts[place] for place in places],
                padding=True,
                truncation=True,
                max_length=MAX_TOKENS,
                return_tensors="pt",
            )
            states = self._model(**batch).last_hidden_state
            mask = batch["attention_mask"][..., None]
            pooled = (states * mask).sum(1) / mask.sum(1)
            for place, row in zip(places, torch.nn.functional.normalize(pooled).numpy(), strict=True):
                rows[place] = row
        return np.stack(rows)
