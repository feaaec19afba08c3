"""langchain-tests' integration suite for chat models, with ChatOpenAI on a loopback server as the experts.

Skipped by the suite's own switches: images, PDF and sound (5 tests; they fetch their files from the network, and what
a ChatOctopus does with images is tested beside) and `test_stream_time` (it replays recordings of a remote server).
"""

from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests
from pydantic import SecretStr

from octopus_graph.testing import scripted_router
from octopus_graph_integrations.chat_model import ChatOctopus

pytestmark = [
    pytest.mark.integration,
    # ChatOpenAI's own, with or without ChatOctopus: it dumps a parsed answer as another type, and says that a schema of
    # pydantic 1 goes as a tool
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning"),
    pytest.mark.filterwarnings("ignore:Received a Pydantic BaseModel V1 schema:UserWarning"),
]


class TestChatOctopus(ChatModelIntegrationTests):
    @pytest.fixture(autouse=True)
    def experts_at(self, chat_server: Any) -> None:
        self.url = chat_server.url

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatOctopus

    @property
    def chat_model_params(self) -> dict[str, Any]:
        experts = {
            name: ChatOpenAI(model=f"{name}-1", base_url=self.url, api_key=SecretStr("none"), stream_usage=True)
            for name in ("general", "math")
        }
        return {"router": scripted_router({"magic": "math"}), "experts": experts, "fallback": "general"}

    @property
    def standard_chat_model_params(self) -> dict[str, Any]:
        """Without timeout, retries and API key: each expert's model has its own."""
        return {"temperature": 0, "max_tokens": 100, "stop": []}

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str:
        return "another-1"

    @property
    def supports_anthropic_inputs(self) -> bool:
        return True
