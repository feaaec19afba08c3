"""`octopus-graph serve` and `octopus-graph keys`: the graph behind HTTP. All else is in octopus_graph_server."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from octopus_graph.cli import opening, options
from octopus_graph.cli.guard import misused
from octopus_graph.cli.output import emit, err, out
from octopus_graph.errors import MissingExtraError

__all__ = ["keys", "serve"]

HASHES = "OCTOPUS_API_KEY_HASHES"
LOOPBACK = "127.0.0.1"

keys = typer.Typer(help="API keys of the HTTP server.")


@keys.callback(invoke_without_command=True)
def _keys(context: typer.Context) -> None:  # pyright: ignore[reportUnusedFunction]
    """API keys of the HTTP server."""
    if context.invoked_subcommand is None:
        misused(context)


@keys.command()
def new(
    file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Append the hash to this file, for --api-key-file.", show_default=False),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Makes a key and shows it once; only its hash is kept."""
    key, hashed = _server("keys").new_key()
    if file is not None:
        _append(file, hashed)
    if as_json:
        emit({"key": key, "hash": hashed})
        return
    out().print(f"key   {key}\nhash  {hashed}")
    kept = f"The hash is in {file}" if file else f"Put the hash into a file for --api-key-file, or into ${HASHES}"
    err().print(f"{kept}; the key is not shown again.")


def serve(
    graph: options.Graph = "default",
    host: Annotated[str, typer.Option(help="The address to listen on.")] = LOOPBACK,
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 takes a free one.")] = 8000,
    api_key_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help=f"Hashes of API keys, one a line [default: those in ${HASHES}]", show_default=False
        ),
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Listen on another address than loopback without a key.")
    ] = False,
    redis: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Where threads are kept [default: $OCTOPUS_REDIS_URL or embedded]",
            show_default=False,
        ),
    ] = None,
    origin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL",
            help="A page that may ask from a browser, such as https://smith.langchain.com; may be given several times.",
            show_default=False,
        ),
    ] = None,
    host_name: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A host name to answer to while there is no key, beside localhost; * for any.",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Put an echo in the experts' place.")] = False,
    print_openapi: Annotated[
        bool, typer.Option("--print-openapi", help="Write the OpenAPI document to stdout and serve nothing.")
    ] = False,
) -> None:
    """Serves the graph: OpenAI's API, LangGraph's, MCP, A2A, and decisions alone.

    Listens on loopback. On another address it asks for an API key, or for --insecure.
    """
    from octopus_graph.spec import load_spec

    serving, app = _server("serving"), _server("app")
    settings = _settings(api_key_file, redis, origin, host_name)
    if insecure and not host_name:
        settings = settings.model_copy(update={"hosts": ("*",)})
    serving.check_address(host, settings, insecure=insecure)
    if print_openapi:
        emit(app.create_app(opening.shape(load_spec(graph)), settings=settings).openapi())
        return
    serving.serve(app.create_app(opening.build(graph, dry_run=dry_run), settings=settings), host, port)


def _settings(api_key_file: Path | None, redis: str | None, origins: list[str] | None, hosts: list[str] | None) -> Any:
    module, key_module = _server("settings"), _server("keys")
    given: dict[str, Any] = {}
    if api_key_file is not None:
        given["key_hashes"] = key_module.read_file(api_key_file)
    elif HASHES in os.environ:
        given["key_hashes"] = key_module.read_hashes(os.environ[HASHES], f"${HASHES}")
    if chosen := redis or os.environ.get("OCTOPUS_REDIS_URL"):
        given["redis"] = chosen
    default = module.ServerSettings()
    given["origins"] = tuple(origins or ())
    given["hosts"] = (*default.hosts, *(hosts or ()))
    return module.ServerSettings(**given)


def _append(file: Path, hashed: str) -> None:
    try:
        file.touch(0o600)
        with file.open("a", encoding="utf-8") as stream:
            stream.write(f"{hashed}\n")
    except OSError as error:
        raise typer.BadParameter(f"cannot be written: {error.strerror}", param_hint="--file") from error


def _server(module: str) -> Any:
    """Imports a module of the server by name: its packages are an extra, and the core stands below it.

    Raises:
        MissingExtraError: If they are not installed.
    """
    from importlib import import_module

    try:
        return import_module(f"octopus_graph_server.{module}")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0].startswith("octopus_graph"):
            raise
        raise MissingExtraError("server", "The HTTP server") from error
