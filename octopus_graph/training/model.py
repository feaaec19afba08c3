"""The model a run trains: the functional tokens' rows set where they learn fast, and one fresh LoRA."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# transformers and peft ship partial types.

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import (
    LoraConfig,
    PeftModel,
    get_peft_model,
    get_peft_model_state_dict,
    load_peft_weights,
    set_peft_model_state_dict,
)
from safetensors import SafetensorError
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from octopus_graph.engines.text import encode
from octopus_graph.errors import TrainingError
from octopus_graph.prompt import Prompt
from octopus_graph.router import CARD, read_card
from octopus_graph.tokens import END, FunctionalTokens
from octopus_graph.training.recipe import Recipe

__all__ = ["check_start", "go_on_from", "start_rows", "with_adapter"]


@torch.no_grad()
def start_rows(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    tokens: FunctionalTokens,
    function_ids: Sequence[int],
    prompts: Sequence[Prompt],
) -> None:
    """Starts each functional token's row at its expert's name, shifted towards the prompts' mean state.

    Without the shift the loss starts near 19 and the run spends its first hundreds of steps on making the tokens
    likely at all.
    """
    rows = model.get_input_embeddings().weight
    states = []
    for prompt in prompts:
        ids = torch.tensor([encode(tokenizer, prompt)])
        states.append(model.model(ids, use_cache=False).last_hidden_state[0, -1].float())
    mean = torch.stack(states).mean(0)
    shift = 8.0 * mean / mean.square().sum()  # worth 8 in the logit of an average prompt
    for token, index in zip(tokens, function_ids, strict=True):
        name = "end" if token == END else (tokens.expert(token) or "").replace("_", " ")
        parts = tokenizer.encode(" " + name, add_special_tokens=False)
        rows[index] = (rows[parts].float().mean(0) + shift).to(rows.dtype)


def with_adapter(model: PreTrainedModel, recipe: Recipe, function_ids: Sequence[int]) -> PeftModel:
    """Puts a fresh LoRA (and, where the recipe trains them, the functional tokens' rows) on the model."""
    torch.manual_seed(recipe.seed)
    config = LoraConfig(
        r=recipe.rank,
        lora_alpha=2 * recipe.rank,
        lora_dropout=0.0,
        target_modules=list(recipe.modules),
        layers_to_transform=list(range(recipe.first_layer, model.config.num_hidden_layers)),
        layers_pattern="layers",
        trainable_token_indices=list(function_ids) if recipe.token_learning_rate else None,
        task_type="CAUSAL_LM",
    )
    return get_peft_model(model, config, autocast_adapter_dtype=False)  # type: ignore[return-value]


def check_start(folder: Path, base: str, experts: Sequence[str]) -> None:
    """Looks whether a run can go on from a router: the same base, and the same experts in the same order.

    The shapes of an adapter do not tell: other experts of the same number have the same.

    Raises:
        TrainingError: If it cannot.
    """
    if not (folder / CARD).is_file():
        raise TrainingError(f"{folder} is no router to go on from: it holds no {CARD}.")
    card = read_card(folder)
    if card.base != base:
        raise TrainingError(f"The router in {folder.name} has the base {card.base}, not {base}: it cannot go on there.")
    if card.experts != tuple(experts):
        raise TrainingError(
            f"The router in {folder.name} has other experts, or the same in another order ({', '.join(card.experts)};"
            f" not {', '.join(experts)}): they must be the same to go on from it."
        )


def go_on_from(model: PeftModel, folder: Path) -> None:
    """Sets a fresh adapter to one that was trained before, so that the run goes on where that one ended.

    Raises:
        TrainingError: If the folder holds no adapter, or one of another shape.
    """
    if not folder.is_dir():  # peft would ask the hub for it
        raise TrainingError(f"{folder} is no folder with an adapter to go on from.")
    try:
        saved = load_peft_weights(str(folder), device="cpu")
    except (OSError, ValueError, SafetensorError) as error:
        raise TrainingError(f"{folder.name} holds no adapter to go on from ({error.__class__.__name__}).") from None
    own: Any = get_peft_model_state_dict(model, save_embedding_layers=False)
    if {name: value.shape for name, value in saved.items()} != {name: value.shape for name, value in own.items()}:
        raise TrainingError(
            f"The adapter in {folder.name} has another rank or other layers than the recipe: they must be the same to"
            " go on from it."
        )
    set_peft_model_state_dict(model, saved)
