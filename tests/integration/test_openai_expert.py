"""An expert behind OpenAI's chat completions: a real server on loopback, its failures and its keys."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from octopus_graph import effects
from octopus_graph.engines.chat import openai_compatible_chat
from octopus_graph.errors import ExpertError
from octopus_graph.experts import Expert

pytestmark = pytest.mark.integration

WORDS = ["The ", "answer ", "is ", "12."]


class Server(ThreadingHTTPServer):
    """Speaks chat completions; answers with the statuses of `failures` first."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Completions)
        self.failures: list[int] = []
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.accounts: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class Completions(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append(body)
        self.server.keys.append(self.headers["Authorization"])
        self.server.accounts += [self.headers["OpenAI-Organization"], self.headers["OpenAI-Project"]]
        if self.headers["Authorization"] != "Bearer right":
            self._send(401, {"error": {"message": "Incorrect API key provided", "code": "invalid_api_key"}})
        elif self.server.failures:
            self._send(self.server.failures.pop(0), {"error": {"message": "out of breath"}})
        elif self.path != "/v1/chat/completions":
            self._send(404, {"error": {"message": f"no {self.path}"}})
        elif body.get("stream"):
            self._stream()
        else:
            message = {"role": "assistant", "content": "".join(WORDS)}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            self._send(200, self._frame("chat.completion", choice))

    def log_message(self, *_: Any) -> None:
        """Says nothing: the tests read what was asked."""

    def _frame(self, kind: str, choice: dict[str, Any]) -> dict[str, Any]:
        return {"id": "1", "object": kind, "created": 1, "model": "tiny", "choices": [choice]}

    def _send(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for word in [*WORDS, None]:
            delta = {} if word is None else {"role": "assistant", "content": word}
            choice = {"index": 0, "delta": delta, "finish_reason": "stop" if word is None else None}
            self.wfile.write(f"data: {json.dumps(self._frame('chat.completion.chunk', choice))}\n\n".encode())
        self.wfile.write(b"data: [DONE]\n\n")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "somebody-elses")
    monkeypatch.setenv("OPENAI_ORG_ID", "somebody-elses")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "somebody-elses")
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def expert(server: Server, key: str | None = "right", **settings: Any) -> Expert:
    model = openai_compatible_chat(server.url, "tiny", key, timeout=10)
    return Expert("math", "Mathematics", model, system_prompt="You are a tutor.", **settings)


def test_it_answers_with_its_system_prompt_in_view(server: Server) -> None:
    assert effects.run(expert(server).ask("What is 3 * 4?")).text == "The answer is 12."
    (request,) = server.requests
    assert request["model"] == "tiny"
    assert [(message["role"], message["content"]) for message in request["messages"]] == [
        ("system", "You are a tutor."),
        ("user", "What is 3 * 4?"),
    ]


async def test_it_answers_async(server: Server) -> None:
    assert (await effects.arun(expert(server).ask("What is 3 * 4?"))).text == "The answer is 12."


async def test_it_streams_word_by_word(server: Server) -> None:
    model = openai_compatible_chat(server.url, "tiny", "right")
    assert [chunk.text for chunk in model.stream("What is 3 * 4?") if chunk.text] == WORDS
    assert [chunk.text async for chunk in model.astream("What is 3 * 4?") if chunk.text] == WORDS


def test_a_server_out_of_breath_is_asked_again_by_the_expert(server: Server) -> None:
    server.failures = [500]
    assert effects.run(expert(server, retries=1).ask("What is 3 * 4?")).text == "The answer is 12."
    assert len(server.requests) == 2


def test_the_client_does_not_retry_behind_the_experts_back(server: Server) -> None:
    server.failures = [500, 500, 500]
    with pytest.raises(ExpertError, match="out of breath"):
        effects.run(expert(server).ask("What is 3 * 4?"))
    assert len(server.requests) == 1


def test_a_wrong_key_is_said_and_never_repeated(server: Server) -> None:
    with pytest.raises(ExpertError, match="Incorrect API key provided") as error:
        effects.run(expert(server, "wrong-key").ask("What is 3 * 4?"))
    assert "wrong-key" not in str(error.value)


def test_nothing_the_environment_holds_for_openai_is_sent_there(server: Server) -> None:
    with pytest.raises(ExpertError):
        effects.run(expert(server, None).ask("What is 3 * 4?"))
    assert server.keys == ["Bearer none"]
    assert server.accounts == [None, None]


def test_nobody_at_the_address_is_an_experts_error(server: Server) -> None:
    model = openai_compatible_chat("http://127.0.0.1:1/v1", "tiny", timeout=5)
    with pytest.raises(ExpertError, match="math"):
        effects.run(Expert("math", "Mathematics", model).ask("What is 3 * 4?"))
