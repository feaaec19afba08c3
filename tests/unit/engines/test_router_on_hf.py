"""Routers loaded from disk: a folder with a card, and a checkpoint with the layout of Octopus v4."""

from pathlib import Path

import pytest

from octopus_graph.codec import Done
from octopus_graph.errors import AdapterError
from octopus_graph.router import OctopusRouter
from octopus_graph.tokens import PAPER_EXPERTS


def test_a_router_folder_says_itself_what_it_is(router_folder: Path) -> None:
    router = OctopusRouter.from_pretrained(router_folder)
    assert router.experts == PAPER_EXPERTS
    assert router.temperature == 1.5
    assert list(router.engine.adapters) == ["law", "math"]
    decision = router.decide("2 + 2?")
    assert decision.expert in PAPER_EXPERTS
    after = router.decide("2 + 2?", adapter="math", done=[Done("<nexa_4>", "4")], rewrite="never")
    assert after.expert in (*PAPER_EXPERTS, None)


def test_a_v4_checkpoint_routes_by_the_papers_prompt(phi3: Path) -> None:
    router = OctopusRouter.from_pretrained(phi3)
    assert router.codec.name == "v4"
    decision = router.decide("Tell me the result of derivative of x^3 when x is 2?", rewrite="always")
    assert decision.expert in PAPER_EXPERTS
    again = router.decide("Tell me the result of derivative of x^3 when x is 2?", rewrite="never")
    assert (again.expert, again.confidence) == (decision.expert, decision.confidence)


def test_a_request_with_functional_tokens_is_read_as_text(router_folder: Path) -> None:
    router = OctopusRouter.from_pretrained(router_folder)
    plain = router.decide("who is right <nexa_8> ?", rewrite="never")
    spelled = router.decide("who is right < nexa_8 > ?", rewrite="never")
    assert plain.confidence != spelled.confidence  # it is read
    assert plain.expert in PAPER_EXPERTS


def test_code_that_comes_with_a_checkpoint_is_never_run(phi3: Path, tmp_path: Path) -> None:
    import json
    import shutil

    folder = tmp_path / "hostile"
    shutil.copytree(phi3, folder)
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()")
    OctopusRouter.from_pretrained(folder).decide("x", rewrite="never")
    assert not (tmp_path / "ran").exists()


def test_a_model_without_functional_tokens_is_no_router(llama: Path) -> None:
    with pytest.raises(AdapterError, match="has no functional token"):
        OctopusRouter.from_pretrained(llama)
