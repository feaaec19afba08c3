"""From a file to a checked GraphSpec; what is wrong becomes one sentence with file, line and field."""

import difflib
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from octopus_graph.errors import SpecError
from octopus_graph.spec.document import Document, FieldPath, read_document
from octopus_graph.spec.models import (
    AnswersSpec,
    CacheSpec,
    ExpertSpec,
    GraphSpec,
    HuggingFaceModel,
    RouterSpec,
    UrlModel,
)
from octopus_graph.state import OctopusContext

__all__ = ["SHIPPED", "check_names", "json_schema", "load_spec"]

SHIPPED = ("default", "paper")
"""The graph files that come with octopus-graph."""

_SECRET_NAME = re.compile(r"(?i)(key|token|secret|passw(or)?d|credentials?|authorization)$")
# What pydantic calls a failed check -> what a reader of YAML is told. The rest is pydantic's own words.
_SAYINGS = {
    "missing": "it is missing: add it",
    "string_type": "write a text",
    "string_too_short": "it is empty: write something",
    "string_pattern_mismatch": "use 1 to 64 letters, digits, underscores and hyphens",
    "float_type": "write a number",
    "int_type": "write a whole number",
    "bool_type": "write true or false",
    "list_type": "write a list",
    "dict_type": "write a mapping",
    "model_type": "write a mapping",
    "too_short": "it is empty: write at least one",
    "finite_number": "write a finite number",
}


def load_spec(path_or_name: str | Path) -> GraphSpec:
    """Reads and checks a graph file. No model is loaded; whom its router knows is checked when the graph is built.

    Example:
        >>> load_spec("default").fallback
        'general'

    Args:
        path_or_name: A YAML file, or the name of a shipped one: `default`, `paper` (`./paper` is a file).

    Raises:
        SpecError: If the file is missing or broken.
    """
    name = str(path_or_name)
    if name in SHIPPED:
        path, name = Path(str(files("octopus_graph"))) / "data" / "graphs" / f"{name}.yaml", f"{name}.yaml"
    else:
        path = _existing(name)
    document = read_document(path, name)
    try:
        spec = GraphSpec.model_validate(document.data, strict=True).read_from(document)
    except ValidationError as error:
        raise _first(error.errors(include_url=False), document) from None
    check_names(spec)
    return spec


def json_schema() -> dict[str, Any]:
    """Returns the JSON Schema of graph files, for editors; a copy is shipped beside the shipped graphs."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **GraphSpec.model_json_schema()}


def check_names(spec: GraphSpec) -> None:
    """Checks that whoever is named in a spec is an expert of it.

    Raises:
        SpecError: If a neighbour, a fallback, an allowed or a cached expert is none.
    """
    named: list[tuple[FieldPath, str | None]] = [(("fallback",), spec.fallback)]
    named += [(("defaults", "experts", place), name) for place, name in enumerate(spec.defaults.experts or ())]
    if spec.cache is not None and spec.cache.answers is not None:
        named += [
            (("cache", "answers", "experts", place), name) for place, name in enumerate(spec.cache.answers.experts)
        ]
    for name, expert in spec.experts.items():
        here: FieldPath = ("experts", name)
        if isinstance(expert.neighbours, list):
            named += [((*here, "neighbours", place), other) for place, other in enumerate(expert.neighbours)]
            for place, other in enumerate(expert.neighbours):
                if other in expert.neighbours[:place]:
                    raise spec.error((*here, "neighbours", place), f"{other!r} stands twice: remove one.")
        if expert.fallback == name:
            raise spec.error((*here, "fallback"), "an expert cannot stand in for itself: name another one.")
        named.append(((*here, "fallback"), expert.fallback))
    for path, name in named:
        if name is not None and name not in spec.experts:
            raise spec.error(path, f"there is no expert {name!r}{_instead(name, list(spec.experts), end='.')}")


def _existing(name: str) -> Path:
    try:
        path = Path(name).expanduser()
        found = path.exists()
    except (OSError, ValueError, RuntimeError):  # too long, a null character, the home of nobody
        path, found = Path(), False
    if not found:
        close = difflib.get_close_matches(name, SHIPPED, 1)
        hint = f"did you mean {close[0]}? The" if close else "the"
        raise SpecError(f"There is no graph file {name[:200]!r}: {hint} shipped graphs are {' and '.join(SHIPPED)}.")
    return path


def _first(errors: Sequence[ErrorDetails], document: Document) -> SpecError:
    """Makes an error of the problem that stands first in the file, and says how many more there are."""
    told = [(_path(error["loc"], document), error) for error in errors]
    # Of a misspelt name that was needed two things are said in one line; that it is misspelt comes first.
    told.sort(key=lambda pair: (document.line(pair[0]), pair[1]["type"] == "missing"))
    path, error = told[0]
    more = f" ({len(told) - 1} more in this file)" if len(told) > 1 else ""
    saying = _saying(path, error)
    return document.error(path, f"{saying}{'' if saying.endswith('?') else '.'}{more}")


def _path(location: Sequence[int | str], document: Document) -> FieldPath:
    """Turns pydantic's location into a path of the file: without the names of union members and of key checks."""
    path: FieldPath = ()
    for place, part in enumerate(location):
        last = place == len(location) - 1
        if (*path, part) in document.lines or (last and not _is_member(part)):
            path = (*path, part)
    return path


def _is_member(part: int | str) -> bool:
    return isinstance(part, str) and (part == "[key]" or part.startswith("("))


def _saying(path: FieldPath, error: ErrorDetails) -> str:
    kind, field, value = error["type"], str(path[-1]) if path else "", error["input"]
    if kind == "extra_forbidden":
        if _SECRET_NAME.search(field):
            return (
                "secrets do not belong in a graph file: put it in an environment variable and name that in api_key_env"
            )
        known = _fields(path)
        return f"there is no such field{_instead(field, known)}"
    if kind == "literal_error":
        saying = f"write {error.get('ctx', {}).get('expected', 'one of the values allowed')}"
    elif kind == "value_error":
        return str(error.get("ctx", {}).get("error", error["msg"]))
    else:
        words = error["msg"].removeprefix("Input ").removeprefix("should be ")
        saying = _SAYINGS.get(kind) or (words if kind == "kind" else f"it must be {words}")
    shown = kind not in {"missing", "string_too_short", "too_short"} and field != "api_key_env"
    return f"{saying}, not {_short(value)}" if shown else saying


def _fields(path: FieldPath) -> list[str]:
    """Returns the fields that are allowed where an unknown one stands."""
    match path:
        case ("experts", _, "model", field):
            models = (HuggingFaceModel, UrlModel)
            return [name for model in models for name in model.model_fields if name != field]
        case ("experts", _, _):
            section = ExpertSpec
        case ("router", _):
            section = RouterSpec
        case ("cache", "answers", _):
            section = AnswersSpec
        case ("cache", _):
            section = CacheSpec
        case ("defaults", _):
            section = OctopusContext
        case _:
            section = GraphSpec
    return list(section.model_fields)


def _instead(name: str, known: Sequence[str], end: str = "") -> str:
    close = difflib.get_close_matches(name, known, 1)
    return f": did you mean {close[0]}?" if close else f"; there are {', '.join(known)}{end}"


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return "a mapping with " + ", ".join(list(cast(Mapping[str, Any], value))[:5]) if value else "an empty mapping"
    if isinstance(value, list):
        return "a list"
    if value is None:
        return "nothing"
    text = repr(value) if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= 40 else f"{text[:39]}…"
