"""Training runs on a tiny model: it learns, it can be taken up again, and a bad run leaves nothing behind."""

import json
import resource
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from safetensors import safe_open

from octopus_graph.codec import CHATML
from octopus_graph.engines.hf import HFEngine
from octopus_graph.engines.hf.loading import load_base, with_functional_tokens
from octopus_graph.errors import TrainingError
from octopus_graph.router import OctopusRouter
from octopus_graph.tokens import PAPER_EXPERTS, FunctionalTokens
from octopus_graph.training import adapters, commands, trainer
from octopus_graph.training.adapters import Material, train_edge_adapters, train_router_adapter
from octopus_graph.training.data import Multipart, PathHop, Question, Request
from octopus_graph.training.mixture import Rows, router_samples
from octopus_graph.training.model import with_adapter
from octopus_graph.training.recipe import Mixture, Plan, Recipe
from octopus_graph.training.samples import request_sample
from octopus_graph.training.trainer import encode_samples, train

TOKENS = FunctionalTokens(PAPER_EXPERTS)
TWO = FunctionalTokens(("math", "law"))
RECIPE = Recipe(
    rank=4,
    first_layer=1,
    modules=("q_proj", "v_proj", "down_proj"),
    learning_rate=1e-2,
    token_learning_rate=2e-2,
    batch=8,
)
PLAN = Plan(version=1, router=RECIPE, edge=RECIPE, mixture=Mixture(passes=6, composed=4, composed_edge=4))
# One letter tells the expert, so that a model of three tiny layers can learn it.
ROWS = Rows(
    [
        Request(id=f"{letter}{index}", request=letter * 8 + str(index), expert=expert, rewrite="", answer="ok")
        for letter, expert in (("m", "math"), ("l", "law"))
        for index in range(40)
    ],
    [
        Multipart(
            id="p",
            request="mmmm llll",
            hops=(PathHop(expert="math", query="mmmm", answer="a"), PathHop(expert="law", query="llll", answer="b")),
        )
    ],
    [],
)


def silent(_: str) -> None:
    """Hears nothing."""


def test_a_router_learns_and_a_finished_run_is_not_run_again(llama: Path, tmp_path: Path) -> None:
    material = Material(str(llama), TWO, ROWS, PLAN)
    said: list[str] = []
    folder = train_router_adapter(material, tmp_path, say=said.append)
    engine = HFEngine(llama, tokens=TWO, adapter=folder)
    router = OctopusRouter(engine, TWO)
    asked = [f"{letter * 8}{index}" for letter in "ml" for index in range(40, 50)]
    chosen = [decision.expert for decision in router.decide_many(asked)]
    right = sum(a == b for a, b in zip(chosen, ["math"] * 10 + ["law"] * 10, strict=True))
    assert right >= 18
    config = json.loads((folder / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(llama)
    assert (folder / "adapter_model.safetensors").stat().st_size < 200_000  # the adapter, not the embedding table
    before = (folder / "adapter_model.safetensors").read_bytes()
    train_router_adapter(material, tmp_path, say=said.append)
    assert "finished" in said[-1]
    assert (folder / "adapter_model.safetensors").read_bytes() == before


def test_edges_are_small_and_change_what_the_router_decides_after_a_hop(
    llama: Path, router_folder: Path, tmp_path: Path
) -> None:
    edge = Recipe(
        rank=2, first_layer=1, modules=("q_proj", "v_proj"), learning_rate=1e-2, token_learning_rate=0.0, batch=8
    )
    material = Material(str(llama), TOKENS, ROWS, PLAN.model_copy(update={"edge": edge}))
    made = dict(train_edge_adapters(material, router_folder, ["math", "law"], tmp_path, say=silent))
    assert set(made) == {"math", "law"}
    for folder in made.values():
        assert (folder / "adapter_model.safetensors").stat().st_size < 20_000
    engine = HFEngine(llama, tokens=TOKENS, adapter=router_folder, edges=made)
    prompt = CHATML.prompt("mmmm llll")
    assert engine.score([prompt], list(TOKENS), adapter="math") != engine.score([prompt], list(TOKENS))


def test_an_expert_without_rows_is_named(llama: Path, tmp_path: Path) -> None:
    rows = Rows([row for row in ROWS.requests if row.expert == "math"], [], [])
    with pytest.raises(TrainingError, match="no request for law alone to learn from: every expert needs several"):
        train_router_adapter(Material(str(llama), TWO, rows, PLAN), tmp_path, say=silent)
    assert not list(tmp_path.iterdir())


def test_a_run_without_rows_says_so(llama: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="nothing to train on"):
        train(cast(Any, None), [], RECIPE, function_ids=[], work=tmp_path)


def test_a_loss_that_is_no_number_ends_the_run(llama: Path, tmp_path: Path) -> None:
    nan = RECIPE.model_copy(update={"learning_rate": float("nan"), "token_learning_rate": float("nan")})
    plan = PLAN.model_copy(update={"router": nan})
    with pytest.raises(TrainingError, match="is not a number"):
        train_router_adapter(Material(str(llama), TWO, ROWS, plan), tmp_path, say=silent)
    assert not list(tmp_path.rglob("adapter"))


def test_a_gradient_or_a_weight_that_is_no_number_is_never_taken_over() -> None:
    for grad, rate in ((float("nan"), 0.1), (1.0, float("inf"))):
        weight = torch.nn.Parameter(torch.ones(2, dtype=torch.bfloat16))
        optimizer = trainer._Masters([{"params": [weight], "lr": rate}])  # pyright: ignore[reportPrivateUsage]
        weight.grad = torch.full_like(weight, grad)
        with pytest.raises(TrainingError, match="is not a number"):
            optimizer.step()
        assert weight.tolist() == [1, 1]


def test_a_last_step_that_went_wrong_is_not_kept(llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @torch.no_grad()
    def broken(model: Any, *_: Any, **__: Any) -> dict[str, float]:
        next(weight for weight in model.parameters() if weight.requires_grad).fill_(float("inf"))
        return {}

    monkeypatch.setattr(adapters, "train", broken)
    with pytest.raises(TrainingError, match="is not a number after training"):
        train_router_adapter(Material(str(llama), TWO, ROWS, PLAN), tmp_path, say=silent)
    assert not list(tmp_path.rglob("adapter"))


def test_a_run_goes_on_from_no_other_router(llama: Path, router_folder: Path, tmp_path: Path) -> None:
    others = FunctionalTokens((*PAPER_EXPERTS[1:], PAPER_EXPERTS[0]))  # as many, in another order
    for tokens, base, start, says in (
        (others, str(llama), router_folder, "other experts, or the same in another order"),
        (TOKENS, "another", router_folder, "has the base .*, not another"),
        (TOKENS, str(llama), tmp_path / "none", "is no router to go on from"),
    ):
        with pytest.raises(TrainingError, match=says):
            train_router_adapter(Material(base, tokens, ROWS, PLAN, start=start), tmp_path, say=silent)


def test_a_run_goes_on_from_a_router_of_the_same_experts(
    llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapters, "train", lambda *_, **__: {})  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]
    commands.train_router(
        commands.Lessons(TWO.experts, ROWS, ROWS, {}), PLAN, tmp_path / "first", tmp_path / "work", base=str(llama)
    )
    start = tmp_path / "first"
    folder = train_router_adapter(Material(str(llama), TWO, ROWS, PLAN, start=start), tmp_path / "second", say=silent)
    tensors: list[dict[str, torch.Tensor]] = []
    for place in (start, folder):
        with safe_open(place / "adapter_model.safetensors", "pt") as saved:
            tensors.append({name: saved.get_tensor(name) for name in saved.keys()})  # noqa: SIM118
    assert all(torch.equal(value, tensors[1][name]) for name, value in tensors[0].items())


@dataclass(frozen=True)
class Run:
    """A run over the same rows from the same start, every time."""

    llama: Path
    work: Path

    def train(
        self, work: str = "work", recipe: Recipe = RECIPE, **rest: Any
    ) -> tuple[dict[str, float], dict[str, Any]]:
        torch.manual_seed(0)  # rows of new tokens are drawn
        plain, tokenizer = load_base(self.llama)
        model = with_functional_tokens(plain, tokenizer, list(TOKENS))
        ids = [tokenizer.get_vocab()[token] for token in TOKENS]
        adapted = with_adapter(model, recipe, ids)
        rows = encode_samples(router_samples(ROWS, TOKENS, CHATML, Mixture(), seed=1), tokenizer)
        rest = {"save_steps": 4, "progress": False, **rest}
        metrics = train(adapted, rows, recipe, function_ids=ids, work=self.work / work, **rest)
        return metrics, {name: w.detach().float() for name, w in adapted.named_parameters() if w.requires_grad}

    def checkpoints(self, work: str = "work") -> list[str]:
        return sorted(path.name for path in (self.work / work).glob("checkpoint-*"))


@pytest.fixture
def run(llama: Path, tmp_path: Path) -> Run:
    return Run(llama, tmp_path)


@pytest.fixture
def stopped(run: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run that was stopped by hand in its seventh step, with a checkpoint of the fourth."""
    whole = trainer._RouterTrainer.compute_loss  # pyright: ignore[reportPrivateUsage]

    def impatient(self: Any, *arguments: Any, **rest: Any) -> Any:
        if self.state.global_step == 6:
            raise KeyboardInterrupt
        return whole(self, *arguments, **rest)

    with monkeypatch.context() as patch:
        patch.setattr(trainer._RouterTrainer, "compute_loss", impatient)  # pyright: ignore[reportPrivateUsage]
        with pytest.raises(KeyboardInterrupt):
            run.train()
    assert run.checkpoints() == ["checkpoint-4"]
    return run


def test_a_stopped_run_ends_where_one_that_was_not_stopped_does(stopped: Run) -> None:
    _, taken_up = stopped.train()
    _, straight = stopped.train("another")
    assert stopped.checkpoints() == stopped.checkpoints("another")
    for name, weight in taken_up.items():
        assert torch.allclose(weight, straight[name], atol=1e-3), name


def test_the_time_of_a_stopped_run_counts(stopped: Run) -> None:
    seconds = stopped.work / "work" / "checkpoint-4" / "seconds.json"
    assert 0 < float(seconds.read_text()) < 100
    seconds.write_text("1000")
    metrics, _ = stopped.train()
    assert metrics["train_runtime"] > 1000
    assert metrics["train_steps_per_second"] < 0.1


def test_half_a_checkpoint_is_passed_over(stopped: Run) -> None:
    half = stopped.work / "work" / "checkpoint-6"
    half.mkdir()
    (half / "adapter_model.safetensors").write_bytes(b"\0" * 100)
    (half / "trainer_state.json").write_text("{")
    _, taken_up = stopped.train()
    _, straight = stopped.train("another")
    assert all(torch.allclose(weight, straight[name], atol=1e-3) for name, weight in taken_up.items())


def test_a_full_disk_is_one_sentence_and_the_last_checkpoint_stays(stopped: Run) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        with pytest.raises(TrainingError, match=r"could not be written .* make room and start the run again"):
            stopped.train()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    stopped.train()


def test_a_run_ends_when_validation_no_longer_gets_better_and_keeps_its_best(run: Run) -> None:
    # What is right is another expert than the rows say, so every step makes it worse.
    wrong = [row.model_copy(update={"expert": "law" if row.expert == "math" else "math"}) for row in ROWS.requests[:8]]
    plain, tokenizer = load_base(run.llama)
    with_functional_tokens(plain, tokenizer, list(TOKENS))
    validation = {
        "wrong": encode_samples([request_sample(row, TOKENS, CHATML, stop=False) for row in wrong], tokenizer)
    }
    recipe = RECIPE.model_copy(update={"evaluations": 10, "patience": 2})
    metrics, weights = run.train(recipe=recipe, validation=validation)
    looks = -(-len(ROWS.requests) // recipe.batch)
    assert metrics["steps"] < looks
    best = run.work / "work" / run.checkpoints()[0]  # the best one and the last are kept
    with safe_open(best / "adapter_model.safetensors", "pt") as saved:
        kept = {name.replace(".weight", ".default.weight"): saved.get_tensor(name).float() for name in saved.keys()}  # noqa: SIM118
    same = [torch.equal(weights[name], value) for name, value in kept.items() if name in weights]
    assert same
    assert all(same)
    assert metrics["eval_loss"] > 0


def test_shares_are_learned_in_the_place_of_one_expert(llama: Path, tmp_path: Path) -> None:
    torn = [
        row.model_copy(update={"targets": {"math": 0.5, "law": 0.5}}) if row.expert == "law" else row
        for row in ROWS.requests
    ]
    material = Material(str(llama), TWO, Rows(torn, [], []), PLAN)
    folder = train_router_adapter(material, tmp_path, say=silent)
    router = OctopusRouter(HFEngine(llama, tokens=TWO, adapter=folder), TWO)
    sure = router.decide("mmmmmmmm41", rewrite="never")
    unsure = router.decide("llllllll41", rewrite="never")
    assert sure.confidence > 0.8
    assert 0.4 < dict(unsure.top)["math"] < 0.6


def test_subjects_teach_along_and_leave_nothing_in_the_adapter(llama: Path, tmp_path: Path) -> None:
    questions = [
        Question(question=row.request, choices="", expert=row.expert, subject=f"{row.expert}{int(row.id[1:]) % 2}")
        for row in ROWS.requests
    ]
    mixture = PLAN.mixture.model_copy(update={"asked": 1.0})
    folders = {}
    for weight in (0.0, 0.5):
        recipe = RECIPE.model_copy(update={"subject_weight": weight})
        plan = Plan(version=1, router=recipe, edge=recipe, mixture=mixture)
        material = Material(str(llama), TWO, Rows([], [], questions), plan)
        folders[weight] = train_router_adapter(material, tmp_path / str(weight), say=silent)
    tensors = {}
    for weight, folder in folders.items():
        with safe_open(folder / "adapter_model.safetensors", "pt") as saved:
            tensors[weight] = {name: saved.get_tensor(name) for name in saved.keys()}  # noqa: SIM118
    assert tensors[0.0].keys() == tensors[0.5].keys()
    assert any(not torch.equal(value, tensors[0.5][name]) for name, value in tensors[0.0].items())
    router = OctopusRouter(HFEngine(llama, tokens=TWO, adapter=folders[0.5]), TWO)
    assert router.decide("mmmmmmmm44", rewrite="never").expert == "math"
