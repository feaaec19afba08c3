"""The Llama in plain torch beside transformers and peft: the same states; what it does not know is left to them."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

from octopus_graph.engines.hf import HFEngine, llama, loading
from octopus_graph.engines.hf.files import edge_folders
from octopus_graph.engines.hf.llama import Llama, open_llama
from octopus_graph.engines.hf.tokenizer import PlainTokenizer, open_tokenizer
from octopus_graph.engines.hf.trees import Trees
from octopus_graph.errors import AdapterError, WeightsError
from octopus_graph.tokens import PAPER_EXPERTS, FunctionalTokens

TOKENS = list(FunctionalTokens(PAPER_EXPERTS))
NEW = {token: 259 + place for place, token in enumerate(TOKENS)}
IDS = torch.randint(3, 250, (3, 23), generator=torch.Generator().manual_seed(0))


@pytest.fixture(params=[torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
def both(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, router_folder: Path) -> tuple[Llama, Trees]:
    for module in (llama, loading):
        monkeypatch.setattr(module, "fast_dtype", lambda: request.param)
    base, edges = Path(request.getfixturevalue("llama")), edge_folders(router_folder)
    plain = open_llama(base, NEW, router_folder, edges)
    assert plain is not None
    return plain, Trees(base, TOKENS, router_folder, edges)


@torch.inference_mode()
def test_states_are_those_of_transformers_and_peft(both: tuple[Llama, Trees]) -> None:
    plain, trees = both
    near = 1e-5 if plain.head.dtype == torch.float32 else 0.02  # bf16 near 2 comes in steps of 0.016
    for edge in (None, "math", "law"):
        (ours, kv), (theirs, cache) = (network.read(IDS, edge=edge) for network in both)
        assert (ours - theirs).abs().max() < near, edge
        assert ours.std() > 0.1
        # Some more tokens, then one, after what was read.
        for more in (IDS[:, :5], IDS[:, :1]):
            ours, kv = plain.read(more, kv, edge=edge)
            theirs, cache = trees.read(more, cache, edge=edge)
            assert (ours - theirs).abs().max() < near, edge
    assert not torch.equal(plain.read(IDS, edge="math")[0], plain.read(IDS)[0])


@torch.inference_mode()
def test_rows_of_a_batch_may_be_filled_up(both: tuple[Llama, Trees]) -> None:
    mask = torch.ones_like(IDS)
    mask[1, 11:] = 0
    near = 1e-5 if both[0].head.dtype == torch.float32 else 0.1  # bf16 near 2 comes in steps of 0.016
    ours, theirs = (network.read(IDS, mask=mask)[0][1, 10] for network in both)
    assert (ours - theirs).abs().max() < near
    ours, theirs = (network.lower()(IDS, mask)[1, 10] for network in both)
    assert (ours - theirs).abs().max() < near


def test_edges_of_peft_have_the_type_of_the_model_whichever_comes_first(both: tuple[Llama, Trees]) -> None:
    _, trees = both
    for edge in ("math", "law"):
        trees.read(IDS, edge=edge)
    assert trees._edges is not None
    assert {weight.dtype for weight in trees._edges.parameters()} == {trees.head.dtype}


def test_a_merge_is_peft_s_to_the_bit(both: tuple[Llama, Trees]) -> None:
    plain, trees = both
    merged = {name.removeprefix("model."): weight for name, weight in trees._trunk.named_parameters()}
    assert merged.keys() == plain._weights.keys()
    assert all(torch.equal(plain._weights[name], merged[name]) for name in merged)
    released = dict(trees.base().named_parameters())
    assert all(torch.equal(weight, released[name]) for name, weight in plain.base().named_parameters())


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("adapter_config.json", {"use_dora": True}),
        ("adapter_config.json", {"use_rslora": True}),
        ("adapter_config.json", {"bias": "all"}),
        ("adapter_config.json", {"init_lora_weights": "pissa"}),
        ("adapter_config.json", {"rank_pattern": {"q_proj": 2}}),
        ("adapter_config.json", {"modules_to_save": ["lm_head"]}),
        ("adapter_config.json", {"of_a_later_peft": 1}),
        ("config.json", {"rope_parameters": {"rope_type": "llama3", "rope_theta": 1e4, "factor": 8.0}}),
        ("config.json", {"attention_bias": True}),
        ("config.json", {"tie_word_embeddings": False}),
        ("config.json", {"num_hidden_layers": 2}),
        ("config.json", {"auto_map": {"AutoModelForCausalLM": "evil.Model"}}),
    ],
)
def test_what_it_does_not_know_is_left_to_transformers(
    request: pytest.FixtureRequest, router_folder: Path, tmp_path: Path, file: str, change: dict[str, object]
) -> None:
    base, adapter = tmp_path / "base", tmp_path / "adapter"
    shutil.copytree(request.getfixturevalue("llama"), base)
    shutil.copytree(router_folder, adapter)
    assert open_llama(base, NEW, adapter, {}) is not None
    changed = (base if file == "config.json" else adapter) / file
    changed.write_text(json.dumps(json.loads(changed.read_text()) | change))
    assert open_llama(base, NEW, adapter, {}) is None


def test_an_edge_it_does_not_know_takes_the_whole_router_to_peft(
    request: pytest.FixtureRequest, router_folder: Path, tmp_path: Path
) -> None:
    base = Path(request.getfixturevalue("llama"))
    shutil.copytree(router_folder, tmp_path, dirs_exist_ok=True)
    config = tmp_path / "edges" / "law" / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"use_rslora": True}))
    engine = HFEngine(base, tokens=TOKENS, adapter=tmp_path, edges=edge_folders(tmp_path))
    assert isinstance(engine._network, Trees)


@pytest.mark.parametrize("dora", [False, True], ids=["plain", "peft"])
@pytest.mark.parametrize("file", ["base/model.safetensors", "router/adapter_model.safetensors"])
def test_weights_that_were_cut_off_are_named_in_one_sentence(
    request: pytest.FixtureRequest, router_folder: Path, tmp_path: Path, file: str, dora: bool
) -> None:
    shutil.copytree(request.getfixturevalue("llama"), tmp_path / "base")
    shutil.copytree(router_folder, tmp_path / "router")
    if dora:
        config = tmp_path / "router" / "adapter_config.json"
        config.write_text(json.dumps(json.loads(config.read_text()) | {"use_dora": True}))
    broken = tmp_path / file
    broken.write_bytes(broken.read_bytes()[:1000])
    with pytest.raises((WeightsError, AdapterError), match=r"^(base: not a causal|The adapter router does not fit)"):
        HFEngine(tmp_path / "base", tokens=TOKENS, adapter=tmp_path / "router")


def test_an_edge_for_another_base_is_refused_when_it_is_named(
    request: pytest.FixtureRequest, wide_llama: Path, router_folder: Path
) -> None:
    plain = open_llama(wide_llama, {}, None, edge_folders(router_folder))
    assert plain is not None
    with pytest.raises(AdapterError, match=r"math does not fit the base model: .* has another shape"):
        plain.read(IDS, edge="math")


@pytest.mark.parametrize("name", ["llama", "phi3", "phi3_that_opens"])
def test_its_tokenizer_reads_as_transformers_does(name: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(name)
    ours, theirs = open_tokenizer(folder), AutoTokenizer.from_pretrained(folder)
    assert isinstance(ours, PlainTokenizer)
    assert (ours.bos_token_id, ours.eos_token_id) == (theirs.bos_token_id, theirs.eos_token_id)
    assert ours.get_vocab() == theirs.get_vocab()
    for text in ("", "Hello, world!", "<|im_start|>x<|im_end|><|end|><nexa_4>\n", "na\u00efve \u00bd \U0001f419\t"):
        for split in (False, True):
            ids = theirs.encode(text, add_special_tokens=False, split_special_tokens=split)
            assert ours.encode(text, add_special_tokens=False, split_special_tokens=split) == ids
            assert ours.decode(ids) == theirs.decode(ids)
        assert ours.encode(text) == theirs.encode(text)


def test_a_tokenizer_with_more_settings_is_left_to_transformers(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    shutil.copytree(request.getfixturevalue("llama"), tmp_path, dirs_exist_ok=True)
    config = tmp_path / "tokenizer_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"add_bos_token": True}))
    assert not isinstance(open_tokenizer(tmp_path), PlainTokenizer)


def test_a_decision_imports_neither_transformers_nor_peft(router_folder: Path) -> None:
    code = (
        "import sys; from octopus_graph.router import OctopusRouter; from octopus_graph.codec import Done;"
        "router = OctopusRouter.from_pretrained(sys.argv[1]); router.decide('2 + 2?', rewrite='always');"
        "router.decide('2 + 2?', adapter='math', done=[Done('<nexa_4>', '4')]);"
        "print({'transformers', 'peft', 'scipy', 'langchain_core'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code, str(router_folder)]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "set()\n"
