"""The OpenAPI document is complete: every endpoint says what it does, shows an example and names its errors."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from jsonschema import Draft202012Validator

Document = dict[str, Any]


@pytest.fixture(scope="module")
def document() -> Document:
    from octopus_graph.spec import build_graph, load_spec
    from octopus_graph.testing import scripted_router
    from octopus_graph_server import create_app

    return create_app(build_graph(load_spec("default"), dry_run=True, router=scripted_router({}))).openapi()


def operations(document: Document) -> Iterator[tuple[str, Document]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def resolved(document: Document, part: Document) -> Document:
    while "$ref" in part:
        *_, kind, name = part["$ref"].split("/")
        part = document["components"][kind][name]
    return part


def has_example(document: Document, content: Document) -> bool:
    """Says whether somebody can see what the content looks like: as a whole, or field by field."""
    if "example" in content or "examples" in content:
        return True
    schema = resolved(document, content.get("schema", {}))
    if {"example", "examples", "default", "const", "enum"} & schema.keys():
        return True
    if schema.get("type") == "array":
        return has_example(document, {"schema": schema.get("items", {})})
    for kind in ("anyOf", "oneOf", "allOf"):
        if any(has_example(document, {"schema": part}) for part in schema.get(kind, ()) if part != {"type": "null"}):
            return True
    properties = schema.get("properties", {})
    return bool(properties) and any(has_example(document, {"schema": part}) for part in properties.values())


def test_every_endpoint_is_described(document: Document) -> None:
    missing = [
        name
        for name, operation in operations(document)
        if not (operation.get("summary") and operation.get("description") and operation.get("tags"))
    ]
    assert not missing, "\n".join(missing)
    known = {tag["name"] for tag in document["tags"]}
    assert {tag for _, operation in operations(document) for tag in operation["tags"]} == known


def test_every_parameter_and_field_is_described(document: Document) -> None:
    missing = [
        f"{name}: {parameter['name']}"
        for name, operation in operations(document)
        for parameter in operation.get("parameters", ())
        if not parameter.get("description") and not resolved(document, parameter["schema"]).get("description")
    ]
    missing += [
        f"{name}.{field}"
        for name, schema in document["components"]["schemas"].items()
        for field, part in schema.get("properties", {}).items()
        if "description" not in part and "description" not in resolved(document, part) and "const" not in part
    ]
    assert not missing, "\n".join(missing)


def test_every_body_and_answer_has_an_example(document: Document) -> None:
    missing: list[str] = []
    for name, operation in operations(document):
        bodies = [("request", operation.get("requestBody", {}))]
        bodies += [(status, resolved(document, response)) for status, response in operation["responses"].items()]
        for kind, body in bodies:
            missing += [
                f"{name} {kind} {media_type}"
                for media_type, content in body.get("content", {}).items()
                if not has_example(document, content)
            ]
    assert not missing, "\n".join(missing)


def test_every_example_fits_its_schema(document: Document) -> None:
    wrong: list[str] = []
    shown = 0
    for name, operation in operations(document):
        bodies = [("request", operation.get("requestBody", {}))]
        bodies += [(status, resolved(document, response)) for status, response in operation["responses"].items()]
        for kind, body in bodies:
            for content in body.get("content", {}).values():
                if "itemSchema" in content:  # of a stream, whose example is its text
                    shown += 1
                    continue
                if not content.get("schema"):
                    wrong.append(f"{name} {kind} has no schema")
                    continue
                fits = Draft202012Validator({**document, **content["schema"]})
                examples = [content["example"]] if "example" in content else []
                examples += [one["value"] for one in content.get("examples", {}).values()]
                examples += resolved(document, content["schema"]).get("examples", [])
                shown += len(examples)
                wrong += [
                    f"{name} {kind} {'.'.join(map(str, problem.absolute_path))}: {problem.message[:300]}"
                    for example in examples
                    for problem in fits.iter_errors(example)
                ]
    assert not wrong, "\n".join(wrong)
    assert shown > 100


def test_every_example_of_a_field_fits_it(document: Document) -> None:
    for name, schema in document["components"]["schemas"].items():
        for field, part in schema.get("properties", {}).items():
            for example in part.get("examples", ()):
                assert Draft202012Validator({**document, **part}).is_valid(example), (name, field)


def test_every_stream_names_its_events_and_their_shape(document: Document) -> None:
    streams = 0
    for name, operation in operations(document):
        content = operation["responses"].get("200", {}).get("content", {}).get("text/event-stream")
        if content is None:
            continue
        streams += 1
        item = resolved(document, content["itemSchema"])
        for one in item.get("oneOf", ()):
            assert one["description"], name
            assert resolved(document, one["properties"]["data"]["contentSchema"]), (name, one["title"])
        assert "oneOf" in item or name.startswith("POST /v1/")
    assert streams >= 8


def test_every_endpoint_names_its_errors_and_their_shape(document: Document) -> None:
    for name, operation in operations(document):
        responses = operation["responses"]
        assert name.endswith("/crons") or any(status.startswith("2") for status in responses), name
        wanted = {"400", "403", "422", "500", "503", "504"} | ({"413", "429"} if "requestBody" in operation else set())
        assert wanted <= responses.keys(), name
        for status, named in responses.items():
            response = resolved(document, named)
            assert response["description"], name
            if status.startswith(("4", "5")) and not name.endswith("/health/ready"):
                shape = "OpenAIError" if " /v1/" in name else "Problem"
                (content,) = response["content"].values()
                assert content["schema"]["$ref"].endswith(shape), (name, status)


def test_an_endpoint_that_needs_no_key_says_so(document: Document) -> None:
    free = [name for name, operation in operations(document) if operation.get("security") == []]
    assert {"GET /health/live", "GET /health/ready"} <= set(free)
    assert all("401" in operation["responses"] for name, operation in operations(document) if name not in free)
    assert {"bearer": []} in document["security"]


def test_names_of_operations_are_unique(document: Document) -> None:
    names = [operation["operationId"] for _, operation in operations(document)]
    assert len(set(names)) == len(names)


async def test_the_document_is_served(make_app: Callable[..., FastAPI], opened: Any, document: Document) -> None:
    async with opened(make_app()) as client:
        assert (await client.get("/openapi.json")).json() == document
        assert "swagger" in (await client.get("/docs")).text.lower()
