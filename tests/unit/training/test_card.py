"""The card of a router says what the files beside it say."""

import json
from pathlib import Path
from typing import Any

import pytest

from octopus_graph.tokens import PAPER_EXPERTS
from octopus_graph.training.card import write_card

FIGURES: dict[str, Any] = {
    "training": {"samples": 42746, "train_runtime": 4248.1, "steps": 1336, "tokens": 3012345, "finished": "2026-11-24"},
    "data": {"shipped": True, "requests": 20000, "paths": 2000, "questions": 7509, "unroutable": 500, "paragraphs": 50},
    "routes": {
        "mmlu": {"rows": 824, "accuracy": 0.8386, "macro_f1": 0.7812, "calibration_error": 0.0346},
        "own_requests_calibration_half_unseen": {
            "rows": 1200,
            "accuracy": 0.9,
            "macro_f1": 0.89,
            "calibration_error": 0.02,
        },
    },
    "edges": {"math": {"samples": 300, "train_runtime": 90.0, "finished": "2026-11-25"}},
    "paths": {
        "rows": 158,
        "with_edge_adapters": {"first_hop": 0.778, "later_hop": 0.887, "end": 1.0, "path": 0.69},
        "router_alone": {"first_hop": 0.778, "end": 1.0, "path": 0.696},
    },
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A router with one edge."""
    config = {"r": 16, "target_modules": ["v_proj", "q_proj"], "layers_to_transform": [10, 11, 12]}
    card = {"base": "smollm2-135m-instruct", "format": "chatml", "experts": PAPER_EXPERTS}
    (tmp_path / "edges" / "math").mkdir(parents=True)
    for place, rank in ((tmp_path, 16), (tmp_path / "edges" / "math", 4)):
        (place / "adapter_config.json").write_text(json.dumps({**config, "r": rank}))
    (tmp_path / "router.json").write_text(json.dumps(card))
    (tmp_path / "calibration.json").write_text(json.dumps({"hop": [[0.9, True]] * 3, "path": [[0.9, True]] * 2}))
    (tmp_path / "figures.json").write_text(json.dumps(FIGURES))
    return tmp_path


def test_figures_times_and_dates_are_those_of_the_files(folder: Path) -> None:
    write_card(folder)
    text = (folder / "README.md").read_text()
    for said in (
        "# The shipped router",
        "LoRA of rank 16 on `q_proj`, `v_proj` of layers 10 to 12",
        "42,746 samples, 3,012,345 tokens, 1,336 steps, 71 minutes, finished on 2026-11-24.",
        "Each edge: LoRA of rank 4 on `q_proj`, `v_proj` of layers 10 to 12, 300 samples in all, 2 minutes",
        "20,000 requests, 2,000 multi-part requests, 7,509 questions",
        "3 first hops and 2 whole paths",
        "| MMLU, question only | 824 | 83.9% | 78.1% | 0.035 |",
        "| own requests, all styles, the half no temperature was fitted on | 1,200 | 90.0% | 89.0% | 0.020 |",
        "| with edge adapters | 77.8% | 88.7% | 100.0% | 69.0% |",
        "| the router in their place | 77.8% | - | 100.0% | 69.6% |",
        "religions to `philosophy`",
    ):
        assert said in text


def test_a_router_of_other_experts_claims_nothing_of_the_projects_data(folder: Path) -> None:
    card = {"base": "some/base", "format": "chatml", "experts": ["billing", "support"]}
    (folder / "router.json").write_text(json.dumps(card))
    (folder / "figures.json").unlink()
    (folder / "calibration.json").unlink()
    write_card(folder)
    text = (folder / "README.md").read_text()
    assert "# A router of 2 experts" in text
    assert "MMLU" not in text
    assert "samples" not in text
    assert "Apache" not in text
