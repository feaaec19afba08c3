"""The graph files that come with octopus-graph, and the JSON Schema beside them."""

import json
from pathlib import Path

import pytest
from langchain_core.messages import HumanMessage

from octopus_graph.codec import FORMATS
from octopus_graph.spec import SHIPPED, HuggingFaceModel, build_graph, json_schema, load_spec
from octopus_graph.testing import scripted_router
from octopus_graph.tokens import PAPER_EXPERTS

GRAPHS = Path("octopus_graph/data/graphs")


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_graph_has_the_17_experts_of_the_paper(name: str) -> None:
    spec = load_spec(name)

    assert tuple(spec.experts) == PAPER_EXPERTS
    assert spec.fallback == "general"
    assert len({expert.description for expert in spec.experts.values()}) == 17
    assert all(expert.system_prompt and expert.timeout for expert in spec.experts.values())


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_graph_can_be_built_and_answers(name: str) -> None:
    built = build_graph(load_spec(name), dry_run=True, router=scripted_router({"derivative": "math"}))

    answer = built.graph.compile().invoke({"messages": [HumanMessage("the derivative of x^3?")]})

    assert answer["messages"][-1].text == "[math] the derivative of x^3?"


def test_every_expert_of_the_default_graph_is_the_embedded_model() -> None:
    assert all(expert.model == "embedded" for expert in load_spec("default").experts.values())


def test_the_paper_graph_names_the_models_of_the_papers_table() -> None:
    spec = load_spec("paper")

    models = {name: expert.model for name, expert in spec.experts.items()}
    assert all(isinstance(model, HuggingFaceModel) for model in models.values())
    named = {name: model.huggingface for name, model in models.items() if isinstance(model, HuggingFaceModel)}
    general_purpose = {name for name, model in named.items() if model == "meta-llama/Meta-Llama-3-8B-Instruct"}
    assert (spec.router.model, spec.router.format) == ("NexaAIDev/Octopus-v4", "v4")
    assert named["physics"] == "Weyaxi/Einstein-v6.1-Llama3-8B"
    assert named["law"] == "AdaptLLM/law-chat"
    assert general_purpose == {
        *(
            "chemistry",
            "history",
            "philosophy",
            "politics",
            "culture",
            "economics",
            "geography",
            "psychology",
            "business",
        ),
    }


@pytest.mark.parametrize("name", SHIPPED)
def test_editors_find_the_schema(root: Path, name: str) -> None:
    first = (root / GRAPHS / f"{name}.yaml").read_text(encoding="utf-8").splitlines()[0]

    assert first == "# yaml-language-server: $schema=octopus.schema.json"


def test_the_schema_file_is_up_to_date(root: Path) -> None:
    # To write it anew:
    #   python -c "import json; from octopus_graph.spec import json_schema; print(json.dumps(json_schema(), indent=2))"
    shipped = json.loads((root / GRAPHS / "octopus.schema.json").read_text(encoding="utf-8"))

    assert shipped == json_schema()


def test_the_schema_describes_every_field() -> None:
    schema = json_schema()
    expert = schema["$defs"]["ExpertSpec"]

    assert schema["required"] == ["version", "experts"]
    assert expert["required"] == ["description"]
    assert expert["additionalProperties"] is False
    assert all(field.get("description") for field in expert["properties"].values())


def test_the_formats_of_a_router_are_those_of_the_codec() -> None:
    choices = json_schema()["$defs"]["RouterSpec"]["properties"]["format"]["anyOf"][0]["enum"]

    assert set(choices) == set(FORMATS)
