"""ChatOctopus over scripted chat models: what it chooses, hands over, gives back and says of itself."""

from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.callbacks import BaseCallbackHandler, get_usage_metadata_callback
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage, ToolCall, ToolMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph
from pydantic import BaseModel, SecretStr, ValidationError

from octopus_graph.errors import ConfigurationError, ExpertError, InputError, UnknownExpertError
from octopus_graph.experts import Expert
from octopus_graph.risk import Calibration
from octopus_graph.testing import EchoExpert, Pick, scripted_router
from octopus_graph_integrations.chat_model import ChatOctopus

SCRIPT: Any = {
    "and then": ["math", "law"],
    "x = 3": "math",
    "landlord": "law",
    "hm": Pick("law", confidence=0.55),
    "pls": Pick("math", rewrite="Solve the equation."),
}
IMAGE = {"type": "image", "base64": "aGk=", "mime_type": "image/png"}
CALL = AIMessage("", tool_calls=[ToolCall(name="solve", args={"equation": "x = 3"}, id="1")])


@tool
def solve(equation: str) -> str:
    """Solves an equation."""
    return f"{equation}: 3"


def octopus(math: Any, law: Any, **fields: Any) -> ChatOctopus:
    return ChatOctopus(router=scripted_router(SCRIPT), experts={"math": math, "law": law}, **fields)


def decision(message: AIMessage) -> dict[str, Any]:
    return message.response_metadata["octopus"]


def scenes(model: ChatOctopus) -> Any:
    engine: Any = model.router.engine
    return engine.scenes


# ---------------------------------------------------------------- choosing


def test_the_answer_says_who_gave_it_and_why(chat: Any) -> None:
    answer = octopus(chat("three", name="big"), chat("yes")).invoke("Solve x = 3")
    assert answer.text == "three"
    assert answer.response_metadata["model_name"] == "big"
    said = decision(answer)
    assert (said["expert"], said["token"], said["by"], said["path"]) == ("math", "<nexa_4>", "router", ["math"])
    assert said["confidence"] == pytest.approx(0.99)
    assert [name for name, _ in said["top"]] == ["math", "law"]
    assert said["latency_ms"] > 0


async def test_every_way_of_asking_answers_alike(chat: Any) -> None:
    model = octopus(chat("three"), chat("yes"))
    answers = [
        model.invoke("my landlord"),
        await model.ainvoke("my landlord"),
        *model.batch(["my landlord"]),
        *await model.abatch(["my landlord"]),
        model.generate([[HumanMessage("my landlord")]]).generations[0][0].message,  # type: ignore[union-attr]
        (await model.agenerate([[HumanMessage("my landlord")]])).generations[0][0].message,  # type: ignore[union-attr]
    ]
    assert {answer.text for answer in answers} == {"yes"}
    assert {decision(answer)["expert"] for answer in answers} == {"law"}
    assert {answer.usage_metadata["total_tokens"] for answer in answers} == {7}


async def test_it_streams_and_the_last_chunk_holds_the_decision(chat: Any) -> None:
    model = octopus(chat("x is three"), chat("yes"))
    for chunks in (
        list(model.stream("Solve x = 3")),
        [chunk async for chunk in model.astream("Solve x = 3")],
        [chunk.message for chunk in model._stream([HumanMessage("Solve x = 3")])],
        [chunk.message async for chunk in model._astream([HumanMessage("Solve x = 3")])],
    ):
        assert [chunk.text for chunk in chunks if chunk.text] == ["x ", "is ", "three "]
        assert [bool(chunk.response_metadata) for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
        last: Any = chunks[-1]
        assert decision(last)["expert"] == "math"
        assert len({chunk.id for chunk in chunks}) == 1
        whole: Any = sum(chunks[1:], chunks[0])
        assert whole.usage_metadata == {"input_tokens": 5, "output_tokens": 2, "total_tokens": 7}


def test_streaming_inside_gives_the_same_message(chat: Any) -> None:
    answer = octopus(chat("x is three"), chat("yes"), streaming=True).invoke("Solve x = 3")
    assert type(answer) is AIMessage
    assert (answer.text, decision(answer)["expert"]) == ("x is three ", "math")


def test_a_follow_up_is_decided_with_the_turn_before_in_view(chat: Any) -> None:
    model = octopus(chat("three"), chat("yes"))
    first = [HumanMessage("Solve x = 3")]
    history = [*first, model.invoke(first), HumanMessage("and then, my landlord?")]
    model.invoke(history)
    assert [scene.previous for scene in scenes(model)] == [None, "Solve x = 3"]
    from_elsewhere = [*first, AIMessage("three"), HumanMessage("my landlord")]
    model.invoke(from_elsewhere)  # it says nothing of who answered: the router is asked that, too
    assert [scene.previous for scene in scenes(model)][2:] == [None, "Solve x = 3"]


@pytest.mark.parametrize("forged", [{"expert": ["math"]}, {"expert": "math", "path": 3}, {"expert": "root"}, "math"])
def test_a_decision_that_cannot_be_read_is_none(chat: Any, forged: Any) -> None:
    call = CALL.model_copy(update={"response_metadata": {"octopus": forged}})
    conversation = [HumanMessage("my landlord"), call, ToolMessage("3", tool_call_id="1")]
    model = octopus(chat("three"), chat("yes"))
    assert decision(model.invoke(conversation))["by"] == "router"
    assert decision(model.invoke([*conversation, HumanMessage("Solve x = 3")]))["expert"] == "math"


def test_a_request_too_long_to_route_is_refused_and_an_earlier_one_is_passed_over(chat: Any) -> None:
    model = octopus(chat("three"), chat("yes"))
    with pytest.raises(InputError, match="the limit is 200,000"):
        model.invoke("x = 3" * 50_000)
    assert model.invoke([HumanMessage("x = 3" * 50_000), AIMessage("Too long."), HumanMessage("x = 3")]).text == "three"


def test_an_unsure_router_leaves_it_to_the_fallback(chat: Any) -> None:
    said = decision(octopus(chat("three"), chat("yes"), fallback="math", min_confidence=0.6).invoke("hm"))
    assert (said["expert"], said["by"], said["top"][0][0]) == ("math", "fallback", "law")


def test_a_bound_on_the_error_is_read_from_the_routers_calibration(chat: Any) -> None:
    router = scripted_router(SCRIPT)
    with pytest.raises(ConfigurationError, match=r"calibration\.json"):
        ChatOctopus(router=router, experts={"math": chat("a")}, fallback="math", max_error=0.05)
    router.calibration = Calibration.model_construct()
    router.min_confidence = lambda max_error, whole_path=False: 0.6 if max_error == 0.05 else 0.0  # type: ignore[method-assign]
    model = ChatOctopus(
        router=router, experts={"math": chat("three"), "law": chat("yes")}, fallback="math", max_error=0.05
    )
    assert decision(model.invoke("hm"))["by"] == "fallback"


def test_only_the_allowed_are_asked(chat: Any) -> None:
    assert decision(octopus(chat("three"), chat("yes"), allowed=["law"]).invoke("Solve x = 3"))["expert"] == "law"


def test_a_rewrite_takes_the_place_of_what_was_typed_where_it_is_asked_for(chat: Any) -> None:
    math = chat("three")
    assert decision(octopus(math, chat("yes")).invoke("solve the equation pls"))["rewrite"] is None
    answer = octopus(math, chat("yes"), rewrite="auto").invoke([SystemMessage("Be brief."), ("user", "solve it pls")])
    assert decision(answer)["rewrite"] == "Solve the equation."
    assert [message.text for message in math.calls[1]["messages"]] == ["Be brief.", "Solve the equation."]


# ---------------------------------------------------------------- tools, structure, images


def test_tools_go_to_the_expert_and_a_run_of_calls_stays_with_it(chat: Any) -> None:
    math, law = chat(CALL, "It is three."), chat("never")
    model = octopus(math, law)
    with_tools = model.bind_tools([solve], tool_choice="any")
    question = HumanMessage("Solve x = 3")
    call = with_tools.invoke([question])
    assert call.tool_calls[0]["name"] == "solve"
    answer = with_tools.invoke([question, call, ToolMessage("3", tool_call_id="1")])
    assert (answer.text, decision(answer)["by"], decision(answer)["path"]) == ("It is three.", "sticky", ["math"])
    assert [known["tools"] for known in math.calls] == [["solve"], ["solve"]]
    assert math.calls[0]["tool_choice"] == "any"
    assert len(scenes(model)) == 1


def test_tool_calls_stream(chat: Any) -> None:
    chunks = list(octopus(chat(CALL), chat("never")).bind_tools([solve]).stream("Solve x = 3"))
    whole = sum(chunks[1:], chunks[0])
    assert isinstance(whole, AIMessageChunk)
    assert whole.tool_calls[0]["args"] == {"equation": "x = 3"}


def test_experts_that_cannot_call_tools_are_left_out(chat: Any) -> None:
    model = octopus(FakeListChatModel(responses=["never"]), chat("yes"))
    said = decision(model.bind_tools([solve]).invoke("Solve x = 3"))
    assert (said["expert"], said["left_out"]) == ("law", ["math"])
    denying = octopus(chat("never", profile={"tool_calling": False}), chat("yes")).bind_tools([solve])
    assert decision(denying.invoke("Solve x = 3"))["left_out"] == ["math"]


def test_tools_given_with_the_call_do_as_well(chat: Any) -> None:
    math = chat(CALL)
    assert octopus(math, chat("never")).invoke("Solve x = 3", tools=[solve]).tool_calls
    assert math.calls[0]["tools"] == ["solve"]


def test_where_no_expert_can_call_tools_binding_says_so() -> None:
    model = octopus(FakeListChatModel(responses=["a"]), FakeListChatModel(responses=["b"]))
    with pytest.raises(ConfigurationError, match=r"No expert can call tools: math \(FakeListChatModel\), law"):
        model.bind_tools([solve])
    with pytest.raises(ConfigurationError, match=r"No expert can answer in a schema: math"):
        model.with_structured_output(Root)


def test_a_fallback_that_cannot_is_named_when_tools_are_bound(chat: Any) -> None:
    model = octopus(chat("a"), FakeListChatModel(responses=["b"]), fallback="law", min_confidence=0.5)
    with pytest.raises(ConfigurationError, match="The fallback 'law' cannot call tools"):
        model.bind_tools([solve])


class Root(BaseModel):
    """The root of an equation."""

    value: int


FILLED = AIMessage("", tool_calls=[ToolCall(name="Root", args={"value": 3}, id="1")])


async def test_structured_output_is_that_of_the_expert(chat: Any) -> None:
    model = octopus(chat(FILLED), chat("never"), temperature=0.5)
    structured = model.with_structured_output(Root)
    assert structured.invoke("Solve x = 3") == Root(value=3)
    assert await structured.ainvoke("Solve x = 3") == Root(value=3)
    assert list(structured.stream("Solve x = 3"))[-1] == Root(value=3)
    assert model.experts["math"].runnable.calls[0]["temperature"] == 0.5


def test_structured_output_has_the_experts_fallback_too(chat: Any) -> None:
    model = octopus(Expert("math", "", chat(OSError("down")), fallback="law"), chat(FILLED))
    assert model.with_structured_output(Root).invoke("Solve x = 3") == Root(value=3)


def test_another_choice_of_tools_at_the_call_is_bound_anew(chat: Any) -> None:
    math = chat("three")
    octopus(math, chat("never")).bind_tools([solve], tool_choice="any", strict=True).invoke("x = 3", tool_choice="none")
    assert (math.calls[0]["tool_choice"], math.calls[0]["strict"], math.calls[0]["tools"]) == ("none", True, ["solve"])


def test_the_raw_message_of_structured_output_holds_the_decision(chat: Any) -> None:
    answer: Any = octopus(chat(FILLED), chat("x")).with_structured_output(Root, include_raw=True).invoke("Solve x = 3")
    assert answer["parsed"] == Root(value=3)
    assert decision(answer["raw"])["expert"] == "math"


def test_images_go_to_experts_that_do_not_deny_them(chat: Any) -> None:
    blind = chat("never", profile={"image_inputs": False})
    message = HumanMessage([{"type": "text", "text": "Solve x = 3"}, IMAGE])
    said = decision(octopus(blind, chat("a cat")).invoke([message]))
    assert (said["expert"], said["left_out"]) == ("law", ["math"])
    with pytest.raises(InputError, match=r"image content.* math \(Chat\), law \(Chat\); give one of them a model"):
        octopus(blind, blind).invoke([message])


def test_an_image_alone_goes_to_the_fallback_or_is_refused(chat: Any) -> None:
    message = HumanMessage([IMAGE])
    assert decision(octopus(chat("x"), chat("a cat"), fallback="law").invoke([message]))["expert"] == "law"
    with pytest.raises(InputError, match="no text to route by"):
        octopus(chat("x"), chat("y")).invoke([message])


# ---------------------------------------------------------------- several experts for one request


def test_a_request_of_two_parts_takes_two_hops_and_their_usage_adds_up(chat: Any) -> None:
    law = chat("yes")
    answer = octopus(chat("three"), law, max_hops=2).invoke("Solve x = 3 and then my landlord")
    assert answer.text == "three\n\nyes"
    assert answer.usage_metadata == {"input_tokens": 10, "output_tokens": 4, "total_tokens": 14}
    assert decision(answer)["path"] == ["math", "law"]
    assert "math answered: three" in law.calls[0]["messages"][-1].text


async def test_two_hops_stream_as_one_message(chat: Any) -> None:
    model = octopus(chat("three"), chat("yes"), max_hops=2)
    request = "Solve x = 3 and then my landlord"
    for chunks in (list(model.stream(request)), [chunk async for chunk in model.astream(request)]):
        whole = sum(chunks[1:], chunks[0])
        assert whole.text == "three \n\nyes "
        assert whole.usage_metadata is not None
        assert whole.usage_metadata["total_tokens"] == 14
        assert len({chunk.id for chunk in chunks}) == 1


def test_a_tool_call_on_the_way_waits_for_its_tool(chat: Any) -> None:
    model = octopus(chat(CALL, "three"), chat("yes"), max_hops=2).bind_tools([solve])
    question = HumanMessage("Solve x = 3 and then my landlord")
    call = model.invoke([question])
    assert (decision(call)["path"], call.text) == (["math"], "")
    answer = model.invoke([question, call, ToolMessage("3", tool_call_id="1")])
    assert (decision(answer)["path"], answer.text) == (["math", "law"], "three\n\nyes")


# ---------------------------------------------------------------- experts' own settings, failures


def test_the_experts_system_prompt_stands_before_the_callers(chat: Any) -> None:
    math = chat("three")
    model = octopus(Expert("math", "", math, system_prompt="Count."), chat("yes"))
    model.invoke([SystemMessage("Be brief."), HumanMessage("Solve x = 3")])
    model.invoke("Solve x = 3")
    told = [call["messages"][0].text for call in math.calls]
    assert told == ["Count.\n\nBe brief.", "Count."]


def test_settings_and_stops_reach_the_expert(chat: Any) -> None:
    math = chat("three")
    model = octopus(math, chat("yes"), temperature=0.2, max_tokens=9, stop=["END"])
    model.invoke("Solve x = 3")
    model.invoke("Solve x = 3", stop=["."], temperature=0.7)
    assert [(call["temperature"], call["max_tokens"], call["stop"]) for call in math.calls] == [
        (0.2, 9, ["END"]),
        (0.7, 9, ["."]),
    ]


def test_an_experts_error_keeps_its_type_and_names_the_expert(chat: Any) -> None:
    with pytest.raises(ZeroDivisionError) as raised:
        octopus(chat(ZeroDivisionError("by x")), chat("yes")).invoke("Solve x = 3")
    assert raised.value.__notes__ == ["It was raised by the expert 'math' of a ChatOctopus."]


async def test_an_experts_retries_and_fallback_hold(chat: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("octopus_graph_integrations.answering.random.uniform", lambda *_: 0.0)
    flaky = Expert("math", "", chat(OSError("busy"), "three"), retries=1)
    assert octopus(flaky, chat("yes")).invoke("Solve x = 3").text == "three"
    for ask in ("invoke", "stream"):
        broken = Expert("math", "", chat(OSError("down")), fallback="law")
        model = octopus(broken, chat("yes"))
        answer = model.invoke("Solve x = 3") if ask == "invoke" else list(model.stream("Solve x = 3"))[-1]
        assert (decision(answer)["expert"], decision(answer)["served_by"]) == ("math", "law")
    both = octopus(Expert("math", "", chat(OSError("down")), fallback="law"), chat(OSError("down too")))
    with pytest.raises(ExpertError, match=r"'math' did not answer .*nor did its fallback 'law'"):
        await both.ainvoke("Solve x = 3")


async def test_once_words_have_been_streamed_nobody_stands_in(chat: Any) -> None:
    model = octopus(Expert("math", "", chat("x is (breaks)"), fallback="law"), chat("yes"))
    heard: list[str] = []
    with pytest.raises(ConnectionError):
        heard.extend(chunk.text for chunk in model.stream("Solve x = 3"))
    with pytest.raises(ConnectionError):
        heard.extend([chunk.text async for chunk in model.astream("Solve x = 3")])
    assert "yes" not in " ".join(heard)


# ---------------------------------------------------------------- tracing, streaming and counting around it


class Runs(BaseCallbackHandler):
    def __init__(self) -> None:
        self.chains: list[str] = []
        self.models: list[dict[str, Any]] = []
        self.tokens: list[str] = []

    def on_chain_start(self, serialized: Any, inputs: Any, **kwargs: Any) -> None:
        self.chains.append(kwargs["name"])

    def on_chat_model_start(self, serialized: Any, messages: Any, **kwargs: Any) -> None:
        self.models.append(kwargs)

    def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
        self.tokens.append(token)


def test_one_model_call_is_one_model_run_under_a_run_of_its_own(chat: Any) -> None:
    runs = Runs()
    octopus(chat("x is three"), chat("yes"), metadata={"mine": 1}).invoke("Solve x = 3", {"callbacks": [runs]})
    assert runs.chains == ["ChatOctopus"]
    assert [run["metadata"]["octopus_expert"] for run in runs.models] == ["math"]
    assert runs.models[0]["metadata"]["mine"] == 1
    assert runs.models[0]["parent_run_id"] is not None


def test_no_token_is_counted_twice(chat: Any) -> None:
    model = octopus(chat("three", name="big"), chat("yes"))
    with get_usage_metadata_callback() as usage:
        model.invoke("Solve x = 3")
        list(model.stream("Solve x = 3"))
    assert usage.usage_metadata["big"]["total_tokens"] == 14


async def test_no_token_is_streamed_twice(chat: Any) -> None:
    model = octopus(chat("x is three"), chat("yes"))
    events: list[Any] = [event async for event in model.astream_events("Solve x = 3", version="v2")]
    heard = [event["data"]["chunk"].text for event in events if event["event"] == "on_chat_model_stream"]
    assert [text for text in heard if text] == ["x ", "is ", "three "]

    def call(state: MessagesState) -> Any:
        return {"messages": [model.invoke(state["messages"])]}

    graph = StateGraph(MessagesState).add_node("model", call).add_edge(START, "model").compile()
    given: Any = {"messages": [HumanMessage("Solve x = 3")]}
    streamed: list[Any] = [chunk for chunk, _ in graph.stream(given, stream_mode="messages")]
    assert [chunk.text for chunk in streamed if chunk.text] == ["x ", "is ", "three "]
    runs = Runs()
    model.generate([[HumanMessage("Solve x = 3")]], callbacks=[runs])
    assert len(runs.models) == 1


async def test_it_drives_an_agent_like_any_chat_model(chat: Any) -> None:
    question: Any = {"messages": [HumanMessage("Solve x = 3")]}
    model = octopus(chat(CALL, "It is three."), chat("never"))
    state = create_agent(model, [solve]).invoke(question)
    assert state["messages"][-1].text == "It is three."
    assert [decision(message)["by"] for message in state["messages"] if message.type == "ai"] == ["router", "sticky"]
    filled = create_agent(octopus(chat(FILLED), chat("never")), [solve], response_format=Root)
    assert (await filled.ainvoke(question))["structured_response"] == Root(value=3)


def test_it_stands_in_a_chain_like_any_chat_model(chat: Any) -> None:
    model = octopus(chat("three"), chat("yes"))
    chain = ChatPromptTemplate.from_messages([("user", "Solve {equation}")]) | model | StrOutputParser()
    assert chain.invoke({"equation": "x = 3"}) == "three"
    assert model.with_retry().invoke("Solve x = 3").text == "three"
    assert octopus(chat(OSError("x")), chat("y")).with_fallbacks([chat("z")]).invoke("Solve x = 3").text == "z"


# ---------------------------------------------------------------- building it, and what it says of itself


def test_secrets_are_nowhere_in_what_it_says_of_itself(chat: Any) -> None:
    openai = pytest.importorskip("langchain_openai")
    model = octopus(openai.ChatOpenAI(model="gpt", api_key=SecretStr("sk-very-secret")), chat("yes"))
    said = [repr(model), str(model), str(model.asdict()), str(model.model_dump()), str(model._serialized)]
    said += [str(model._get_llm_string()), repr(model.bind_tools([solve]))]
    assert "very-secret" not in "".join(said)
    assert model._identifying_params["experts"] == {"math": "gpt", "law": "chat"}
    assert model._llm_type == "octopus"


def test_a_graph_file_makes_one(tmp_path: Any) -> None:
    file = tmp_path / "octopus.yaml"
    file.write_text(
        "version: 1\ndefaults: {min_confidence: 0.6, max_hops: 2, experts: [math, general]}\nfallback: general\n"
        "experts:\n"
        + "".join(
            f"  {name}: {{description: d, model: {{url: 'http://127.0.0.1:1/v1', model: {name}-1}}, retries: 1}}\n"
            for name in ("math", "law", "general")
        )
    )
    model = ChatOctopus.from_spec(file, router=scripted_router(SCRIPT), rewrite="auto")
    assert (model.fallback, model.min_confidence, model.max_hops) == ("general", 0.6, 2)
    assert (model.allowed, model.rewrite) == (["math", "general"], "auto")
    assert model._identifying_params["experts"]["law"] == "law-1"
    assert model.experts["math"].retries == 1


@pytest.mark.parametrize(
    ("experts", "fields", "error", "says"),
    [
        ({}, {}, ConfigurationError, "at least one chat model"),
        ([], {}, ConfigurationError, "at least one chat model"),
        ({"shipping": "chat"}, {}, UnknownExpertError, "'shipping'"),
        ({"math": str.upper}, {}, ConfigurationError, "'math' is a method_descriptor and not a chat model"),
        ([EchoExpert("math")], {}, ConfigurationError, "not a chat model: .*create_octopus_graph"),
        (["math"], {}, ConfigurationError, "name chat models in a mapping"),
        ({"math": "chat"}, {"fallback": "law"}, UnknownExpertError, "the fallback: there is no expert 'law'"),
        ({"math": "chat"}, {"allowed": ["law"]}, UnknownExpertError, "the experts allowed"),
        ({"math": "chat"}, {"allowed": []}, ConfigurationError, "No expert is allowed"),
        ({"math": "chat", "law": "chat"}, {"allowed": ["law"], "fallback": "math"}, ConfigurationError, "not allowed"),
        ({"math": "chat"}, {"min_confidence": 0.5}, ConfigurationError, "name a fallback"),
        ({"math": "chat"}, {"max_hops": 0}, ValidationError, "max_hops"),
        ({"math": "chat"}, {"timeout": 3}, ValidationError, "timeout"),
    ],
)
def test_what_cannot_work_is_said_when_it_is_built(
    chat: Any, experts: Any, fields: Any, error: type[Exception], says: str
) -> None:
    if isinstance(experts, dict):
        experts = {name: chat("x") if value == "chat" else value for name, value in experts.items()}
    with pytest.raises(error, match=says):
        ChatOctopus(router=scripted_router(SCRIPT), experts=experts, **fields)


def test_two_experts_of_one_name_and_a_name_that_does_not_fit_are_refused(chat: Any) -> None:
    twice: Any = [Expert("math", "", chat("a")), Expert("math", "", chat("b"))]
    with pytest.raises(ConfigurationError, match="Two experts are named 'math'"):
        ChatOctopus(router=scripted_router(SCRIPT), experts=twice)
    with pytest.raises(ConfigurationError, match="The expert 'law' stands under 'math'"):
        octopus(Expert("law", "", chat("a")), chat("b"))


@pytest.mark.parametrize("given", ["", "  ", []])
def test_nothing_to_read_is_an_error_that_says_what_to_do(chat: Any, given: Any) -> None:
    with pytest.raises(InputError, match="write a request, or name a fallback"):
        octopus(chat("a"), chat("b")).invoke(given)


def test_a_model_with_bound_settings_keeps_them_beside_tools(chat: Any) -> None:
    math = chat(CALL)
    octopus(math.bind(temperature=0.3), chat("b")).bind_tools([solve]).invoke("Solve x = 3")
    assert (math.calls[0]["temperature"], math.calls[0]["tools"]) == (0.3, ["solve"])
