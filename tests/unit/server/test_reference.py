"""docs/http-api.md says what the server does."""

import re
from pathlib import Path

from octopus_graph.spec import build_graph, load_spec
from octopus_graph.testing import scripted_router
from octopus_graph_server import create_app
from octopus_graph_server.reference import reference


def test_the_reference_is_up_to_date(root: Path) -> None:
    app = create_app(build_graph(load_spec("default"), dry_run=True, router=scripted_router({})))
    page = (root / "docs" / "http-api.md").read_text(encoding="utf-8")
    assert page == reference(app.openapi()), "run: python -m octopus_graph_server.reference > docs/http-api.md"


def test_every_endpoint_has_a_section(root: Path) -> None:
    document = create_app(build_graph(load_spec("default"), dry_run=True, router=scripted_router({}))).openapi()
    page = reference(document)
    for path, operations in document["paths"].items():
        for method in operations:
            assert page.count(f"### `{method.upper()} {path}`\n") == 1


def test_every_link_leads_to_a_shape(root: Path) -> None:
    page = (root / "docs" / "http-api.md").read_text(encoding="utf-8")
    headings = [heading.lower() for heading in re.findall(r"^#+ (\w+)$", page, re.MULTILINE)]
    links = set(re.findall(r"\]\(#(\w+)\)", page))
    assert len(links) > 30
    assert links <= set(headings)
    assert len(set(headings)) == len(headings), "two headings share a link"


def test_a_shape_is_said_once_and_a_stream_names_its_events(root: Path) -> None:
    page = (root / "docs" / "http-api.md").read_text(encoding="utf-8")
    stream = page.partition("### `POST /runs/stream`\n")[2].partition("\n### ")[0]
    assert "Body: [RunCreate](#runcreate)." in stream
    assert "`text/event-stream`, events: [RunEvent](#runevent)" in stream
    assert "| `content-location` |" in stream
    assert page.count("| `multitask_strategy` |") == 1
    event = page.partition("### RunEvent\n")[2].partition("\n### ")[0]
    assert "| `error` | [Failure](#failure) |" in event
