import json
from pathlib import Path
from typing import Any

import pytest

from octopus_graph import weights
from octopus_graph.errors import ModelNotFoundError


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder, and a hub's cache that is empty too."""
    monkeypatch.setenv("OCTOPUS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(weights.hub, "infos", list)
    return tmp_path / "cache"


def test_the_embedded_model_is_listed_before_it_is_here(octopus: Any, cache: Path) -> None:
    shown, told = octopus("models", "list"), octopus("models", "list", "--json")

    assert shown.stdout.splitlines()[1].split()[:3] == ["smollm2-135m-instruct", "missing", "-"]
    (model,) = json.loads(told.stdout)
    assert (model["name"], model["state"], model["licence"]) == ("smollm2-135m-instruct", "missing", "Apache-2.0")
    assert not cache.exists()


def test_a_model_is_pulled_by_name_and_revision(octopus: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []

    def pull(name: str, *, revision: str | None = None) -> Path:
        calls.append((name, revision))
        return Path("/models") / name

    monkeypatch.setattr(weights, "pull", pull)
    first = octopus("models", "pull")
    second = octopus("models", "pull", "org/name", "--revision", "v2", "--json")

    assert calls == [(weights.EMBEDDED, None), ("org/name", "v2")]
    assert f"is ready in /models/{weights.EMBEDDED}" in first.stdout
    assert json.loads(second.stdout) == {"name": "org/name", "path": "/models/org/name", "state": "ready"}


def test_a_model_that_cannot_be_fetched_is_one_line(octopus: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def pull(name: str, *, revision: str | None = None) -> Path:
        raise ModelNotFoundError(f"The model {name} is not here.")

    monkeypatch.setattr(weights, "pull", pull)
    result = octopus("models", "pull", "org/name")

    assert (result.exit_code, result.stderr, result.stdout) == (1, "Error: The model org/name is not here.\n", "")


def test_models_alone_shows_its_help(octopus: Any) -> None:
    result = octopus("models")

    assert result.exit_code == 2
    assert "pull" in result.output
