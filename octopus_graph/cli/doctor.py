"""`octopus-graph doctor`: what is installed, found and reachable. It loads no model and changes nothing."""

import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

from octopus_graph.cli import options
from octopus_graph.cli.guard import FAILED
from octopus_graph.cli.output import clip, emit, out, printable, size
from octopus_graph.errors import OctopusError

if TYPE_CHECKING:
    from octopus_graph.router import RouterCard

__all__ = ["doctor"]

ROOM = 0.7e9  # what fetching and converting the base takes at its height
MEMORY = 1e9  # what `route` takes
REDIS = "OCTOPUS_REDIS_URL"

State = Literal["ok", "note", "fail"]


@dataclass(frozen=True)
class Check:
    """One thing looked at.

    Attributes:
        name: What.
        state: `note` for what is absent and not needed for the default graph; `fail` for what it cannot run without.
        found: What there is.
        remedy: What to do about it, empty where there is nothing to do.
    """

    name: str
    state: State
    found: str
    remedy: str = ""


def doctor(as_json: options.Json = False) -> None:
    """Says what is installed, found and reachable, and what to do about the rest.

    The exit code is 1 if the default graph cannot run.
    """
    looks: list[Callable[[], Iterator[Check]]] = [_python, _packages, _graph, _router, _base, _cache, _memory, _redis]
    checks = [check for look in looks for check in _safely(look)]
    able = all(check.state != "fail" for check in checks)
    if as_json:
        emit({"runs": able, "checks": [asdict(check) for check in checks]})
    else:
        _show(checks, able=able)
    if not able:
        raise typer.Exit(FAILED)


def _safely(look: Callable[[], Iterator[Check]]) -> Iterator[Check]:
    """A look that fails is a finding, not an end."""
    try:
        yield from look()
    except (OctopusError, OSError) as error:
        yield Check(look.__name__.strip("_"), "fail", clip(str(error), 300))


def _python() -> Iterator[Check]:
    yield Check("python", "ok", f"{platform.python_version()} ({sys.executable})")


def _packages() -> Iterator[Check]:
    """The packages of each extra, and whether their versions are the ones asked for."""
    from packaging.requirements import Requirement

    wanted = [Requirement(line) for line in metadata.requires("octopus-graph") or ()]
    extras = metadata.metadata("octopus-graph").get_all("Provides-Extra") or []
    yield Check("octopus-graph", "ok", metadata.version("octopus-graph"))
    for extra in ["", *(name for name in extras if name not in ("all", "dev"))]:
        mine = [
            each
            for each in wanted
            if each.name != "octopus-graph"
            and (
                each.marker is None if not extra else each.marker is not None and each.marker.evaluate({"extra": extra})
            )
        ]
        versions = {each.name: _version(each.name) for each in mine}
        absent = [name for name, version in versions.items() if version is None]
        wrong = [f"{each} (is {versions[each.name]})" for each in mine if _misses(each.specifier, versions[each.name])]
        found = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
        needed = extra in ("", "local")
        state: State = "ok" if not absent + wrong else "fail" if needed else "note"
        if absent:
            found = f"missing: {', '.join(absent)}" + (f"; found: {found}" if found else "")
        if wrong:
            found = f"other versions than asked for: {', '.join(wrong)}; {found}"
        remedy = f"pip install 'octopus-graph[{extra}]'" if extra else "pip install octopus-graph"
        yield Check(f"extra {extra}" if extra else "core packages", state, found, "" if state == "ok" else remedy)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _misses(specifier: "object", version: str | None) -> bool:
    from packaging.specifiers import SpecifierSet

    return (
        version is not None
        and isinstance(specifier, SpecifierSet)
        and not specifier.contains(version, prereleases=True)
    )


def _graph() -> Iterator[Check]:
    from octopus_graph.spec import load_spec

    spec = load_spec("default")
    yield Check("default graph", "ok", f"{len(spec.experts)} experts")


def _router() -> Iterator[Check]:
    """The shipped router, its base and its experts against those of the default graph."""
    from octopus_graph.router import CARD, SHIPPED, read_card

    again = "reinstall octopus-graph, or train it: octopus-graph train router"
    problem = found = ""
    if not all((SHIPPED / name).is_file() for name in (CARD, "adapter_model.safetensors", "adapter_config.json")):
        problem = "not in this installation"
    else:
        card = read_card(SHIPPED)
        edges = len(list(SHIPPED.glob("edges/*/adapter_config.json")))
        found = f"{len(card.experts)} experts, {edges} edge adapters, base {card.base}"
        problem = _misfit(SHIPPED, card)
    yield Check("shipped router", "fail" if problem else "ok", problem or found, again if problem else "")


def _misfit(folder: Path, card: "RouterCard") -> str:
    from octopus_graph.spec import load_spec
    from octopus_graph.weights import EMBEDDED

    try:
        made_for = json.loads((folder / "adapter_config.json").read_bytes())["base_model_name_or_path"]
    except (OSError, ValueError, KeyError, TypeError):
        return "its adapter_config.json cannot be read"
    lacking = sorted(set(load_spec("default").experts) - set(card.experts))
    if card.base != EMBEDDED:
        return f"made for the base {card.base}, not for {EMBEDDED}"
    if made_for != card.base:
        return f"its adapter is made for the base {made_for}, not for {card.base}"
    return f"does not know {', '.join(lacking)}" if lacking else ""


def _base() -> Iterator[Check]:
    from octopus_graph.weights import list_models

    base = list_models()[0]
    free = shutil.disk_usage(_existing(base.path)).free
    if base.state == "ready":
        yield Check("base model", "ok", f"{base.name}, {size(base.size)} in {base.path}")
    elif free < ROOM:
        yield Check(
            "base model",
            "fail",
            f"{base.state}, and no room for it",
            f"make room for {size(ROOM)}, or set OCTOPUS_CACHE",
        )
    else:
        yield Check("base model", "note", f"{base.state}; the first question fetches it", "octopus-graph models pull")


def _cache() -> Iterator[Check]:
    from octopus_graph.weights import cache_folder, list_models

    folder = cache_folder()
    place = _existing(folder)
    free = f"{size(shutil.disk_usage(place).free)} free"
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        # A model that is there is only read.
        state: State = "note" if list_models()[0].state == "ready" else "fail"
        yield Check(
            "cache folder",
            state,
            f"{folder} cannot be written ({error.strerror})",
            "set OCTOPUS_CACHE to a folder of yours",
        )
    else:
        yield Check("cache folder", "ok", f"{folder}, writable, {free}")


def _existing(path: Path) -> Path:
    """Returns the path, or the nearest folder above it that exists."""
    return next(each for each in (path, *path.parents) if each.is_dir())


def _memory() -> Iterator[Check]:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free = 1024.0 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
        total = float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (OSError, StopIteration, ValueError):
        yield Check("memory", "ok", "cannot be told on this platform")
        return
    remedy = "" if free >= MEMORY else f"the default graph takes about {size(MEMORY)}"
    yield Check("memory", "note" if remedy else "ok", f"{size(free)} free of {size(total)}", remedy)


def _redis() -> Iterator[Check]:
    from octopus_graph.cli.redis_ping import ping

    url = os.environ.get(REDIS)
    if not url:
        yield _embedded_redis()
        return
    where, problem = ping(url)
    if problem:
        yield Check("redis", "note", f"{where}: {problem}", f"start it, or correct {REDIS}")
    else:
        yield Check("redis", "ok", f"{where} answers")


def _embedded_redis() -> Check:
    try:
        from octopus_graph.persistence.embedded import data_folder, server_program

        server_program()
    except (OctopusError, ModuleNotFoundError):
        return Check("redis", "note", "no server of its own here, so no threads are kept", f"set {REDIS} to a Redis")
    return Check("redis", "ok", f"embedded, in {data_folder()} ({REDIS} is not set)")


def _show(checks: list[Check], *, able: bool) -> None:
    from rich.table import Table

    marks = {"ok": "[green]ok[/green]", "note": "[yellow]note[/yellow]", "fail": "[red]FAIL[/red]"}
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    from rich.text import Text

    for check in checks:
        told = Text(printable(check.found))
        if check.remedy:
            told.append(f"\n→ {printable(check.remedy)}", style="bold")
        table.add_row(Text.from_markup(marks[check.state]), check.name, told)
    console = out()
    console.print(table)
    console.print("The default graph can run." if able else "The default graph cannot run: see FAIL above.")
