"""serve and keys: what they refuse, and what they hand on."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from octopus_graph.cli import app
from octopus_graph_server import serving
from octopus_graph_server.keys import new_key

HASH = new_key()[1]


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Collects what would be served; no router is loaded and no socket opened."""
    from octopus_graph.cli import opening
    from octopus_graph.spec import load_spec

    for name in ("OCTOPUS_API_KEY_HASHES", "OCTOPUS_REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    calls: list[Any] = []
    monkeypatch.setattr(opening, "build", lambda graph, dry_run: opening.shape(load_spec(graph)))
    monkeypatch.setattr(
        serving, "serve", lambda made, host, port: calls.append((made.state.service.settings, host, port))
    )
    return calls


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments))


def test_it_listens_on_loopback_unless_told_otherwise(served: list[Any]) -> None:
    assert run("serve").exit_code == 0
    ((settings, host, port),) = served
    assert (host, port) == ("127.0.0.1", 8000)
    assert settings.redis == "embedded"
    assert settings.key_hashes == ()
    assert "*" not in settings.hosts


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.1", "octopus.example"])
def test_another_address_asks_for_a_key_or_for_insecure(served: list[Any], host: str, tmp_path: Path) -> None:
    refused = run("serve", "--host", host)
    assert refused.exit_code == 2
    assert "--insecure" in refused.output
    assert not served
    assert run("serve", "--host", host, "--insecure").exit_code == 0
    file = tmp_path / "keys"
    file.write_text(HASH, encoding="utf-8")
    assert run("serve", "--host", host, "--api-key-file", str(file)).exit_code == 0
    insecure, keyed = served
    assert insecure[0].hosts == ("*",)
    assert keyed[0].key_hashes == (HASH,)


def test_hashes_and_redis_may_come_from_the_environment(served: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCTOPUS_API_KEY_HASHES", f"{HASH}\n")
    monkeypatch.setenv("OCTOPUS_REDIS_URL", "redis://cache:6379")
    assert run("serve", "--host", "0.0.0.0", "--port", "80").exit_code == 0
    ((settings, _, port),) = served
    assert settings.key_hashes == (HASH,)
    assert settings.redis == "redis://cache:6379"
    assert port == 80
    assert run("serve", "--redis", "redis://other").exit_code == 0
    assert served[1][0].redis == "redis://other"


@pytest.mark.parametrize("content", ["", "octopus-in-the-clear"])
def test_a_file_without_hashes_is_refused_even_on_loopback(served: list[Any], content: str, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(content, encoding="utf-8")
    result = run("serve", "--api-key-file", str(file))
    assert result.exit_code == 2
    assert "in-the-clear" not in result.output
    assert not served


def test_pages_and_host_names_are_handed_on(served: list[Any]) -> None:
    assert run("serve", "--origin", "https://studio.example", "--host-name", "box.local").exit_code == 0
    settings = served[0][0]
    assert settings.origins == ("https://studio.example",)
    assert settings.hosts[-1] == "box.local"
    assert "localhost" in settings.hosts


def test_the_openapi_document_is_printed_without_a_model(served: list[Any]) -> None:
    result = run("serve", "--print-openapi")
    assert result.exit_code == 0
    assert "/v1/chat/completions" in json.loads(result.stdout)["paths"]
    assert not served


def test_a_new_key_is_shown_once_and_its_hash_kept(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    first = json.loads(run("keys", "new", "--file", str(file), "--json").stdout)
    second = json.loads(run("keys", "new", "--file", str(file), "--json").stdout)
    assert file.read_text(encoding="utf-8").split() == [first["hash"], second["hash"]]
    assert file.stat().st_mode & 0o077 == 0
    assert first["key"] not in file.read_text(encoding="utf-8")
    assert "key " in run("keys", "new").stdout


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    result = run("keys", "new", "--file", str(tmp_path / "missing" / "keys"))
    assert result.exit_code == 2
    assert "--file" in result.output
