"""Models of the hub: fetched into the hub client's own cache, so that other programs share them."""

import importlib.util
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential_jitter

from octopus_graph.errors import MissingExtraError, ModelNotFoundError, WeightsError
from octopus_graph.weights.store import ModelInfo, State, check_folder, verify, ways_out

WANTED = ["*.safetensors", "*.json", "*.model", "*.jinja", "*.tiktoken", "merges.txt", "vocab.txt"]
# Subfolders hold other formats and `consolidated` the same weights again. Nothing that is code is ever fetched.
UNWANTED = ["*/*", "consolidated*", "*.py", "*.bin"]


def fetch(model: str, revision: str | None, *, offline: bool) -> Path:
    """Returns the snapshot of a hub model; without any network call when it is here.

    Args:
        model: The id, `org/name`.
        revision: A branch, tag or commit.
        offline: Never touch the network.

    Returns:
        The folder of the snapshot.

    Raises:
        MissingExtraError: The hub's client is not installed.
        ModelNotFoundError: The model is not here and could not be fetched.
        WeightsError: It has no safetensors weights, or they are damaged.
    """
    if importlib.util.find_spec("huggingface_hub") is None:
        raise MissingExtraError("local", f"Fetching {model} from the hub")
    from huggingface_hub import snapshot_download  # pyright: ignore[reportUnknownVariableType]
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    def snapshot(*, local: bool) -> Path:
        folder = snapshot_download(
            model, revision=revision, allow_patterns=WANTED, ignore_patterns=UNWANTED, local_files_only=local
        )
        return Path(folder)

    try:
        folder = snapshot(local=True)
        check_folder(folder)
    except HFValidationError as error:
        raise ModelNotFoundError(f"There is no model {model!r}: a hub id looks like org/name.") from error
    except (LocalEntryNotFoundError, WeightsError):
        if offline:
            raise ModelNotFoundError(f"The model {model} is not here in whole: {ways_out(model)}.") from None
    else:
        return folder
    try:
        patience = Retrying(
            retry=retry_if_exception(_is_network_failure),
            stop=stop_after_attempt(3),
            wait=wait_exponential_jitter(initial=1, max=10),
            reraise=True,
        )
        with _quiet_unless_terminal():
            folder = patience(snapshot, local=False)
    except (HfHubHTTPError, OSError, RuntimeError) as error:  # RuntimeError: what the hub's Xet transfers raise
        raise ModelNotFoundError(_explain(model, revision, error)) from error
    if not list(folder.glob("*.safetensors")):
        raise WeightsError(f"The model {model} has no safetensors weights, and pickles are not loaded: choose another.")
    verify(folder)
    return folder


def infos() -> list[ModelInfo]:
    """Describes the language models in the hub's cache.

    Returns:
        One entry per model and commit.
    """
    if importlib.util.find_spec("huggingface_hub") is None:
        return []
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        repos = scan_cache_dir().repos
    except CacheNotFound:
        return []
    models: list[ModelInfo] = []
    for repo in sorted((repo for repo in repos if repo.repo_type == "model"), key=lambda repo: repo.repo_id):
        for revision in sorted(repo.revisions, key=lambda revision: revision.commit_hash):
            folder = revision.snapshot_path
            config = folder / "config.json"
            if not config.is_file() or "ForCausalLM" not in config.read_text(encoding="utf-8", errors="replace"):
                continue  # an encoder or an image model of another program
            source = f"hub, commit {revision.commit_hash[:8]}"
            models.append(
                ModelInfo(repo.repo_id, folder, revision.size_on_disk, _state(folder), source, "see its card")
            )
    return models


@contextmanager
def _quiet_unless_terminal() -> Generator[None]:
    """Keeps the client's bars out of logs; it draws them wherever stderr goes."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    if sys.stderr.isatty() or are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()


def _state(folder: Path) -> State:
    try:
        check_folder(folder)
    except WeightsError:
        return "broken"
    return "ready"


def _is_network_failure(error: BaseException) -> bool:
    import httpx
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    if isinstance(error, LocalEntryNotFoundError) and error.__cause__ is not None:
        return _is_network_failure(error.__cause__)
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code == 429 or error.response.status_code >= 500
    return isinstance(error, (httpx.TransportError, ConnectionError)) and not isinstance(error, OfflineModeIsEnabled)


def _explain(model: str, revision: str | None, error: Exception) -> str:
    from huggingface_hub.errors import (
        GatedRepoError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    if isinstance(error, GatedRepoError):
        return f"The model {model} is gated: accept its terms on the hub, run `hf auth login`, and try again."
    if isinstance(error, RepositoryNotFoundError):
        return f"The hub has no model {model}: check the id, or run `hf auth login` if it is private."
    if isinstance(error, RevisionNotFoundError):
        return (
            f"The model {model} has no revision {revision!r}: leave it out or name a branch, tag or commit that exists."
        )
    if isinstance(error, LocalEntryNotFoundError) or _is_network_failure(error):
        return f"The model {model} is not here in whole and the hub cannot be reached: {ways_out(model)}."
    reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
    return f"The model {model} could not be fetched ({reason}): {ways_out(model)}."
