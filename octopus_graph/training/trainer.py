"""One training run: samples in, a LoRA adapter out. transformers' Trainer does the loop, checkpoints and progress.

What makes it fast on a CPU: bf16 weights with fp32 masters of the few trained ones, no dropout, logits only where
there is a loss, and no gradient below the lowest trained layer.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# transformers and peft ship partial types.

import hashlib
import json
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch.nn.functional import cross_entropy, embedding, linear, one_hot
from transformers import EarlyStoppingCallback, PreTrainedTokenizerBase, Trainer, TrainingArguments

from octopus_graph.engines.text import encode, encode_segment
from octopus_graph.errors import TrainingError
from octopus_graph.training.disk import disk_errors, last_whole_checkpoint
from octopus_graph.training.recipe import Recipe
from octopus_graph.training.samples import CHOICE, TEXT, Sample

__all__ = ["Encoded", "encode_samples", "fingerprint", "train"]

MAX_TOKENS = 320
SECONDS = "seconds.json"  # of a checkpoint: how long its steps took, those of stopped runs too


@dataclass(frozen=True)
class Encoded:
    """A sample as ids.

    Attributes:
        ids: What is read and emitted.
        kinds: `kinds[i]` is the loss that predicting `ids[i]` bears, 0 for none.
        shares: What the first choice should be like where it is not one token: ids and their shares.
        subject: The finer field, where it is known.
    """

    ids: list[int]
    kinds: list[int]
    shares: tuple[tuple[int, float], ...] = ()
    subject: str = ""


def encode_samples(samples: Sequence[Sample], tokenizer: PreTrainedTokenizerBase) -> list[Encoded]:
    """Tokenises samples; one that is over the length limit is left out."""
    vocabulary = tokenizer.get_vocab()
    encoded: list[Encoded] = []
    for sample in samples:
        ids = encode(tokenizer, sample.prompt)
        kinds = [0] * len(ids)
        for segment, kind in sample.target:
            piece = encode_segment(tokenizer, segment)
            ids += piece
            kinds += [kind] * len(piece)
        if len(ids) <= MAX_TOKENS:
            shares = tuple((vocabulary[token], share) for token, share in sample.shares)
            encoded.append(Encoded(ids, kinds, shares, sample.subject))
    return encoded


def fingerprint(rows: Sequence[Encoded], recipe: Recipe, base: str, *, start: Path | None = None) -> str:
    """Names a run by all that goes into it: a checkpoint of other rows or another recipe is none of this run."""
    digest = hashlib.sha256(f"{base} {recipe.model_dump_json()}".encode())
    if start and (adapter := start / "adapter_model.safetensors").is_file():
        digest.update(adapter.read_bytes())
    for row in rows:
        digest.update(repr(row).encode())
    return digest.hexdigest()[:12]


def _no_number(what: str) -> TrainingError:
    return TrainingError(f"{what} is not a number: lower the learning rate, or look at the rows.")


class _Masters(torch.optim.AdamW):
    """AdamW over fp32 copies of bf16 parameters: bf16 has 8 bits of mantissa, too few to add up small steps."""

    def __init__(self, groups: list[dict[str, Any]]) -> None:
        self._pairs: list[tuple[torch.nn.Parameter, torch.nn.Parameter]] = []
        for group in groups:
            masters = [torch.nn.Parameter(weight.detach().float().clone()) for weight in group["params"]]
            self._pairs += list(zip(group["params"], masters, strict=True))
            group["params"] = masters
        super().__init__(groups, weight_decay=0.0)

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"masters": [master.detach().clone() for _, master in self._pairs]}

    @torch.no_grad()
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes up a run: the masters too, or the next step would put the weights back to where they began."""
        rest = dict(state_dict)
        for (weight, master), saved in zip(self._pairs, rest.pop("masters"), strict=True):
            master.copy_(saved)
            weight.copy_(saved)
        super().load_state_dict(rest)

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        for weight, master in self._pairs:
            master.grad = None if weight.grad is None else weight.grad.float()
            if master.grad is not None and not torch.isfinite(master.grad).all():
                raise _no_number("A gradient")
        result = super().step(closure)
        # Looked at before anything is saved: a checkpoint of such weights would be taken up again and again.
        if not all(torch.isfinite(master).all() for _, master in self._pairs):
            raise _no_number("A weight")
        for weight, master in self._pairs:
            weight.copy_(master)
            weight.grad = None  # the Trainer clears those of the model alone
        return result


class _RouterTrainer(Trainer):
    """The Trainer with the router's three losses; `function_ids` are the experts' ids, the end's last."""

    def __init__(
        self,
        *,
        function_ids: list[int],
        recipe: Recipe,
        head: torch.nn.Linear | None,
        validation: Mapping[str, Sequence[Encoded]] | None = None,
        spent: float = 0.0,
        **rest: Any,
    ) -> None:
        # The dataset of evaluation is only there to be: `evaluate` goes through the sources itself.
        super().__init__(eval_dataset=_Rows([]) if validation else None, **rest)
        self._function_ids = torch.tensor(function_ids)
        self._recipe = recipe
        self._head = head
        self._validation = validation or {}
        self._began = time.monotonic() - spent
        self.model_accepts_loss_kwargs = False

    @torch.no_grad()
    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Returns the loss of each source, and as `eval_loss` their mean: no source counts more for being larger."""
        model: Any = self.model
        model.eval()
        figures: dict[str, float] = {}
        for source, rows in self._validation.items():
            inside = sorted(rows, key=lambda row: len(row.ids))
            total = 0.0
            for start in range(0, len(inside), 32):
                part = _Rows(inside[start : start + 32])
                batch: Any = self.data_collator([part[place] for place in range(len(part))])
                total += float(self.compute_loss(model, batch)) * len(part)
            figures[f"eval_{source}_loss"] = total / len(inside)
        figures["eval_loss"] = sum(figures.values()) / len(figures)
        self.log(figures)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, figures)
        return figures

    def _save(self, output_dir: str | None = None, *_: Any, **__: Any) -> None:
        """Saves a checkpoint of the adapter alone; peft would add the embedding table, twenty times as large."""
        model: Any = self.model
        folder = Path(output_dir or str(self.args.output_dir))
        model.save_pretrained(str(folder), save_embedding_layers=False)
        (folder / SECONDS).write_text(json.dumps(time.monotonic() - self._began), encoding="utf-8")

    def _load_from_checkpoint(self, *_: Any, **__: Any) -> None:
        """Does nothing: the optimizer's masters set the weights, and peft would train other parameters from here on."""

    def _rows(self, module: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns a table of the vocabulary as it was, and its rows of the functional tokens as they are now.

        peft's own way copies the whole table for these eighteen rows, forward and backward.
        """
        adapter = getattr(module, "token_adapter", None)
        if adapter is None:
            return module.weight, module.weight[self._function_ids]
        return adapter.get_base_layer().weight, adapter.trainable_tokens_delta["default"]

    @torch.no_grad()
    def _embedded(self, module: Any, ids: torch.Tensor) -> torch.Tensor:
        """Looks tokens up without a gradient.

        Rows of functional tokens learn as outputs; as inputs they would pull gradients through every frozen layer.
        """
        table, rows = self._rows(module)
        embeds = embedding(ids, table)
        ours = torch.isin(ids, self._function_ids)
        embeds[ours] = rows[torch.searchsorted(self._function_ids, ids[ours])]
        return embeds

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, *_: Any, **__: Any) -> Any:
        ids, kinds = inputs["input_ids"], inputs["kinds"]
        embeds = self._embedded(model.get_input_embeddings(), ids)
        causal = model.base_model.model
        hidden = causal.model(
            inputs_embeds=embeds, attention_mask=inputs["attention_mask"], use_cache=False
        ).last_hidden_state
        labels, kinds_of_all = ids[:, 1:], kinds[:, 1:]
        kinds = kinds_of_all
        where = kinds > 0
        states = hidden[:, :-1][where]
        labels, kinds, shares = labels[where], kinds[where], inputs["shares"][where.nonzero()[:, 0]]
        losses = states.new_zeros(len(labels), dtype=torch.float32)
        text = kinds == TEXT
        table, rows = self._rows(causal.lm_head)
        bias = getattr(causal.lm_head, "bias", None)
        ours = None if bias is None else bias[self._function_ids]
        if text.any():
            logits = linear(states[text], table, bias)
            logits = logits.index_copy(1, self._function_ids, linear(states[text], rows, ours))
            losses[text] = cross_entropy(logits.float(), labels[text], reduction="none")
        choice = ~text
        among = linear(states[choice], rows, ours).float()
        # The route never ends a run: only a hop may choose the end.
        first = kinds[choice] == CHOICE
        among[first, -1] = torch.finfo(among.dtype).min
        target = one_hot(torch.searchsorted(self._function_ids, labels[choice]), len(self._function_ids)).float()
        soft = first & (shares[choice].sum(-1) > 0)
        target[soft] = shares[choice][soft]
        losses[choice] = cross_entropy(among, target, reduction="none")
        loss = losses[choice].mean()
        if text.any():
            loss = loss + self._recipe.text_weight * losses[text].mean()
        subjects = inputs["subjects"]
        if self._head is not None and (known := subjects >= 0).any():
            first = (kinds_of_all == CHOICE).int().argmax(-1)[known]
            named = self._head(hidden[:, :-1][known, first]).float()
            loss = loss + self._recipe.subject_weight * cross_entropy(named, subjects[known])
        if not torch.isfinite(loss):
            raise _no_number(f"The loss at step {self.state.global_step}")
        return (loss, {"loss": loss}) if return_outputs else loss


def _collate(pad: int, function_ids: list[int], subjects: Mapping[str, int]) -> Any:
    def collate(batch: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        length = -(-max(len(sample["input_ids"]) for sample in batch) // 8) * 8

        def padded(rows: list[list[int]], fill: int) -> torch.Tensor:
            return torch.tensor([row + [fill] * (length - len(row)) for row in rows])

        shares = torch.zeros(len(batch), len(function_ids))
        for place, sample in enumerate(batch):
            for token, share in sample["shares"]:
                shares[place, function_ids.index(token)] = share
        return {
            "shares": shares,
            "subjects": torch.tensor([subjects.get(sample["subject"], -1) for sample in batch]),
            "input_ids": padded([sample["input_ids"] for sample in batch], pad),
            "kinds": padded([sample["kinds"] for sample in batch], 0),
            "attention_mask": padded([[1] * len(sample["input_ids"]) for sample in batch], 0),
        }

    return collate


class _Rows(torch.utils.data.Dataset[dict[str, Any]]):
    """The rows in the shape the Trainer's grouping by length asks for."""

    def __init__(self, rows: Sequence[Encoded]) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        row = self._rows[index]
        return {"input_ids": row.ids, "kinds": row.kinds, "shares": row.shares, "subject": row.subject}


def train(
    model: PeftModel,
    rows: Sequence[Encoded],
    recipe: Recipe,
    *,
    function_ids: list[int],
    work: Path,
    validation: Mapping[str, Sequence[Encoded]] | None = None,
    save_steps: int = 100,
    progress: bool = True,
) -> dict[str, float]:
    """Trains the adapter that is on the model, in place.

    Args:
        model: The base with one fresh LoRA adapter, all in bf16.
        rows: What to learn.
        recipe: How.
        function_ids: Ids of the functional tokens in ascending order, the end's last.
        work: Where checkpoints go; a run that was stopped there is taken up again.
        validation: Rows by source that no training sees. The run ends when their mean loss has stopped to fall, and
            the model is what it was at its best.
        save_steps: Steps between checkpoints, where there is no validation.
        progress: Whether to show a bar.

    Returns:
        The Trainer's own figures (`train_loss`, `train_runtime` in seconds with those of stopped runs, …), and the best
        `eval_loss`.

    Raises:
        TrainingError: If there are no rows, loss, gradient or weight become NaN, or a checkpoint cannot be written.
    """
    if not rows:
        raise TrainingError("There is nothing to train on: the rows are empty.")
    tokens = [p for name, p in model.named_parameters() if p.requires_grad and "token_adapter" in name]
    lora = [p for name, p in model.named_parameters() if p.requires_grad and "token_adapter" not in name]
    groups: list[dict[str, Any]] = [{"params": lora, "lr": recipe.learning_rate}]
    if tokens:
        groups.append({"params": tokens, "lr": recipe.token_learning_rate})
    names = sorted({row.subject for row in rows if row.subject}) if recipe.subject_weight else []
    head = _subject_head(model, len(names), recipe.seed) if names else None
    if head is not None:
        groups.append({"params": list(head.parameters()), "lr": recipe.learning_rate})
    looks = bool(validation) and recipe.evaluations > 0
    if looks:  # the best look is loaded in the end, so each one needs its checkpoint
        save_steps = max(1, -(-len(rows) // recipe.batch) // recipe.evaluations)
    arguments = TrainingArguments(
        output_dir=str(work),
        num_train_epochs=1,
        per_device_train_batch_size=recipe.batch,
        lr_scheduler_type="cosine",
        warmup_steps=0.04,
        max_grad_norm=1.0,
        logging_steps=10,
        save_steps=save_steps,
        save_total_limit=2,
        eval_strategy="steps" if looks else "no",
        eval_steps=save_steps,
        load_best_model_at_end=looks,
        metric_for_best_model="loss",
        greater_is_better=False,
        seed=recipe.seed,
        use_cpu=True,
        report_to=[],
        train_sampling_strategy="group_by_length",
        remove_unused_columns=False,
        disable_tqdm=not progress,
        dataloader_pin_memory=False,
    )
    last = last_whole_checkpoint(work)
    spent = _seconds(last)
    trainer = _RouterTrainer(
        function_ids=function_ids,
        recipe=recipe,
        head=head,
        validation=validation if looks else None,
        spent=spent,
        model=model,
        args=arguments,
        train_dataset=_Rows(rows),
        data_collator=_collate(0, function_ids, {name: place for place, name in enumerate(names)}),
        optimizers=(_Masters(groups), None),
        callbacks=[EarlyStoppingCallback(recipe.patience)] if looks else [],
    )
    with disk_errors("A checkpoint"), redirect_stdout(sys.stderr):  # the Trainer prints its figures; stdout is for ours
        result = trainer.train(resume_from_checkpoint=str(last) if last else None)
    best = {"eval_loss": float(trainer.state.best_metric)} if trainer.state.best_metric is not None else {}
    return {**_whole_time(result.metrics, spent), **best, "steps": trainer.state.global_step}


def _seconds(checkpoint: Path | None) -> float:
    try:
        return float((checkpoint / SECONDS).read_text(encoding="utf-8")) if checkpoint else 0.0
    except (OSError, ValueError):  # a checkpoint of before there was this file
        return 0.0


def _whole_time(metrics: Mapping[str, float], spent: float) -> dict[str, float]:
    """Returns the Trainer's figures with the time of the runs before the last stop."""
    runtime = metrics["train_runtime"]
    share = runtime / (runtime + spent)
    rates = {name: value * share for name, value in metrics.items() if name.endswith("_per_second")}
    return {**metrics, **rates, "train_runtime": round(runtime + spent, 1)}


def _subject_head(model: PeftModel, subjects: int, seed: int) -> torch.nn.Linear:
    """Makes the head that names a question's subject from the state the choice is made from."""
    base: Any = model
    size = base.config.hidden_size
    start = torch.empty(subjects, size).normal_(0, 0.02, generator=torch.Generator().manual_seed(seed))
    head = torch.nn.Linear(size, subjects, dtype=base.dtype)
    with torch.no_grad():
        head.weight.copy_(start)
        head.bias.zero_()
    return head
