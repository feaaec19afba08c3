"""ChatOpenAI against this server, under the tests LangChain has for every chat model.

Left out, as the suite itself does where a model says nothing else: pictures, audio and documents (the suite fetches
them from the network; tests of our own send a picture), Anthropic's own content blocks, and recordings of the network.
"""

from collections.abc import Generator
from typing import Any

import httpx
import pytest
from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests

pytestmark = [
    pytest.mark.integration,
    # Of the client alone: what it parsed does not fit the type it was declared with, and what it does with pydantic 1.
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning"),
    pytest.mark.filterwarnings("ignore:Received a Pydantic BaseModel V1 schema:UserWarning"),
]


class _Standard(ChatModelIntegrationTests):
    address = ""

    @pytest.fixture(autouse=True)
    def _address(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(type(self), "address", f"{url}/v1")

    @pytest.fixture
    def model(self, request: Any, _address: None) -> Generator[BaseChatModel]:
        """The model under test; its address is known once the server runs."""
        params = {**self.chat_model_params, **(getattr(request, "param", None) or {})}
        # Each async test has an event loop of its own, which no connection may outlive.
        alone = httpx.Limits(max_keepalive_connections=0)
        with httpx.Client() as client:
            asynchronous = httpx.AsyncClient(limits=alone)
            yield ChatOpenAI(http_client=client, http_async_client=asynchronous, **params)

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatOpenAI

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {
            "base_url": self.address,
            "api_key": "none",
            "model": "octopus",
            "max_retries": 0,
            "stream_usage": True,
        }

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_model_override(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str:
        return "math"


class TestRouted(_Standard):
    """Chat completions by the graph."""


class TestResponses(_Standard):
    """The Responses API by the graph."""

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {**super().chat_model_params, "use_responses_api": True}
