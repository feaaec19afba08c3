"""Training runs on a tiny model: it learns, it can be taken up again, and a bad run leaves nothing behind."""

import json
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from octopus_graph.codec import CHATML
from octopus_graph.engines.hf import HFEngine
from octopus_graph.errors import TrainingError
from octopus_graph.router import OctopusRouter
from octopus_graph.tokens import PAPER_EXPERTS, FunctionalTokens
from octopus_graph.training import commands
from octopus_graph.training.adapters import Material, publish, train_edge_adapters, train_router_adapter
from octopus_graph.training.data import Multipart, PathHop, Request, held_out
from octopus_graph.training.mixture import Rows
from octopus_graph.training.trainer import Recipe, encode_samples, train

TOKENS = FunctionalTokens(PAPER_EXPERTS)
TWO = FunctionalTokens(("math", "law"))
RECIPE = Recipe(
    rank=4,
    first_layer=1,
    modules=("q_proj", "v_proj", "down_proj"),
    learning_rate=1e-2,
    token_learning_rate=2e-2,
    epochs=1,
    batch=8,
)
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
    material = Material(str(llama), TWO, ROWS)
    said: list[str] = []
    folder = train_router_adapter(material, tmp_path, recipe=RECIPE, passes=6, composed=4, say=said.append)
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
    train_router_adapter(material, tmp_path, recipe=RECIPE, say=said.append)
    assert "finished" in said[-1]
    assert (folder / "adapter_model.safetensors").read_bytes() == before


def test_edges_are_small_and_change_what_the_router_decides_after_a_hop(
    llama: Path, router_folder: Path, tmp_path: Path
) -> None:
    material = Material(str(llama), TOKENS, ROWS)
    recipe = Recipe(
        rank=2,
        first_layer=1,
        modules=("q_proj", "v_proj"),
        learning_rate=1e-2,
        token_learning_rate=0.0,
        epochs=2,
        batch=8,
    )
    made = dict(
        train_edge_adapters(material, router_folder, ["math", "law"], tmp_path, recipe=recipe, composed=4, say=silent)
    )
    assert set(made) == {"math", "law"}
    for folder in made.values():
        assert (folder / "adapter_model.safetensors").stat().st_size < 20_000
    engine = HFEngine(llama, tokens=TOKENS, adapter=router_folder, edges=made)
    prompt = CHATML.prompt("mmmm llll")
    assert engine.score([prompt], list(TOKENS), adapter="math") != engine.score([prompt], list(TOKENS))


def test_an_expert_without_rows_is_named(llama: Path, tmp_path: Path) -> None:
    rows = Rows([row for row in ROWS.requests if row.expert == "math"], [], [])
    with pytest.raises(TrainingError, match="no row for law: every expert needs examples"):
        train_router_adapter(Material(str(llama), FunctionalTokens(("math", "law")), rows), tmp_path, say=silent)
    assert not list(tmp_path.iterdir())


def test_a_run_without_rows_says_so(llama: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="nothing to train on"):
        train(cast(Any, None), [], RECIPE, function_ids=[], work=tmp_path)


def test_a_loss_that_is_no_number_ends_the_run(llama: Path, tmp_path: Path) -> None:
    recipe = Recipe(**{**RECIPE.__dict__, "learning_rate": float("nan"), "token_learning_rate": float("nan")})
    with pytest.raises(TrainingError, match="not a number at step"):
        train_router_adapter(Material(str(llama), TWO, ROWS), tmp_path, recipe=recipe, passes=3, composed=4, say=silent)
    assert not (tmp_path / "adapter").exists()


def test_what_is_published_replaces_the_old_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    place = tmp_path / "router"
    for content in ("old", "new"):
        fresh = tmp_path / "fresh"
        fresh.mkdir()
        (fresh / "file").write_text(content)
        publish(fresh, place)
    assert (place / "file").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["router"]


def test_the_command_trains_calibrates_measures_and_publishes(
    llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = Rows(
        ROWS.requests,
        [ROWS.paths[0].model_copy(update={"id": f"p{i}", "request": f"m{i} l{i}"}) for i in range(20)],
        [],
    )
    monkeypatch.setattr(commands, "PAPER_EXPERTS", TWO.experts)
    monkeypatch.setattr(commands, "own_requests", lambda: rows.requests)
    monkeypatch.setattr(commands, "own_paths", lambda: rows.paths)
    monkeypatch.setattr(commands, "questions", lambda _: [])
    out, said = tmp_path / "router", list[str]()
    commands.train_router(tmp_path, out, tmp_path / "work", base=str(llama), say=said.append)
    figures = json.loads((out / "figures.json").read_text())
    assert figures["routes"]["own_requests"]["rows"] == sum(held_out(row.request) for row in rows.requests)
    assert json.loads((out / "router.json").read_text())["temperature"] > 0
    commands.train_edges(tmp_path, out, tmp_path / "edges", experts=["math", "law"], say=said.append)
    assert OctopusRouter.from_pretrained(out).engine.adapters == ["law", "math"]
    figures = json.loads((out / "figures.json").read_text())
    assert set(figures["paths"]["with_edge_adapters"]) == {"first_hop", "later_hop", "end", "path"}
    assert not list(out.rglob(".*"))


def test_a_stopped_run_goes_on_from_its_last_checkpoint(llama: Path, tmp_path: Path) -> None:
    from octopus_graph.engines.hf.loading import load_base, with_functional_tokens
    from octopus_graph.training.mixture import router_samples
    from octopus_graph.training.model import with_adapter

    def fresh() -> tuple[Any, Any, list[int]]:
        plain, tokenizer = load_base(llama)
        model = with_functional_tokens(plain, tokenizer, list(TOKENS))
        ids = [tokenizer.get_vocab()[token] for token in TOKENS]
        return with_adapter(model, RECIPE, ids), tokenizer, ids

    model, tokenizer, ids = fresh()
    rows = encode_samples(router_samples(ROWS, TOKENS, CHATML, composed=4, seed=1), tokenizer)
    train(model, rows, RECIPE, function_ids=ids, work=tmp_path, save_steps=5, progress=False)
    saved = sorted(tmp_path.glob("checkpoint-*"))
    assert saved
    torch.manual_seed(0)
    again, _, _ = fresh()
    metrics = train(again, rows, RECIPE, function_ids=ids, work=tmp_path, save_steps=5, progress=False)
    assert metrics["train_loss"] < 1e-6 or metrics["train_runtime"] < 2  # nothing was left to do
    weights = {name: w for name, w in model.named_parameters() if w.requires_grad}
    for name, weight in again.named_parameters():
        if weight.requires_grad:
            assert torch.allclose(weight.float(), weights[name].float(), atol=2e-2), name


def test_shares_are_learned_in_the_place_of_one_expert(llama: Path, tmp_path: Path) -> None:
    torn = [
        row.model_copy(update={"targets": {"math": 0.5, "law": 0.5}}) if row.expert == "law" else row
        for row in ROWS.requests
    ]
    material = Material(str(llama), TWO, Rows(torn, [], []))
    folder = train_router_adapter(material, tmp_path, recipe=RECIPE, passes=6, composed=0, say=silent)
    router = OctopusRouter(HFEngine(llama, tokens=TWO, adapter=folder), TWO)
    sure = router.decide("mmmmmmmm41", rewrite="never")
    unsure = router.decide("llllllll41", rewrite="never")
    assert sure.confidence > 0.8
    assert 0.4 < dict(unsure.top)["math"] < 0.6
