"""A YAML document as plain data that still knows where each value stands.

The file is somebody else's: it may be huge, binary, nested without end, or a few lines that aliases blow up into
billions of nodes. So nodes become data here by hand, and aliases are refused; nothing in the file is ever executed.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from octopus_graph.errors import SpecError

__all__ = ["Document", "FieldPath", "dotted", "read_document"]

LARGEST_FILE = 1024 * 1024  # a few seconds of parsing
DEEPEST = 16

FieldPath = tuple[str | int, ...]
"""The way to a value: `("experts", "math", "neighbours", 0)`."""

_PLAIN = {f"tag:yaml.org,2002:{name}" for name in ("int", "float", "bool", "null")}
_TEXT = {f"tag:yaml.org,2002:{name}" for name in ("str", "timestamp")}  # a date is a text here
# The keys of providers, by their beginnings: enough to stop the usual accident, a key pasted into a shared file.
_SECRET = re.compile(
    r"\b(?:sk|pk|rk)-(?=\S*\d)[\w-]{16,}|\b(?:hf|gsk|gh[pousr]|xox[abpr]|glpat)[_-](?=\S*\d)[\w-]{16,}|\bAKIA[0-9A-Z]{16}\b"
    r"|\bAIza[\w-]{30,}|\bBearer\s+[\w.~+/-]{16,}|\beyJ[\w-]{10,}\.[\w-]{10,}|-----BEGIN [A-Z ]*PRIVATE KEY"
)
_VARIABLE = re.compile(r"\$\{[A-Z][A-Z0-9_]*\}")


@dataclass(frozen=True)
class Document:
    """A graph file that has been read.

    Attributes:
        name: What messages call it: the path as it was given.
        folder: What paths in it are relative to.
        data: Its content: mappings, lists, strings, numbers, booleans, nulls.
        lines: The line of every value, counted from 1.
    """

    name: str
    folder: Path
    data: dict[str, Any]
    lines: Mapping[FieldPath, int] = field(repr=False)

    def error(self, path: FieldPath, message: str) -> SpecError:
        """Makes the error that names file, line and field.

        Args:
            path: The field.
            message: What is wrong and what to do, beginning in lower case.
        """
        return SpecError(f"{self.name}:{self.line(path)}: {dotted(path)}{message}")

    def line(self, path: FieldPath) -> int:
        """Returns the line of a field, or of the nearest part of its path that the file has."""
        return next(self.lines[path[:end]] for end in range(len(path), -1, -1) if path[:end] in self.lines)


def read_document(path: Path, name: str) -> Document:
    """Reads a YAML file.

    Args:
        path: The file.
        name: What messages call it.

    Raises:
        SpecError: If it is no file, no text, too large, not YAML, or holds what a graph file must not hold.
    """
    text = _read_text(path, name)
    yaml: Any = YAML(typ="safe", pure=True)
    try:
        root: Any = yaml.compose(text)  # ruamel's nodes are untyped
    except MarkedYAMLError as error:
        raise SpecError(_explain(error, name)) from None
    except RecursionError:
        raise SpecError(f"{name}: it is nested too deeply: a graph file needs no more than {DEEPEST} levels.") from None
    except YAMLError as error:  # a character YAML does not allow; it says where only in characters from the start
        place = int(getattr(error, "position", 0))
        raise SpecError(
            f"{name}:{text.count(chr(10), 0, place) + 1}: a character YAML does not allow: remove it."
        ) from None
    if root is None:
        raise SpecError(f"{name}:1: the file is empty: write at least `version: 1` and `experts:`.")
    if root.id != "mapping":
        raise SpecError(f"{name}:1: a graph file is a mapping: begin it with `version: 1`.")
    reader = _Reader(name, yaml.constructor)
    data = cast(dict[str, Any], reader.read(root, ()))
    return Document(name, path.absolute().parent, data, reader.lines)


def _read_text(path: Path, name: str) -> str:
    if path.is_dir():
        raise SpecError(f"{name} is a folder: name the graph file in it.")
    if path.exists() and not path.is_file():
        raise SpecError(f"{name} is not a regular file: name a YAML file.")
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise SpecError(f"{name} cannot be read ({error.strerror or error}): check its name and permissions.") from None
    if len(content) > LARGEST_FILE:
        raise SpecError(f"{name} is larger than {LARGEST_FILE // 1024**2} MB, which no graph file is: name another.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise SpecError(f"{name} is not a text file: a graph file is YAML in UTF-8.") from None


def _explain(error: Any, name: str) -> str:
    mark = error.problem_mark or error.context_mark
    line = f":{mark.line + 1}" if mark is not None else ""
    context = f"{error.context}: " if error.context and error.context_mark is not None else ""
    hint = " (indent with spaces)" if "\\t" in str(error.problem) else ""
    problem = " ".join(f"{context}{error.problem}".split())
    return f"{name}{line}: the YAML is broken: {problem}{hint}."


def dotted(path: FieldPath) -> str:
    """Writes a path as messages do, `experts.math.neighbours[0]: `; nothing for the document itself."""
    name = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return f"{name.removeprefix('.')}: " if path else ""


class _Reader:
    """Turns nodes into data, each of them once: an alias is the node it stands for, met again."""

    def __init__(self, name: str, constructor: Any) -> None:
        self.lines: dict[FieldPath, int] = {}
        self._name = name
        self._constructor = constructor
        self._met: set[int] = set()

    def read(self, node: Any, path: FieldPath, line: int | None = None) -> Any:
        self._meet(node, path, line)
        self.lines[path] = line or node.start_mark.line + 1
        if len(path) > DEEPEST:
            raise self._error(path[:3], f"it is nested too deeply: a graph file needs no more than {DEEPEST} levels.")
        if node.id == "mapping":
            return self._mapping(node, path)
        if node.id == "sequence":
            return [self.read(item, (*path, place)) for place, item in enumerate(node.value)]
        return self._scalar(node, path)

    def _mapping(self, node: Any, path: FieldPath) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            self._meet(key_node, path)
            line = key_node.start_mark.line + 1
            key = str(key_node.value) if key_node.id == "scalar" else ""
            self.lines[*path, key] = line
            if key_node.id != "scalar":
                raise self._error(path, "a name here must be a word, not a list or a mapping.", line)
            if key == "<<":
                raise self._error(path, "merge keys (<<) are not supported: write the fields out.", line)
            if key_node.tag not in _TEXT:
                raise self._error((*path, key), "a name here must be a text: put it in quotes.")
            if _SECRET.search(key):
                raise self._error(path, "this looks like a secret: put it in an environment variable.", line)
            if key in data:
                raise self._error((*path, key), "it stands twice in this mapping: remove one.", line)
            data[key] = self.read(value_node, (*path, key), line)
        return data

    def _meet(self, node: Any, path: FieldPath, line: int | None = None) -> None:
        if id(node) in self._met:
            # The node's own line is that of its anchor; the alias stands where its key does, or in its list.
            where = line or self.lines[path if path in self.lines else path[:-1]]
            raise self._error(path, "aliases (*name) are not supported: write out what is meant.", where)
        self._met.add(id(node))

    def _scalar(self, node: Any, path: FieldPath) -> Any:
        tag, text = str(node.tag), str(node.value)
        if tag in _PLAIN:
            try:
                return self._constructor.construct_object(node)
            except ValueError:  # an integer of thousands of digits, or `!!int x`
                raise self._error(path, "this number cannot be read: write a smaller one.") from None
        if tag not in _TEXT:
            raise self._error(
                path, f"YAML tags such as {tag.removeprefix('tag:yaml.org,2002:')[:40]!r} are not used here."
            )
        if _SECRET.search(text):
            raise self._error(
                path, "this looks like a secret: put it in an environment variable and name that in api_key_env."
            )
        if path[-1] not in {"api_key_env", "redis"} and (found := _VARIABLE.search(text)):
            raise self._error(path, f"{found[0]} is not replaced here: only api_key_env and redis name variables.")
        return text

    def _error(self, path: FieldPath, message: str, line: int | None = None) -> SpecError:
        return SpecError(f"{self._name}:{line or self.lines[path]}: {dotted(path)}{message}")
