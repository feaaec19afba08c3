"""docs/http-api.md from the OpenAPI document.

python -m octopus_graph_server.reference > docs/http-api.md        (a test says when it is out of date)
"""

import json
from typing import Any

__all__ = ["reference"]

LONGEST = 1200
"""Characters of an example; a longer one is left to /docs."""

HEAD = """# HTTP API

<!-- Made from the OpenAPI document by `python -m octopus_graph_server.reference > docs/http-api.md`. -->

`octopus-graph serve` listens on `http://127.0.0.1:8000`. The same as this page, to try out: `/docs`; for programs:
`/openapi.json`. MCP is at `/mcp`.

With an API key (`octopus-graph keys new`), send it as `Authorization: Bearer KEY` or `x-api-key: KEY`; probes need
none. Each answer bears `x-request-id`, the name by which the server's log knows the request.

An error is one sentence that says what to do: under `/v1/` in OpenAI's shape, elsewhere as RFC 9457
(`application/problem+json`).
"""


def reference(document: dict[str, Any]) -> str:
    """Writes the reference of a document."""
    parts = [HEAD, "\n| Status | Meaning |\n|---|---|\n"]
    for name, response in document["components"]["responses"].items():
        if name.startswith("Problem"):
            parts.append(f"| {name.removeprefix('Problem')} | {response['description']} |\n")
    for tag in document["tags"]:
        parts.append(f"\n## {tag['name']}\n\n{tag['description']}\n")
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                if operation["tags"] == [tag["name"]]:
                    parts.append(_operation(document, f"{method.upper()} {path}", operation))
    return "".join(parts)


def _operation(document: dict[str, Any], name: str, operation: dict[str, Any]) -> str:
    text = " ".join(operation["description"].split())
    parts = [f"\n### `{name}`\n\n{_ended(operation['summary'])} {text}\n"]
    rows = [
        (f"`{one['name']}` ({one['in']})", _kind(document, one["schema"]), one["description"])
        for one in operation.get("parameters", ())
    ]
    for content in operation.get("requestBody", {}).get("content", {}).values():
        schema = _resolved(document, content["schema"])
        needed = schema.get("required", ())
        for field, part in schema.get("properties", {}).items():
            star = " *" if field in needed else ""
            rows.append((f"`{field}`{star}", _kind(document, part), _said(document, part)))
    if rows:
        parts.append("\n| Field | Type | |\n|---|---|---|\n")
        parts += [f"| {name} | {kind} | {_cell(said)} |\n" for name, kind, said in rows]
    for status, response in operation["responses"].items():
        for media_type, content in response.get("content", {}).items():
            if status.startswith("2") and (shown := _example(document, content, media_type)):
                parts.append(f"\n{status}, `{media_type}`:\n\n{shown}\n")
    own = [status for status in operation["responses"] if status.startswith(("4", "5"))]
    parts.append(f"\nErrors: {', '.join(own)}.\n")
    return "".join(parts)


def _example(document: dict[str, Any], content: dict[str, Any], media_type: str) -> str:
    of_schema = _resolved(document, content.get("schema", {})).get("examples", [_MISSING])
    example = content.get("example", of_schema[0])
    if example is _MISSING:
        return ""
    language = "json" if media_type.endswith("json") else "text"
    text = example.rstrip() if isinstance(example, str) else json.dumps(example, indent=2, ensure_ascii=False)
    return f"```{language}\n{text}\n```" if len(text) <= LONGEST else ""


_MISSING = object()


def _resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def _said(document: dict[str, Any], schema: dict[str, Any]) -> str:
    return schema.get("description") or _resolved(document, schema).get("description", "")


def _kind(document: dict[str, Any], schema: dict[str, Any]) -> str:
    """Names a type in a word or two."""
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    for several in ("anyOf", "oneOf"):
        if several in schema:
            kinds = dict.fromkeys(_kind(document, part) for part in schema[several] if part != {"type": "null"})
            return " or ".join(kinds)
    if "$ref" in schema:
        return schema["$ref"].rpartition("/")[2]
    if schema.get("type") == "array":
        return f"list of {_kind(document, schema.get('items', {}))}"
    return str(schema.get("type", "any"))


def _ended(sentence: str) -> str:
    return sentence if sentence.endswith(("?", ".", "!")) else f"{sentence}."


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def main() -> None:
    """Prints the reference of the shipped graph."""
    import sys

    from octopus_graph.spec import build_graph, load_spec
    from octopus_graph.testing import scripted_router
    from octopus_graph_server.app import create_app

    app = create_app(build_graph(load_spec("default"), dry_run=True, router=scripted_router({})))
    sys.stdout.write(reference(app.openapi()))


if __name__ == "__main__":
    main()
