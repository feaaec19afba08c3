"""docs/http-api.md from the OpenAPI document.

python -m octopus_graph_server.reference > docs/http-api.md        (a test says when it is out of date)
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, cast

__all__ = ["reference"]

LONGEST = 1200
"""Characters of an example; a longer one is left to /docs."""

HEAD = """# HTTP API

<!-- Made from the OpenAPI document by `python -m octopus_graph_server.reference > docs/http-api.md`. -->

`octopus-graph serve` listens on `http://127.0.0.1:8000`. The same as this page, to try out: `/docs`; for programs:
`/openapi.json`. MCP is at `/mcp`.

With an API key (`octopus-graph keys new`), send it as `Authorization: Bearer KEY` or `x-api-key: KEY`; probes need
none. Each answer bears `x-request-id`, the name by which the server's log knows the request.

An error is one sentence that says what to do: under `/v1/` in OpenAI's shape ([OpenAIError](#openaierror)), elsewhere
as RFC 9457 ([Problem](#problem), `application/problem+json`).

A field with a star is needed in a request, and always there in an answer. Types that are links are under
[Shapes](#shapes). Examples are what a server answered, with lists and long texts cut short.
"""


def reference(document: dict[str, Any]) -> str:
    """Writes the reference of a document."""
    parts = [HEAD, "\n| Status | Meaning |\n|---|---|\n"]
    for name, response in document["components"]["responses"].items():
        if name.startswith("Problem"):
            parts.append(f"| {name.removeprefix('Problem')} | {response['description']} |\n")
    page = _Page(document)
    for tag in document["tags"]:
        parts.append(f"\n## {tag['name']}\n\n{tag['description']}\n")
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                if operation["tags"] == [tag["name"]]:
                    parts.append(page.operation(f"{method.upper()} {path}", operation))
    return "".join([*parts, "\n## Shapes\n", *page.shapes()])


class _Page:
    """Writes the parts of the page, and remembers which shapes they refer to."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._schemas: dict[str, Any] = document["components"]["schemas"]
        self._named: set[str] = {"OpenAIError", "Problem"}
        bodies = [one.get("requestBody") for path in document["paths"].values() for one in path.values()]
        self._uses = Counter(found for body in bodies if body for found in _REF.findall(json.dumps(body)))

    def operation(self, name: str, operation: dict[str, Any]) -> str:
        text = " ".join(operation["description"].split())
        parts = [f"\n### `{name}`\n\n{_ended(operation['summary'])} {text}\n"]
        rows = [
            (f"`{one['name']}` ({one['in']})", self._kind(one["schema"]), one["description"])
            for one in operation.get("parameters", ())
        ]
        body = ""
        for content in operation.get("requestBody", {}).get("content", {}).values():
            if any(self._uses[one] > 1 for one in _REF.findall(json.dumps(content["schema"]))):
                body = f"\nBody: {self._kind(content['schema'])}.\n"
            else:
                rows += self._fields(self._resolved(content["schema"]))
        parts += [_table("Field", rows), body]
        for status, response in operation["responses"].items():
            if status.startswith("2"):
                parts.append(self._answer(status, response))
        errors = [status for status in operation["responses"] if status.startswith(("4", "5"))]
        parts.append(f"\nErrors: {', '.join(errors)}.\n")
        return "".join(parts)

    def shapes(self) -> Iterator[str]:
        """Yields the shapes that are referred to, and those they refer to."""
        done: dict[str, str] = {}
        while waiting := self._named - done.keys():
            name = min(waiting)
            schema = self._schemas[name]
            if "oneOf" in schema:
                id_ = schema["properties"]["id"]["description"]
                rows = [
                    self._event(one["title"], one["properties"]["data"]["contentSchema"]) for one in schema["oneOf"]
                ]
                table = f"\n`id`: {_ended(id_)}\n"
                table += _table("Event", rows, "Data")
            elif name.startswith("SomeOf"):
                whole = name.removeprefix("SomeOf")
                more = {one: part for one, part in schema["properties"].items() if one not in self._whole(whole)}
                table = f"\nThe fields of [{whole}](#{whole.lower()}), any of which may be left out.\n"
                table += _table("Also", self._fields({"properties": more}))
            else:
                table = _table("Field", self._fields(schema))
            done[name] = f"\n### {name}\n\n{' '.join(schema['description'].split())}\n{table}"
        yield from (done[name] for name in sorted(done))

    def _answer(self, status: str, response: dict[str, Any]) -> str:
        parts = [f"\n{status}: {_ended(response['description'])}\n"]
        headers = {name: one for name, one in response.get("headers", {}).items() if name != "x-request-id"}
        parts.append(_table("Header", [(f"`{name}`", "string", one["description"]) for name, one in headers.items()]))
        for media_type, content in response.get("content", {}).items():
            schema = content.get("itemSchema", content.get("schema", {}))
            kind = self._kind(schema)
            described = f"`{media_type}`, {'events: ' if 'itemSchema' in content else ''}{kind}"
            shown = self._example(content, media_type)
            parts.append(f"\n{described}{':' if shown else ''}\n" + (f"\n{shown}\n" if shown else ""))
        return "".join(parts)

    def _fields(self, schema: dict[str, Any]) -> list[tuple[str, str, str]]:
        needed = schema.get("required", ())
        return [
            (f"`{name}`{' *' if name in needed else ''}", self._kind(part, null=name in needed), self._said(part))
            for name, part in schema.get("properties", {}).items()
        ]

    def _whole(self, name: str) -> dict[str, Any]:
        self._named.add(name)
        return self._schemas[name]["properties"]

    def _event(self, name: str, data: dict[str, Any]) -> tuple[str, str, str]:
        return f"`{name}`", self._kind(data), self._said(data)

    def _example(self, content: dict[str, Any], media_type: str) -> str:
        of_schema = self._resolved(content.get("schema", {})).get("examples", [_MISSING])
        example = content.get("example", of_schema[0])
        if example is _MISSING:
            return ""
        language = "json" if media_type.endswith("json") else "text"
        text = example.rstrip() if isinstance(example, str) else json.dumps(example, indent=2, ensure_ascii=False)
        return f"```{language}\n{text}\n```" if len(text) <= LONGEST else ""

    def _resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in schema:
            schema = self._schemas[schema["$ref"].rpartition("/")[2]]
        return schema

    def _said(self, schema: dict[str, Any]) -> str:
        said = schema.get("description") or self._resolved(schema).get("description", "")
        default = schema.get("default")
        return said if default in (None, False, [], {}) else f"{said} (by default {json.dumps(default)})"

    def _kind(self, schema: dict[str, Any], *, null: bool = False) -> str:  # noqa: PLR0911 - one line for each kind
        """Names a type in a word or two."""
        if "enum" in schema:
            return " or ".join(f"`{value}`" for value in schema["enum"])
        if "const" in schema:
            return f"`{json.dumps(schema['const'])}`" if schema["const"] is True else f"`{schema['const']}`"
        for several in ("anyOf", "oneOf"):
            if several in schema:
                kinds = dict.fromkeys(self._kind(part) for part in schema[several] if null or part != {"type": "null"})
                return " or ".join(kinds)
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            self._named.add(name)
            return f"[{name}](#{name.lower()})"
        kind = schema.get("type", "any")
        if kind == "array":
            return f"list of {self._kind(schema.get('items', {}))}"
        inner = schema.get("additionalProperties")
        if kind == "object" and isinstance(inner, dict) and inner:
            return f"object of {self._kind(cast(dict[str, Any], inner))}"
        return (
            " or ".join(one for one in cast(list[str], kind) if one != "null") if isinstance(kind, list) else str(kind)
        )


_REF = re.compile(r"#/components/schemas/(\w+)")
_MISSING = object()


def _table(name: str, rows: list[tuple[str, str, str]], kind: str = "Type") -> str:
    if not rows:
        return ""
    lines = [f"| {left} | {middle} | {' '.join(right.split()).replace('|', BAR)} |\n" for left, middle, right in rows]
    return f"\n| {name} | {kind} | |\n|---|---|---|\n" + "".join(lines)


BAR = "\\|"


def _ended(sentence: str) -> str:
    return sentence if sentence.endswith(("?", ".", "!")) else f"{sentence}."


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
