"""API keys: made, read, checked."""

import asyncio
from pathlib import Path

import pytest

from octopus_graph.errors import ConfigurationError
from octopus_graph_server import keys
from octopus_graph_server.keys import ApiKeys, new_key, read_file, read_hashes


def test_a_hash_does_not_hold_its_key() -> None:
    key, hashed = new_key()
    assert hashed.startswith("$argon2id$")
    assert key not in hashed
    assert len(key) >= 43


async def test_a_key_is_known_by_its_hash_and_no_other_is() -> None:
    (first, one), (second, two) = new_key(), new_key()
    known = ApiKeys([one, two])
    assert await known.accept(first)
    assert await known.accept(second)
    for wrong in ("", first[:-1], first + "x", new_key()[0], one, "x" * 10_000, "\ud800"):
        assert not await known.accept(wrong)


async def test_argon2_runs_once_for_each_key(monkeypatch: pytest.MonkeyPatch) -> None:
    key, hashed = new_key()
    checked: list[str] = []
    genuine = keys._matches
    monkeypatch.setattr(keys, "_matches", lambda known, given: checked.append(given) or genuine(known, given))
    known = ApiKeys([hashed])
    assert all(await asyncio.gather(*(known.accept(key) for _ in range(20))))
    assert not any(await asyncio.gather(*(known.accept("wrong") for _ in range(20))))
    assert sorted(checked) == [key, "wrong"]


async def test_wrong_keys_do_not_push_out_right_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "REMEMBERED", 3)
    key, hashed = new_key()
    checked: list[str] = []
    monkeypatch.setattr(keys, "_matches", lambda known, given: checked.append(given) or given == key)
    known = ApiKeys([hashed])
    await known.accept(key)
    for number in range(10):
        assert not await known.accept(f"wrong {number}")
    assert await known.accept(key)
    assert checked.count(key) == 1
    assert len(known._known) == 3


async def test_no_key_is_held_in_memory() -> None:
    key, hashed = new_key()
    known = ApiKeys([hashed])
    await known.accept(key)
    assert key.encode() not in repr(vars(known)).encode()


def test_a_file_may_hold_notes(tmp_path: Path) -> None:
    _, hashed = new_key()
    file = tmp_path / "keys"
    file.write_text(f"# the gateway's\n{hashed}\n\n", encoding="utf-8")
    assert read_file(file) == (hashed,)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no key"),
        ("# nothing\n", "holds no key"),
        ("octopus-secret-in-the-clear", "line 1: this is no argon2 hash"),
        ("\n$argon2id$broken", "line 2: this is no argon2 hash"),
    ],
)
def test_what_is_no_hash_is_refused_and_not_repeated(text: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as caught:
        read_hashes(text, "keys")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "keys"
    if content:
        file.write_bytes(content)
    with pytest.raises(ConfigurationError, match="'keys' cannot be read"):
        read_file(file)
