import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from octopus_graph.errors import WeightsError
from octopus_graph.weights import EMBEDDED, list_models, pull, resolve, verify

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
NO_NETWORK = {
    "PIP_CONFIG_FILE": os.devnull,
    "PIP_FIND_LINKS": "",
    "PIP_NO_INDEX": "1",
    "HTTP_PROXY": "http://127.0.0.1:9",
    "HTTPS_PROXY": "http://127.0.0.1:9",
}

# The weights as gguf's own dequantisation gives them, rounded to bf16: adapters are trained for exactly these.
BITS = "d91ff134dbe0551e9a228de94c80368415893067d6e20d173495c20b0365e888"

RESOLVE = """
import json, sys, time
from octopus_graph.errors import OctopusError
from octopus_graph.weights import resolve
start = time.perf_counter()
try:
    answer = str(resolve(sys.argv[1], revision=sys.argv[2] if sys.argv[2:] else None))
except OctopusError as error:
    answer = f"{type(error).__name__}: {error}"
print(json.dumps([answer, time.perf_counter() - start, "torch" in sys.modules]))
"""


def start(*arguments: str, **environment: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", RESOLVE, *arguments]
    env = os.environ | {"PYTHONPATH": str(ROOT)} | environment
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=env, stdout=pipe, stderr=pipe, text=True, start_new_session=True)


def outcome(process: "subprocess.Popen[str]") -> tuple[str, float, bool]:
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert err == "", "nothing is shown where stderr is not a terminal"
    answer, seconds, torch_loaded = json.loads(out)
    return answer, seconds, torch_loaded


# ---------------------------------------------------------------- the embedded model, from the real wheel


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache in which one process was killed while it converted and two more then wanted the model at once."""
    folder = tmp_path_factory.mktemp("cache")
    killed = start(EMBEDDED, OCTOPUS_CACHE=str(folder))
    while killed.poll() is None and not list(folder.glob("models/.*/convert.log")):
        time.sleep(0.05)
    assert killed.poll() is None, killed.communicate()
    os.killpg(killed.pid, signal.SIGKILL)  # it leads a session of its own: it and its converter, nothing else
    killed.communicate()
    assert not (folder / "models" / EMBEDDED).exists()
    both = [start(EMBEDDED, OCTOPUS_CACHE=str(folder)) for _ in range(2)]
    assert [outcome(process)[0] for process in both] == [str(folder / "models" / EMBEDDED)] * 2
    return folder


@pytest.fixture
def model(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OCTOPUS_CACHE", str(cache))
    return cache / "models" / EMBEDDED


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_copy_is_whole_and_the_only_thing_left(model: Path) -> None:
    files = {file.name for file in model.iterdir()}
    assert {"config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors", "octopus.json"} <= files
    assert set(verify(model)) == files - {"octopus.json"}
    assert 268e6 < (model / "model.safetensors").stat().st_size < 270e6
    assert [path.name for path in model.parent.iterdir() if path.suffix != ".lock"] == [EMBEDDED]
    info = list_models()[0]
    assert (info.name, info.path, info.state, info.licence) == (EMBEDDED, model, "ready", "Apache-2.0")


@pytest.mark.slow
def test_second_resolve_is_instant_and_needs_no_network(model: Path) -> None:
    answer, seconds, torch_loaded = outcome(start(EMBEDDED, **NO_NETWORK))
    assert answer == str(model)
    assert seconds < 0.2
    assert not torch_loaded


@pytest.mark.slow
def test_copy_speaks(model: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(model)
    assert (tokenizer.bos_token, tokenizer.bos_token_id) == ("<|im_start|>", 1)
    assert (tokenizer.eos_token_id, tokenizer.pad_token_id) == (2, 2)
    lm: Any = AutoModelForCausalLM.from_pretrained(model)
    assert lm.dtype == torch.bfloat16
    assert lm.get_input_embeddings().weight.data_ptr() == lm.get_output_embeddings().weight.data_ptr()
    bits = hashlib.sha256()
    for name, tensor in sorted(lm.state_dict().items()):
        bits.update(name.encode() + tensor.contiguous().view(torch.uint8).numpy().tobytes())
    assert bits.hexdigest() == BITS
    prompt = tokenizer("The capital of France is", return_tensors="pt")
    assert "Paris" in tokenizer.decode(lm.generate(**prompt, max_new_tokens=4, do_sample=False)[0])


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_damage_is_found_by_reading_and_mended_by_pull(model: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with (model / "model.safetensors").open("r+b") as file:
        file.seek(-100, os.SEEK_END)
        byte = file.read(1)[0]
        file.seek(-100, os.SEEK_END)
        file.write(bytes([byte ^ 1]))
    assert resolve(EMBEDDED) == model, "a start looks at sizes alone"
    with pytest.raises(WeightsError, match=r"model\.safetensors is damaged"):
        verify(model)
    assert pull(EMBEDDED) == model
    assert "model.safetensors" in verify(model)
    out, err = capfd.readouterr()
    assert out == ""
    assert "Downloading" in err
    assert "Converting" in err


# ---------------------------------------------------------------- hub models, through the real client and a small hub

COMMIT = "c0ffee" + "0" * 34


def safetensors() -> bytes:
    header = json.dumps({"weight": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}}).encode()
    return len(header).to_bytes(8, "little") + header + b"1234"


REPOS = {
    "org/good": {
        "config.json": b'{"architectures": ["LlamaForCausalLM"]}',
        "tokenizer.json": b"{}",
        "model.safetensors": safetensors(),
        "pytorch_model.bin": b"pickle",
        "modeling_evil.py": b"code",
        "onnx/config.json": b"{}",
    },
    "org/pickle": {"config.json": b"{}", "pytorch_model.bin": b"pickle"},
}


class Hub(BaseHTTPRequestHandler):
    """As much of the hub's protocol as its client asks for."""

    server: "HubServer"

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, *, body: bool) -> None:
        self.server.requests.append(self.path)
        parts = self.path.split("?")[0].strip("/").split("/")
        listing = parts[0] == "api"
        files = REPOS.get("/".join(parts[2:4] if listing else parts[:2]))
        if self.server.failures:
            self.server.failures -= 1
            return self.send(503, b"", {}, body=body)
        if files is None:
            return self.send(404, b"", {"X-Error-Code": "RepoNotFound"}, body=body)
        if listing:
            if parts[4:6] == ["revision", "nowhere"]:
                return self.send(404, b"", {"X-Error-Code": "RevisionNotFound"}, body=body)
            tree = [entry(name, content) for name, content in files.items()]
            described = {"id": "/".join(parts[2:4]), "sha": COMMIT, "siblings": [{"rfilename": name} for name in files]}
            return self.send(200, json.dumps(tree if "tree" in parts else described).encode(), {}, body=body)
        content = files["/".join(parts[4:])]
        return self.send(200, content, {"ETag": f'"{blob(content)}"', "X-Repo-Commit": COMMIT}, body=body)

    def send(self, status: int, content: bytes, headers: dict[str, str], *, body: bool) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        pass


class HubServer(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Hub)
        self.requests: list[str] = []
        self.failures = 0


def blob(content: bytes) -> str:
    """Small files go by git's object id, weights by their sha256."""
    if content == safetensors():
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def entry(name: str, content: bytes) -> dict[str, object]:
    described: dict[str, object] = {"type": "file", "path": name, "size": len(content), "oid": "0" * 40}
    if content == safetensors():
        described["lfs"] = {"oid": blob(content), "size": len(content), "pointerSize": 100}
    return described


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def ask(hub: HubServer, tmp_path: Path, *model: str, **environment: str) -> str:
    """Resolves in a process of its own: the hub's client reads its settings once, when it is imported."""
    endpoint = f"http://127.0.0.1:{hub.server_address[1]}"
    settings = {
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_OFFLINE": "0",
        "NO_PROXY": "127.0.0.1",
    }
    process = start(*model, **(settings | environment))
    return outcome(process)[0]


def test_hub_model_comes_without_pickles_or_code_and_stays(hub: HubServer, tmp_path: Path) -> None:
    folder = Path(ask(hub, tmp_path, "org/good"))
    assert {file.name for file in folder.iterdir()} == {"config.json", "tokenizer.json", "model.safetensors"}
    assert verify(folder) == ["config.json", "model.safetensors", "tokenizer.json"]
    asked = len(hub.requests)
    assert ask(hub, tmp_path, "org/good") == str(folder)
    assert len(hub.requests) == asked, "a model that is here asks nobody"
    assert ask(hub, tmp_path, "org/good", HF_HUB_OFFLINE="1", **NO_NETWORK) == str(folder)


def test_busy_hub_is_asked_again(hub: HubServer, tmp_path: Path) -> None:
    hub.failures = 1
    assert Path(ask(hub, tmp_path, "org/good"), "config.json").is_file()


def test_interrupted_snapshot_is_completed(hub: HubServer, tmp_path: Path) -> None:
    folder = Path(ask(hub, tmp_path, "org/good"))
    (folder / "tokenizer.json").unlink()
    assert ask(hub, tmp_path, "org/good", HF_HUB_OFFLINE="1").startswith("ModelNotFoundError: ")
    assert ask(hub, tmp_path, "org/good") == str(folder)
    assert (folder / "tokenizer.json").is_file()


@pytest.mark.parametrize(
    ("model", "error", "says"),
    [
        (["org/absent"], "ModelNotFoundError", "The hub has no model org/absent"),
        (["org/good", "nowhere"], "ModelNotFoundError", "The model org/good has no revision 'nowhere'"),
        (["org/pickle"], "WeightsError", "no safetensors"),
        (["a--b/c"], "ModelNotFoundError", "looks like org/name"),
    ],
)
def test_hub_model_that_cannot_be_had(hub: HubServer, tmp_path: Path, model: list[str], error: str, says: str) -> None:
    answer = ask(hub, tmp_path, *model)
    assert answer.startswith(f"{error}: ")
    assert says in answer
    assert "\n" not in answer


def test_unreachable_hub_names_the_model_and_the_ways_out(hub: HubServer, tmp_path: Path) -> None:
    answer = ask(hub, tmp_path, "org/good", HF_ENDPOINT="http://127.0.0.1:9")
    assert answer.startswith(
        "ModelNotFoundError: The model org/good is not here in whole and the hub cannot be reached"
    )
    assert "octopus-graph models pull org/good" in answer
    assert "OCTOPUS_MODEL" in answer
