import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from octopus_graph import router, weights
from octopus_graph.cli import redis_ping
from octopus_graph.tokens import PAPER_EXPERTS

doctor = import_module("octopus_graph.cli.doctor")  # the package's own `doctor` is the command
Card = Callable[..., None]


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Card:
    """A machine with an empty cache, no redis and a router of the experts given; returns what changes the router."""
    folder = tmp_path / "router"
    folder.mkdir()
    monkeypatch.setattr(router, "SHIPPED", folder)
    monkeypatch.setattr(weights.hub, "infos", list)
    monkeypatch.setenv("OCTOPUS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(doctor.REDIS, raising=False)

    def write(base: str = weights.EMBEDDED, experts: tuple[str, ...] = PAPER_EXPERTS, made_for: str = "") -> None:
        (folder / "adapter_model.safetensors").touch()
        (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": made_for or base}))
        card = {"version": 1, "base": base, "format": "chatml", "experts": experts, "temperature": 1.0}
        (folder / "router.json").write_text(json.dumps(card))

    write()
    return write


@pytest.fixture
def checks(octopus: Any) -> Callable[[], dict[str, Any]]:
    """Looks, and returns each check by name."""

    def look() -> dict[str, Any]:
        result = octopus("doctor", "--json")
        found = json.loads(result.stdout)
        assert result.exit_code == (0 if found["runs"] else 1)
        assert found["runs"] is not any(check["state"] == "fail" for check in found["checks"])
        return {check["name"]: check for check in found["checks"]}

    return look


def test_a_whole_installation_is_able(octopus: Any, checks: Any) -> None:
    found = checks()

    assert found["default graph"] == {"name": "default graph", "state": "ok", "found": "17 experts", "remedy": ""}
    assert found["shipped router"]["state"] == "ok"
    assert found["base model"]["state"] == "note"
    assert found["base model"]["remedy"] == "octopus-graph models pull"
    assert {"core packages", "extra local", "extra redis", "extra server", "extra train"} <= set(found)
    assert octopus("doctor").stdout.endswith("The default graph can run.\n")


def test_a_router_that_is_missing_is_a_failure(octopus: Any, checks: Any, tmp_path: Path) -> None:
    (tmp_path / "router" / "router.json").unlink()

    assert checks()["shipped router"]["state"] == "fail"
    shown = octopus("doctor")
    assert shown.exit_code == 1
    assert "FAIL" in shown.stdout
    assert "train router" in shown.stdout


def test_a_router_that_does_not_fit_is_a_failure(checks: Any, machine: Card, tmp_path: Path) -> None:
    machine(base="org/other")
    assert checks()["shipped router"]["found"].startswith("made for the base org/other")

    machine(made_for="org/other")
    assert "its adapter is made for the base org/other" in checks()["shipped router"]["found"]

    machine(experts=PAPER_EXPERTS[:-1])
    assert checks()["shipped router"]["found"] == "does not know general"

    (tmp_path / "router" / "router.json").write_text("{")
    assert checks()["router"]["state"] == "fail"


def test_too_little_room_for_the_base_is_a_failure(checks: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "ROOM", 1e30)

    found = checks()["base model"]
    assert found["state"] == "fail"
    assert "OCTOPUS_CACHE" in found["remedy"]


def test_a_package_that_is_missing_is_named_with_its_extra(checks: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    version = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda name: None if name in {"torch", "redis"} else version(name))

    found = checks()
    assert found["extra local"]["state"] == "fail"
    assert "missing: torch" in found["extra local"]["found"]
    assert found["extra local"]["remedy"] == "pip install 'octopus-graph[local]'"
    assert found["extra redis"]["state"] == "note"


def test_a_package_of_another_version_is_named(checks: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    version = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda name: "0.0.1" if name == "langgraph" else version(name))

    found = checks()["core packages"]
    assert found["state"] == "fail"
    assert "langgraph<2,>=1.2 (is 0.0.1)" in found["found"]


def test_redis_is_asked_when_it_is_configured(checks: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert checks()["redis"]["found"].startswith("embedded, in ")

    monkeypatch.setenv(doctor.REDIS, "redis://:secret@host")
    monkeypatch.setattr(redis_ping, "ping", lambda url: ("host:6379", ""))
    assert checks()["redis"]["found"] == "host:6379 answers"

    monkeypatch.setattr(redis_ping, "ping", lambda url: ("host:6379", "Connection refused"))
    found = checks()["redis"]
    assert (found["state"], found["found"]) == ("note", "host:6379: Connection refused")
