"""The shipped adapters: one run for the router, one short run for each expert's edge.

Every run writes into a work folder, under a hidden name until it is finished; `commands` publishes what was made.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# transformers and peft ship partial types.

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file

from octopus_graph import weights
from octopus_graph.codec import CHATML
from octopus_graph.engines.hf.loading import load_base, shared_copy, with_functional_tokens, with_merged_adapter
from octopus_graph.errors import TrainingError
from octopus_graph.tokens import FunctionalTokens
from octopus_graph.training.data import Request
from octopus_graph.training.disk import disk_errors
from octopus_graph.training.mixture import Rows, edge_samples, router_samples
from octopus_graph.training.model import check_start, go_on_from, start_rows, with_adapter
from octopus_graph.training.recipe import Plan
from octopus_graph.training.samples import Sample, request_sample
from octopus_graph.training.trainer import encode_samples, fingerprint, train

__all__ = ["TRAINING", "Material", "save_adapter", "train_edge_adapters", "train_router_adapter"]

TRAINING = "training.json"  # of a finished adapter: what its run took


def save_adapter(model: PeftModel, folder: Path, base: str) -> None:
    """Writes the adapter's weights and its config, naming the base by its public name and no path of this machine."""
    model.peft_config["default"].base_model_name_or_path = base
    # The rows of the functional tokens are in the adapter; the embedding table they belong to is the base's.
    model.save_pretrained(str(folder), save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)  # peft's empty card
    # Half the size, whatever the machine trained in; the engine reads it in the type it runs in.
    file = str(folder / "adapter_model.safetensors")
    save_file({name: value.to(torch.bfloat16) for name, value in load_file(file).items()}, file, {"format": "pt"})


def _keep(model: PeftModel, finished: Path, base: str, figures: Mapping[str, object]) -> None:
    """Writes a trained adapter and the run's figures, and gives the folder its name when all of it is there.

    Raises:
        TrainingError: If a weight is no number, or the adapter cannot be written.
    """
    for name, weight in model.named_parameters():
        if weight.requires_grad and not torch.isfinite(weight).all():
            raise TrainingError(f"{name} is not a number after training: lower the learning rate, or look at the rows.")
    fresh = finished.with_name(f".{finished.name}.fresh")
    with disk_errors("The adapter"):
        shutil.rmtree(fresh, ignore_errors=True)
        save_adapter(model, fresh, base)
        today = datetime.now(UTC).date().isoformat()
        (fresh / TRAINING).write_text(json.dumps({**figures, "finished": today}, indent=2), encoding="utf-8")
        shutil.rmtree(finished, ignore_errors=True)
        fresh.replace(finished)


@dataclass(frozen=True)
class Material:
    """What every run needs.

    Attributes:
        base: The base model's public name.
        tokens: The experts.
        rows: What to learn from; nothing held out.
        plan: How.
        validation: Requests by source that say when the router's run has learned enough.
        start: A router's adapter that the run goes on from; `None` for a fresh one.
    """

    base: str
    tokens: FunctionalTokens
    rows: Rows
    plan: Plan
    validation: Mapping[str, Sequence[Request]] = field(default_factory=dict[str, Sequence[Request]])
    start: Path | None = None


def train_router_adapter(material: Material, work: Path, *, say: Callable[[str], None] = print) -> Path:
    """Trains functional tokens and LoRA on the base.

    Args:
        material: Base, experts, rows and recipe.
        work: Where the run keeps its checkpoints and its result, in a folder of its own for each choice of rows and
            recipe; a run that was stopped there is taken up again.
        say: Hears what goes on, a line at a time.

    Returns:
        The folder of the finished adapter, inside `work`.

    Raises:
        TrainingError: If an expert has no row, the run cannot go on from `start`, a loss or weight is no number, or
            something cannot be written.
    """
    tokens, recipe, mixture = material.tokens, material.plan.router, material.plan.mixture
    if material.start:
        check_start(material.start, material.base, tokens.experts)
    asked = {row.expert for row in (*material.rows.requests, *material.rows.questions)}
    missing = [expert for expert in tokens.experts if expert not in asked]
    if missing:
        raise TrainingError(
            f"There is no request for {', '.join(missing)} alone to learn from: every expert needs several, as one in"
            " ten is kept out of training."
        )
    plain, tokenizer = load_base(weights.resolve(material.base))
    model = with_functional_tokens(plain, tokenizer, list(tokens))
    function_ids = [tokenizer.get_vocab()[token] for token in tokens]
    samples = [
        sample
        for index in range(mixture.passes)
        for sample in router_samples(material.rows, tokens, CHATML, mixture, seed=recipe.seed + index)
    ]
    encoded = encode_samples(samples, tokenizer)
    place = work / fingerprint(encoded, recipe, material.base, start=material.start)
    finished = place / "adapter"
    if (finished / TRAINING).exists():
        say(f"The adapter in {finished} is finished; nothing to train.")
        return finished
    counted: dict[str, Any] = {"samples": len(encoded), "tokens": sum(len(row.ids) for row in encoded)}
    if material.start:
        counted["start"] = material.start.name
    say(f"{counted['samples']:,} samples, {counted['tokens']:,} tokens.")
    start_rows(
        model, tokenizer, tokens, function_ids, [sample.prompt for sample in samples[:: max(1, len(samples) // 128)]]
    )
    adapted = with_adapter(model, recipe, function_ids)
    if material.start:
        go_on_from(adapted, material.start)
    validation = {
        source: encode_samples([_choice(row, tokens) for row in rows], tokenizer)
        for source, rows in material.validation.items()
        if rows
    }
    metrics = train(
        adapted, encoded, recipe, function_ids=function_ids, work=place / "checkpoints", validation=validation
    )
    _keep(adapted, finished, material.base, {**counted, "passes": mixture.passes, "batch": recipe.batch, **metrics})
    return finished


def _choice(row: Request, tokens: FunctionalTokens) -> Sample:
    """Renders a request up to its expert: validation asks who is chosen, not how the request is rewritten."""
    sample = request_sample(row, tokens, CHATML, stop=False)
    return Sample(sample.prompt, sample.target[:1], sample.shares)


def train_edge_adapters(
    material: Material,
    router: Path,
    experts: Sequence[str],
    work: Path,
    *,
    say: Callable[[str], None] = print,
) -> Iterator[tuple[str, Path]]:
    """Trains one small LoRA for each expert on top of the router, and yields each as it is finished.

    An expert whose adapter for these rows is in `work` already is not trained again.

    Args:
        material: The router's base and experts, the rows and the recipe.
        router: The folder of the router's adapter.
        experts: Those whose edges are trained.
        work: Where the run keeps what is finished.
        say: Hears what goes on, a line at a time.

    Raises:
        TrainingError: If there are no rows for an expert, a loss or weight is no number, or something cannot be
            written.
    """
    tokens, recipe = material.tokens, material.plan.edge
    plain, tokenizer = load_base(weights.resolve(material.base))
    trunk = with_merged_adapter(with_functional_tokens(plain, tokenizer, list(tokens)), router)
    function_ids = [tokenizer.get_vocab()[token] for token in tokens]
    for index, expert in enumerate(experts, start=1):
        samples = edge_samples(expert, material.rows, tokens, CHATML, material.plan.mixture, seed=recipe.seed)
        encoded = encode_samples(samples, tokenizer)
        finished = work / f"{expert}-{fingerprint(encoded, recipe, material.base)}"
        underway = finished.with_name(f".{finished.name}")
        if not (finished / "adapter_config.json").exists():
            adapted = with_adapter(shared_copy(trunk), recipe, function_ids)
            metrics = train(adapted, encoded, recipe, function_ids=function_ids, work=underway)
            _keep(adapted, finished, material.base, {"samples": len(encoded), **metrics})
            shutil.rmtree(underway, ignore_errors=True)
            say(
                f"{index}/{len(experts)} {expert}: {len(encoded)} samples,"
                f" {metrics['train_runtime']:.0f} s, loss {metrics['train_loss']:.3f}."
            )
        yield expert, finished
