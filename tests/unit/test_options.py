"""Options of a run: set where a model has such a setting, refused where they shape the answer and it cannot."""

from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel, FakeListChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable, RunnableLambda
from langchain_openai import ChatOpenAI

from octopus_graph import effects
from octopus_graph.errors import InputError
from octopus_graph.experts import Expert
from octopus_graph.options import ModelOptions, chat_model_of, options_of, with_options

TOOL: dict[str, Any] = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
FORM: dict[str, Any] = {"type": "json_object"}


class Recording(BaseChatModel):
    """Answers with the settings it was called with."""

    temperature: float = 1.0
    max_new_tokens: int = 100

    @property
    def _llm_type(self) -> str:
        return "recording"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Runnable[Any, AIMessage]:
        return self.bind(tools=tools, **kwargs)

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        said = f"{self.temperature:g} {self.max_new_tokens} {stop} {sorted(kwargs)}"
        return ChatResult(generations=[ChatGeneration(message=AIMessage(said))])


def answer(runnable: Any, options: ModelOptions | None) -> str:
    config = with_options({}, options)
    return effects.run(Expert("math", "Knows math", runnable).ask("hello", config=config)).text


def test_what_a_model_has_a_setting_for_is_set_and_the_rest_is_left() -> None:
    model = Recording()
    options = ModelOptions(temperature=0.5, max_tokens=7, seed=3, top_p=0.5, stop=["X"])
    assert answer(model, options) == "0.5 7 ['X'] []"
    assert answer(model, None) == "1 100 None []"


def test_the_limit_of_a_model_in_this_process_holds() -> None:
    assert answer(Recording(), ModelOptions(max_tokens=5000)) == "1 100 None []"


def test_tools_are_bound_with_their_choice() -> None:
    options = ModelOptions(tools=[TOOL], tool_choice="required", parallel_tool_calls=False)
    assert answer(Recording(), options) == "1 100 None ['parallel_tool_calls', 'tool_choice', 'tools']"


def test_a_model_behind_a_binding_is_found() -> None:
    bound = Recording().bind(x=1)
    assert isinstance(chat_model_of(bound), Recording)
    assert answer(bound, ModelOptions(temperature=0)).startswith("0 100")


def test_the_openai_family_takes_a_form() -> None:
    model = ChatOpenAI(model="m", api_key="none")  # pyright: ignore[reportArgumentType]
    bound: Any = ModelOptions(response_format=FORM, max_tokens=5).on(model, "math")
    assert bound.kwargs == {"response_format": FORM}
    assert bound.bound.max_tokens == 5


@pytest.mark.parametrize("options", [ModelOptions(tools=[TOOL]), ModelOptions(response_format=FORM)])
@pytest.mark.parametrize("runnable", [str.upper, RunnableLambda(str.upper), FakeListChatModel(responses=["x"])])
def test_what_cannot_be_done_is_refused(runnable: Any, options: ModelOptions) -> None:
    with pytest.raises(InputError, match="'math'"):
        answer(runnable, options)


def test_what_only_tunes_is_ignored_by_what_is_no_model() -> None:
    assert answer(str.upper, ModelOptions(temperature=0)) == "HELLO"


def test_options_are_an_object_that_no_client_can_send() -> None:
    assert options_of({"configurable": {"octopus_model_options": {"tools": [TOOL]}}}) is None
    assert options_of(None) is None
