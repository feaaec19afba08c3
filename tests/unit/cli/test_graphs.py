import json
from pathlib import Path
from typing import Any

import pytest

from octopus_graph.tokens import PAPER_EXPERTS

pytestmark = pytest.mark.usefixtures("octopus_without_router")


@pytest.mark.parametrize("name", ["default", "paper"])
def test_the_shipped_graphs_are_shown_drawn_and_valid(octopus: Any, name: str) -> None:
    shown = octopus("graph", "show", "--graph", name)
    drawn = octopus("graph", "draw", "-g", name)
    valid = octopus("graph", "validate", name)

    assert (shown.exit_code, drawn.exit_code, valid.exit_code) == (0, 0, 0)
    assert all(expert in shown.stdout for expert in PAPER_EXPERTS)
    assert drawn.stdout.startswith("---\nconfig:")
    assert valid.stdout == f"{name} is valid: 17 experts.\n"


def test_show_has_a_line_for_each_expert(octopus: Any, graph_file: Path) -> None:
    head, _, *experts = octopus("graph", "show", graph_file).stdout.splitlines()

    assert head == f"{graph_file}: router embedded, at most 3 hops, rewrite auto"
    assert [line.split()[:3] for line in experts] == [
        ["math", "embedded", "law"],
        ["law", "embedded", "nobody"],
        ["general", "embedded", "any"],
    ]


def test_show_as_json_is_the_file_with_every_default(octopus: Any, graph_file: Path) -> None:
    found = json.loads(octopus("graph", "show", graph_file, "--json").stdout)

    assert found["router"]["model"] == "embedded"
    assert found["experts"]["math"]["neighbours"] == ["law"]
    assert found["experts"]["general"]["neighbours"] == "*"


def test_the_drawing_has_the_edges_that_runs_take(octopus: Any, graph_file: Path) -> None:
    assert octopus("graph", "draw", graph_file, "--format", "ascii").stdout.splitlines() == [
        "start -> route",
        "route -> every expert, finish",
        "math -> finish, law",
        "law -> finish",
        "general -> every other expert, finish",
        "finish -> end",
    ]
    mermaid = octopus("graph", "draw", graph_file).stdout
    assert "math -.-> law;" in mermaid
    assert "law -.-> math;" not in mermaid
    edges = json.loads(octopus("graph", "draw", graph_file, "--json").stdout)["edges"]
    assert {"source": "math", "target": "law", "conditional": True} in edges


def test_validate_as_json(octopus: Any, graph_file: Path) -> None:
    found = json.loads(octopus("graph", "validate", graph_file, "--json").stdout)

    assert found == {"graph": str(graph_file), "valid": True, "experts": ["math", "law", "general"]}


def test_the_schema_is_json(octopus: Any) -> None:
    schema = json.loads(octopus("graph", "schema").stdout)

    assert schema["title"] == "octopus.yaml"
    assert "experts" in schema["properties"]


@pytest.mark.parametrize("command", ["show", "draw", "validate"])
@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", ":1: the file is empty"),
        ("just words", ":1: a graph file is a mapping"),
        ("version: 1\nexperts: [}\n", ":2: the YAML is broken"),
        ("version: 2\nexperts: {math: {description: x}}\n", ":1: version: "),
        (
            "version: 1\nexperts: {math: {description: x, neighbors: []}}\n",
            ":2: experts.math.neighbors: there is no such field",
        ),
        (
            "version: 1\nexperts: {math: {description: x, neighbours: [maths]}}\n",
            "there is no expert 'maths': did you mean math?",
        ),
        (
            "version: 1\nexperts: {alchemy: {description: x}}\n",
            ":2: experts.alchemy: the router knows no expert 'alchemy'",
        ),
        ("version: 1\nfallback: law\nexperts: {math: {description: x}}\n", ":2: fallback: there is no expert 'law'"),
        ("\0\0", ":1: a character YAML does not allow"),
    ],
)
def test_a_broken_file_is_one_line_that_names_the_place(
    octopus: Any, tmp_path: Path, command: str, text: str, says: str
) -> None:
    path = tmp_path / "octopus.yaml"
    path.write_text(text)

    result = octopus("graph", command, path)

    assert result.exit_code == 2
    assert f"{path}" in result.stderr
    assert says in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_a_router_folder_says_itself_which_experts_it_knows(octopus: Any, graph_file: Path) -> None:
    folder = graph_file.parent / "mine"
    folder.mkdir()
    card = {
        "version": 1,
        "base": "smollm2-135m-instruct",
        "format": "chatml",
        "experts": ["math", "law"],
        "temperature": 1.0,
    }
    (folder / "router.json").write_text(json.dumps(card))
    graph_file.write_text(graph_file.read_text() + "router: {model: mine}\n")

    result = octopus("graph", "validate", graph_file)

    assert result.exit_code == 2
    assert "the router knows no expert 'general'; its experts are math, law." in result.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["validate", "absent"], "There is no graph file 'absent'"),
        (["validate", "a", "--graph", "b"], "name the graph once"),
        (["draw", "--format", "png"], "--format"),
        (["paint"], "No such command 'paint'"),
    ],
)
def test_misuse(octopus: Any, arguments: list[str], says: str) -> None:
    result = octopus("graph", *arguments)

    assert result.exit_code == 2
    assert says in result.stderr
    assert result.stderr.count("\n") == 1
