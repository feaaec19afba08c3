import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from octopus_graph.errors import ModelNotFoundError, WeightsError
from octopus_graph.weights import EMBEDDED, cache_folder, list_models, resolve, verify
from octopus_graph.weights.store import check_folder, copy_state, publish

ORIGIN = {"package": "small==1"}
ROOT = Path(__file__).resolve().parents[2]
PAYLOAD = b"the model"


def fill(scratch: Path, filled: Path) -> None:
    (scratch / "source.gguf").write_bytes(b"source")
    (filled / "config.json").write_text("{}")
    (filled / "model.safetensors").write_bytes(safetensors(b"1234"))


def safetensors(data: bytes) -> bytes:
    header = json.dumps({"weight": {"dtype": "U8", "shape": [len(data)], "data_offsets": [0, len(data)]}}).encode()
    return len(header).to_bytes(8, "little") + header + data


def child(code: str, *arguments: object, **environment: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", code, *map(str, arguments)]
    path = {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, env=os.environ | path | environment, stdout=subprocess.PIPE, text=True)


def one_sentence(error: BaseException) -> bool:
    return "\n" not in str(error) and str(error).endswith(".")


# ---------------------------------------------------------------- where the copy is, and whether it is whole


def test_cache_folder_is_the_one_that_was_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OCTOPUS_CACHE", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"
    monkeypatch.delenv("OCTOPUS_CACHE")
    assert cache_folder().name == "octopus-graph"


def test_published_copy_is_ready_and_verified(tmp_path: Path) -> None:
    target = tmp_path / "models" / "small"
    assert copy_state(target, ORIGIN) == "missing"
    publish(target, ORIGIN, fill)
    assert copy_state(target, ORIGIN) == "ready"
    assert verify(target) == ["config.json", "model.safetensors"]
    assert not list(target.parent.glob(".small-*"))


def test_copy_of_another_origin_counts_as_broken(tmp_path: Path) -> None:
    publish(tmp_path / "small", ORIGIN, fill)
    assert copy_state(tmp_path / "small", {"package": "small==2"}) == "broken"


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "octopus.json").unlink(),
        lambda folder: (folder / "octopus.json").write_text("{"),
        lambda folder: (folder / "octopus.json").write_text('{"files": []}'),
        lambda folder: (folder / "model.safetensors").write_bytes(b"short"),
        lambda folder: (folder / "config.json").unlink(),
    ],
    ids=["no manifest", "half a manifest", "another manifest", "cut weights", "file gone"],
)
def test_damaged_copy_is_made_again(tmp_path: Path, damage) -> None:
    target = tmp_path / "small"
    publish(target, ORIGIN, fill)
    damage(target)
    assert copy_state(target, ORIGIN) == "broken"
    publish(target, ORIGIN, fill)
    assert verify(target) == ["config.json", "model.safetensors"]


def test_verify_finds_a_flipped_byte_that_a_look_at_the_size_does_not(tmp_path: Path) -> None:
    publish(tmp_path / "small", ORIGIN, fill)
    (tmp_path / "small" / "model.safetensors").write_bytes(safetensors(b"1235"))
    assert copy_state(tmp_path / "small", ORIGIN) == "ready"
    with pytest.raises(WeightsError, match=r"model\.safetensors is damaged") as caught:
        verify(tmp_path / "small")
    assert one_sentence(caught.value)


def test_failed_making_leaves_nothing_and_keeps_nothing(tmp_path: Path) -> None:
    def fail(scratch: Path, filled: Path) -> None:
        fill(scratch, filled)
        raise WeightsError("wrong")

    with pytest.raises(WeightsError, match="wrong"):
        publish(tmp_path / "small", ORIGIN, fail)
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".lock"] == []


KILLED = """
import sys, time
from pathlib import Path
from octopus_graph.weights.store import publish
def build(scratch, filled):
    (filled / "config.json").write_text("{}")
    (filled / "model.safetensors").write_bytes(b"half of it")
    print("half", flush=True)
    time.sleep(60)
publish(Path(sys.argv[1]), {"package": "small==1"}, build)
"""


@pytest.mark.skipif(os.name != "posix", reason="kills with SIGKILL")
def test_killed_making_is_not_taken_for_a_whole_one(tmp_path: Path) -> None:
    target = tmp_path / "small"
    with child(KILLED, target) as process:
        assert process.stdout
        assert process.stdout.readline() == "half\n"
        process.send_signal(signal.SIGKILL)
    assert copy_state(target, ORIGIN) == "missing"
    assert list(tmp_path.glob(".small-*")), "the dead run left its folder"
    publish(target, ORIGIN, fill)
    assert copy_state(target, ORIGIN) == "ready"
    assert not list(tmp_path.glob(".small-*"))


CONCURRENT = """
import os, sys, time
from pathlib import Path
from octopus_graph.weights.store import publish
def build(scratch, filled):
    with Path(sys.argv[2]).open("a") as log:
        log.write(f"{os.getpid()}\\n")
    time.sleep(0.5)
    (filled / "config.json").write_text("{}")
publish(Path(sys.argv[1]), {"package": "small==1"}, build)
"""


def test_concurrent_processes_make_one_copy(tmp_path: Path) -> None:
    processes = [child(CONCURRENT, tmp_path / "small", tmp_path / "log") for _ in range(4)]
    for process in processes:
        process.communicate()
    assert [process.returncode for process in processes] == [0, 0, 0, 0]
    assert len((tmp_path / "log").read_text().splitlines()) == 1
    assert copy_state(tmp_path / "small", ORIGIN) == "ready"


# ---------------------------------------------------------------- resolve


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OCTOPUS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_embedded_model_offline_names_the_ways_out(empty_cache: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=f"{EMBEDDED} is not here yet.*OCTOPUS_MODEL") as caught:
        resolve(EMBEDDED, offline=True)
    assert one_sentence(caught.value)
    assert not empty_cache.exists()


def test_unusable_cache_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("OCTOPUS_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    with pytest.raises(WeightsError, match="OCTOPUS_CACHE") as caught:
        resolve(EMBEDDED)
    assert one_sentence(caught.value)


def test_embedded_model_is_listed_when_missing(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = list_models()[0]
    assert (first.name, first.state, first.size, first.licence) == (EMBEDDED, "missing", 0, "Apache-2.0")
    first.path.mkdir(parents=True)
    assert list_models()[0].state == "broken"


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "nonsense",
        "a b/c",
        "../nowhere",
        "/no/such/folder",
        "a/b/c",
        "~nobody/x",
        "x" * 9000,
        "a\0b",
        "org/na\nme",
    ],
)
def test_nonsense_is_refused_in_one_sentence(name: str) -> None:
    with pytest.raises(ModelNotFoundError, match="There is no model") as caught:
        resolve(name)
    assert one_sentence(caught.value)
    assert len(str(caught.value)) < 400


def test_local_folder_is_itself(tmp_path: Path) -> None:
    fill(tmp_path, tmp_path)
    assert resolve(str(tmp_path)) == tmp_path
    assert verify(tmp_path) == []


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({}, "no config.json"),
        ({"config.json": b"{}"}, r"no \*\.safetensors"),
        ({"config.json": b"{}", "pytorch_model.bin": b"pickle"}, "pickle"),
        ({"config.json": b"{}", "model.safetensors": b"version https://git-lfs.github.com/spec/v1\n"}, "cut short"),
        ({"config.json": b"{}", "model.safetensors": safetensors(b"1234")[:-1]}, "cut short"),
        ({"config.json": b"{}", "model.safetensors": b""}, "cut short"),
        (
            {
                "config.json": b"{}",
                "model-1.safetensors": safetensors(b"1"),
                "model.safetensors.index.json": b'{"weight_map": {"b": "model-2.safetensors"}}',
            },
            r"model-2\.safetensors is missing",
        ),
        (
            {"config.json": b"{}", "m.safetensors": safetensors(b"1"), "model.safetensors.index.json": b"[]"},
            "index.json cannot be read",
        ),
    ],
    ids=["empty", "no weights", "pickle only", "git-lfs pointer", "cut", "zero bytes", "shard missing", "bad index"],
)
def test_unusable_folder_is_refused(tmp_path: Path, files: dict[str, bytes], reason: str) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=reason) as caught:
        resolve(str(tmp_path))
    assert one_sentence(caught.value)


@pytest.mark.skipif(os.name != "posix", reason="the hub's cache links its files")
def test_hub_snapshot_is_verified_by_the_names_of_its_blobs(tmp_path: Path) -> None:
    snapshot, blobs = tmp_path / "snapshots" / "c0ffee", tmp_path / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    weights = safetensors(b"1234")
    for name, blob, content in (
        ("config.json", "9e26dfeeb6e641a33dae4961196235bdb965b21b", b"{}"),  # git hash-object
        ("model.safetensors", hashlib.sha256(weights).hexdigest(), weights),
    ):
        (blobs / blob).write_bytes(content)
        (snapshot / name).symlink_to(blobs / blob)
    assert verify(snapshot) == ["config.json", "model.safetensors"]
    (snapshot / "config.json").resolve().write_bytes(b"[]")
    check_folder(snapshot)
    with pytest.raises(WeightsError, match=r"config\.json is damaged"):
        verify(snapshot)


def test_import_loads_neither_torch_nor_the_hub() -> None:
    code = "import sys, octopus_graph.weights; print({'torch', 'transformers', 'huggingface_hub'} & set(sys.modules))"
    with child(code) as process:
        assert process.communicate()[0].strip() == "set()"
