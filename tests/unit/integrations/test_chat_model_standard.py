"""langchain-tests' unit suite for chat models.

Skipped: `test_init_from_env` (a ChatOctopus reads no environment variable; its experts' models do) and `test_serdes` (a
router is a model in memory, which no JSON holds).
"""

from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI
from langchain_tests.unit_tests import ChatModelUnitTests
from pydantic import SecretStr

from octopus_graph.testing import scripted_router
from octopus_graph_integrations.chat_model import ChatOctopus


class TestChatOctopus(ChatModelUnitTests):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatOctopus

    @property
    def chat_model_params(self) -> dict[str, Any]:
        experts = {name: ChatOpenAI(model=f"{name}-1", api_key=SecretStr("none")) for name in ("math", "general")}
        return {"router": scripted_router({}), "experts": experts}

    @property
    def standard_chat_model_params(self) -> dict[str, Any]:
        """Without timeout, retries and API key: each expert's model has its own."""
        return {"temperature": 0, "max_tokens": 100, "stop": []}
