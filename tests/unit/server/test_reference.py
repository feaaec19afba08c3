"""docs/http-api.md says what the server does."""

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
