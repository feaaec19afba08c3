"""A server that speaks OpenAI's chat completions and does what it is told by the schemas it is sent.

It is no language model: it fills a tool's arguments or a response format from the words of the request, the first
number where a number is asked for. What is under test is how ChatOctopus hands requests over and answers back; for that
the other side has to follow the protocol to the letter, and to be the same each time.
"""

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

TEXT = "Cats sleep for most of the day."
QUOTED = re.compile(r"'([^']+)'")


class ChatServer(ThreadingHTTPServer):
    """Answers chat completions, and keeps what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Completions)
        self.requests: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


@pytest.fixture(scope="module")
def chat_server() -> Iterator[ChatServer]:
    with pytest.MonkeyPatch.context() as patch, ChatServer() as server:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            patch.delenv(name, raising=False)
            patch.delenv(name.lower(), raising=False)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class _Completions(BaseHTTPRequestHandler):
    server: ChatServer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append(body)
        message = _answer(body)
        if body.get("stream"):
            self._stream(body, message)
        else:
            finish = "tool_calls" if message.get("tool_calls") else "stop"
            frame = _frame(body, "chat.completion", {"message": message, "finish_reason": finish})
            data = json.dumps({**frame, "usage": _usage(body, message)}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Says nothing."""

    def _stream(self, body: dict[str, Any], message: dict[str, Any]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        frames = [{"delta": delta, "finish_reason": None} for delta in _deltas(message)]
        frames.append({"delta": {}, "finish_reason": "tool_calls" if message.get("tool_calls") else "stop"})
        sent = [_frame(body, "chat.completion.chunk", frame) for frame in frames]
        if body.get("stream_options", {}).get("include_usage"):
            sent.append({**_frame(body, "chat.completion.chunk", None), "usage": _usage(body, message)})
        for frame in sent:
            self.wfile.write(f"data: {json.dumps(frame)}\n\n".encode())
            self.wfile.flush()
        self.wfile.write(b"data: [DONE]\n\n")


def _answer(body: dict[str, Any]) -> dict[str, Any]:
    said = _last_words(body)
    if (choice := body.get("tool_choice")) != "none" and (tool := _tool(body, said, choice)):
        call = {"name": tool["name"], "arguments": json.dumps(_filled(tool.get("parameters", {}), said))}
        calls = [{"id": f"call_{len(body['messages'])}", "type": "function", "function": call}]
        return {"role": "assistant", "content": None, "tool_calls": calls}
    form = body.get("response_format", {})
    if form.get("type") == "json_schema":
        return {"role": "assistant", "content": json.dumps(_filled(form["json_schema"]["schema"], said))}
    if form.get("type") == "json_object":
        keys = [key for key in QUOTED.findall(said) if key.isidentifier()]
        return {"role": "assistant", "content": json.dumps(dict.fromkeys(keys, TEXT))}
    stops = body.get("stop") or []
    text = re.split("|".join(map(re.escape, stops)), TEXT)[0] if stops else TEXT
    return {"role": "assistant", "content": text}


def _tool(body: dict[str, Any], said: str, choice: Any) -> dict[str, Any] | None:
    """A tool that must be called, or one the user's last message is about; none after a tool has answered."""
    tools = [tool["function"] for tool in body.get("tools", [])]
    if isinstance(choice, dict):
        return next(tool for tool in tools if tool["name"] == choice["function"]["name"])
    if choice == "required":
        return tools[0]
    if body["messages"][-1]["role"] != "user":
        return None
    words = set(re.findall(r"\w+", said.lower().replace("_", " ")))
    about = [tool for tool in tools if words & set(re.findall(r"[a-z]{4,}", tool["name"].lower().replace("_", " ")))]
    return about[0] if about else None


def _filled(schema: dict[str, Any], said: str) -> Any:
    kinds = [option.get("type") for option in [schema, *schema.get("anyOf", [])]]
    if "object" in kinds or "properties" in schema:
        return {name: _filled(field, said) for name, field in schema.get("properties", {}).items()}
    if "integer" in kinds or "number" in kinds:
        found = re.search(r"\d+", said)
        return int(found[0]) if found else 1
    quoted = QUOTED.search(said)
    return quoted[1] if quoted else said


def _last_words(body: dict[str, Any]) -> str:
    content = next((message["content"] for message in reversed(body["messages"]) if message["role"] == "user"), "")
    if isinstance(content, str):
        return content
    return " ".join(part.get("text", "") for part in content)


def _deltas(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield {"role": "assistant", "content": "" if message.get("content") is None else None}
    for piece in re.findall(r"\S+\s*", message.get("content") or ""):
        yield {"content": piece}
    for call in message.get("tool_calls", []):
        function = call["function"]
        yield {"tool_calls": [{**call, "index": 0, "function": {"name": function["name"], "arguments": ""}}]}
        for piece in re.findall(r".{1,8}", function["arguments"]):
            yield {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}


def _frame(body: dict[str, Any], kind: str, choice: dict[str, Any] | None) -> dict[str, Any]:
    choices = [] if choice is None else [{"index": 0, **choice}]
    return {"id": "chatcmpl-1", "object": kind, "created": 1, "model": body["model"], "choices": choices}


def _usage(body: dict[str, Any], message: dict[str, Any]) -> dict[str, int]:
    asked, answered = (len(json.dumps(part).split()) for part in (body["messages"], message))
    return {"prompt_tokens": asked, "completion_tokens": answered, "total_tokens": asked + answered}
