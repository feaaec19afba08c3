"""openai-python against the server: sync, async, streams, tools, forms, responses, errors."""

import json
from collections.abc import Callable, Generator
from typing import Any

import httpx
import openai
import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel
from talking import SECRET, Talking

pytestmark = pytest.mark.integration

LOOKUP: Any = {
    "type": "function",
    "function": {
        "name": "lookup",
        "description": "Looks a number up",
        "parameters": {"type": "object", "properties": {"number": {"type": "integer"}}, "required": ["number"]},
    },
}
FUNCTION: Any = {"type": "function", "strict": True, **LOOKUP["function"]}


def said(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


@pytest.fixture
def client(url: str) -> Generator[OpenAI]:
    with OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture
def asynchronous(url: str) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)


def test_the_graph_and_its_experts_are_models(client: OpenAI, talking: Talking) -> None:
    assert [model.id for model in client.models.list()] == ["octopus", *(expert.name for expert in talking.experts)]
    assert client.models.retrieve("law").model_extra == {"description": "Knows law"}


def test_a_request_is_routed_and_the_headers_say_where(client: OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model="octopus", messages=said("the derivative of x"))
    answer = raw.parse()
    assert answer.choices[0].message.content == "[math] the derivative of x"
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0
    assert raw.headers["x-octopus-expert"] == raw.headers["x-octopus-path"] == "math"
    assert raw.headers["x-octopus-confidence"] == "0.9900"
    assert answer.id == f"chatcmpl-{raw.headers['x-octopus-run-id']}"


def test_an_expert_is_asked_by_name_without_a_decision(client: OpenAI, talking: Talking) -> None:
    engine: Any = talking.router.engine
    before = len(engine.scenes)
    raw = client.chat.completions.with_raw_response.create(model="law", messages=said("the derivative of x"))
    assert raw.parse().choices[0].message.content == "[law] the derivative of x"
    assert raw.headers["x-octopus-expert"] == "law"
    assert "x-octopus-confidence" not in raw.headers
    assert len(engine.scenes) == before


def test_several_hops_are_joined_and_told_in_the_path(client: OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model="octopus", messages=said("a mathematician"))
    answer = raw.parse()
    text = str(answer.choices[0].message.content)
    assert text.startswith("## Math\n\n[math] a mathematician\n\n## History\n\n[history] ")
    assert raw.headers["x-octopus-path"] == "math,history"
    assert (answer.model_extra or {})["octopus"]["path"] == ["math", "history"]
    assert answer.usage is None  # history's model reports none, and a part is not the whole


def test_a_stream_says_each_word_once_and_the_decision_first(client: OpenAI) -> None:
    whole = client.chat.completions.create(model="octopus", messages=said("a mathematician")).choices[0].message.content
    with client.chat.completions.with_streaming_response.create(
        model="octopus", messages=said("a mathematician"), stream=True
    ) as response:
        assert response.headers["x-octopus-expert"] == response.headers["x-octopus-path"] == "math"
        chunks = list(response.parse())
    words = [chunk.choices[0].delta.content or "" for chunk in chunks]
    assert len([word for word in words if word]) > 10
    assert "## Math\n\n" + "".join(words) == whole
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert (chunks[-1].model_extra or {})["octopus"]["path"] == ["math", "history"]


def test_usage_is_streamed_when_it_is_asked_for(client: OpenAI) -> None:
    ask: Any = {"model": "law", "messages": said("a contract"), "stream": True}
    plain = list(client.chat.completions.create(**ask))
    counted = list(client.chat.completions.create(**ask, stream_options={"include_usage": True}))
    assert all(chunk.usage is None for chunk in plain)
    assert [chunk.usage.total_tokens for chunk in counted if chunk.usage] == [5]
    assert counted[-1].choices == []


async def test_it_answers_async_clients(asynchronous: AsyncOpenAI) -> None:
    async with asynchronous as client:
        answer = await client.chat.completions.create(model="octopus", messages=said("a contract"))
        assert answer.choices[0].message.content == "[law] a contract"
        stream = await client.chat.completions.create(model="octopus", messages=said("a contract"), stream=True)
        assert "".join([chunk.choices[0].delta.content or "" async for chunk in stream]) == "[law] a contract"


def test_tools_are_passed_on_and_their_results_go_to_the_expert_that_called(client: OpenAI, talking: Talking) -> None:
    first = client.chat.completions.create(model="octopus", messages=said("lookup a contract 7"), tools=[LOOKUP])
    (choice,) = first.choices
    assert choice.finish_reason == "tool_calls"
    (call,) = list(choice.message.tool_calls or ())
    assert call.type == "function"
    assert (call.function.name, json.loads(call.function.arguments)) == ("lookup", {"number": 7})
    chat: Any = [
        {"role": "system", "content": "Be brief."},
        *said("lookup a contract 7"),
        choice.message.to_dict(),
        # A result that speaks of a derivative would be routed to math.
        {"role": "tool", "tool_call_id": call.id, "content": "a derivative"},
    ]
    raw = client.chat.completions.with_raw_response.create(model="octopus", messages=chat, tools=[LOOKUP])
    assert raw.headers["x-octopus-expert"] == "law"
    assert raw.parse().choices[0].message.content == "[law] The tool said: a derivative"
    given: Any = talking.last("law")[0]
    assert [type(message) for message in given] == [SystemMessage, HumanMessage, AIMessage, ToolMessage]
    assert given[0].text == "Be brief."
    assert given[3].tool_call_id == given[2].tool_calls[0]["id"] == "call_0"  # as the model itself named it


def test_tool_calls_are_streamed_in_pieces(client: OpenAI) -> None:
    other: Any = {"type": "function", "function": {**LOOKUP["function"], "name": "search"}}
    stream = client.chat.completions.create(
        model="octopus", messages=said("lookup and search a contract 7"), tools=[LOOKUP, other], stream=True
    )
    ids: dict[int, str] = {}
    arguments: dict[int, str] = {}
    for chunk in stream:
        for part in chunk.choices[0].delta.tool_calls or ():
            ids.setdefault(part.index, part.id or "")
            arguments[part.index] = arguments.get(part.index, "") + str(part.function and part.function.arguments)
        reason = chunk.choices[0].finish_reason
    assert ids == {0: "law:call_0", 1: "law:call_1"}
    assert [json.loads(text) for text in arguments.values()] == [{"number": 7}, {"number": 7}]
    assert reason == "tool_calls"


@pytest.mark.parametrize(("choice", "called"), [("none", None), ("required", "lookup")])
def test_the_choice_of_a_tool_is_passed_on(client: OpenAI, choice: Any, called: str | None) -> None:
    answer = client.chat.completions.create(
        model="law", messages=said("a lookup" if called is None else "hello"), tools=[LOOKUP], tool_choice=choice
    )
    calls: Any = answer.choices[0].message.tool_calls or []
    assert [call.function.name for call in calls] == ([called] if called else [])


class Result(BaseModel):
    value: int
    words: str


def test_a_form_is_kept(client: OpenAI) -> None:
    answer = client.chat.completions.parse(model="octopus", messages=said("derivative 3"), response_format=Result)
    assert answer.choices[0].message.parsed == Result(value=3, words="derivative 3")


def test_settings_reach_the_model_of_whichever_expert_is_asked(client: OpenAI, talking: Talking) -> None:
    answer = client.chat.completions.create(
        model="octopus",
        messages=[{"role": "developer", "content": "Be brief."}, *said("a contract of many words STOP and more")],
        temperature=0.25,
        max_tokens=4,
        stop="STOP",
    )
    given, settings = talking.last("law")
    assert settings["temperature"] == 0.25
    assert settings["stop"] == ["STOP"]
    assert given[0].text == "Be brief."
    assert answer.choices[0].message.content == "[law] a contract of "
    assert answer.choices[0].finish_reason == "length"
    assert talking.models["law"].temperature == 1.0  # the model itself is as it was


def test_a_follow_up_is_routed_with_the_turn_before_in_view(client: OpenAI, talking: Talking) -> None:
    engine: Any = talking.router.engine
    first = client.chat.completions.create(model="octopus", messages=said("the derivative of x^2"))
    scenes = len(engine.scenes)
    chat = [*said("the derivative of x^2"), first.choices[0].message.to_dict(), *said("and a contract?")]
    client.chat.completions.create(model="octopus", messages=chat)
    assert engine.scenes[scenes].previous == "the derivative of x^2"  # remembered: nothing was decided anew
    given, _ = talking.last("law")
    assert [str(message.text) for message in given] == [
        "the derivative of x^2",
        "[math] the derivative of x^2",
        "and a contract?",
    ]


def test_a_turn_this_server_has_not_answered_is_decided_again(client: OpenAI, talking: Talking) -> None:
    engine: Any = talking.router.engine
    scenes = len(engine.scenes)
    chat = [*said("a contract of old"), {"role": "assistant", "content": "of another server"}, *said("its derivative?")]
    client.chat.completions.create(model="octopus", messages=chat)
    assert [scene.request for scene in engine.scenes[scenes : scenes + 2]] == ["a contract of old", "its derivative?"]
    assert engine.scenes[scenes + 1].previous == "a contract of old"


def test_a_picture_is_passed_on_to_a_chat_model(client: OpenAI, talking: Talking) -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
    chat: Any = [{"role": "user", "content": [{"type": "text", "text": "whose contract is this?"}, picture]}]
    answer = client.chat.completions.create(model="octopus", messages=chat)
    assert answer.choices[0].message.content == "[law] whose contract is this?"
    given, _ = talking.last("law")
    assert isinstance(given[-1].content, list)
    assert given[-1].content[1] == picture
    with pytest.raises(openai.BadRequestError, match="reads the text of a request alone"):
        client.chat.completions.create(model="health", messages=chat)


def test_what_an_expert_cannot_do_is_an_error_of_the_request(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="'health' is no chat model"):
        client.chat.completions.create(model="octopus", messages=said("I have a fever"), tools=[LOOKUP])


@pytest.mark.parametrize(
    ("change", "kind", "param"),
    [
        ({"model": "nobody"}, openai.NotFoundError, "model"),
        ({"n": 2}, openai.BadRequestError, "n"),
        ({"logprobs": True}, openai.BadRequestError, "logprobs"),
        ({"messages": []}, openai.BadRequestError, "messages"),
        ({"temperature": 9}, openai.BadRequestError, "temperature"),
        ({"messages": [{"role": "user", "content": " "}]}, openai.BadRequestError, None),
        ({"messages": [{"role": "assistant", "content": "hi"}]}, openai.BadRequestError, None),
        ({"messages": [{"role": "tool", "content": "hi"}]}, openai.BadRequestError, "messages.0.tool_call_id"),
        ({"tools": [{"type": "function", "function": {"name": "no good"}}]}, openai.BadRequestError, None),
        ({"model": "chemistry"}, openai.InternalServerError, None),
    ],
)
def test_errors_have_the_shape_of_openai(
    client: OpenAI, change: dict[str, Any], kind: type[openai.APIStatusError], param: str | None
) -> None:
    ask: dict[str, Any] = {"model": "octopus", "messages": said("hello"), **change}
    with pytest.raises(kind) as error:
        client.chat.completions.create(**ask)
    body: Any = error.value.body
    assert set(body) == {"message", "type", "param", "code"}
    assert error.value.param == param or param is None
    assert SECRET not in str(error.value)


def test_an_error_within_a_stream_ends_it(client: OpenAI) -> None:
    stream = client.chat.completions.create(model="octopus", messages=said("broken"), stream=True)
    with pytest.raises(openai.APIError, match="did not answer") as error:
        list(stream)
    assert SECRET not in str(error.value)


def test_a_response_goes_on_from_another_one(client: OpenAI, talking: Talking) -> None:
    first = client.responses.create(model="octopus", input="the derivative of x", instructions="Be brief.")
    second = client.responses.create(model="octopus", input="and a contract?", previous_response_id=first.id)
    assert first.output_text == "[math] the derivative of x"
    assert second.output_text == "[law] and a contract?"
    given, _ = talking.last("law")
    # The instructions were those of the first response alone.
    assert [str(message.text) for message in given] == [
        "the derivative of x",
        "[math] the derivative of x",
        "and a contract?",
    ]
    assert client.responses.retrieve(second.id).output_text == second.output_text
    client.responses.delete(second.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.create(model="octopus", input="go on", previous_response_id=second.id)


def test_a_response_that_is_not_stored_is_gone(client: OpenAI) -> None:
    response = client.responses.create(model="octopus", input="a contract", store=False)
    with pytest.raises(openai.NotFoundError, match="not stored"):
        client.responses.retrieve(response.id)


@pytest.mark.parametrize("text", ["a contract", "a mathematician"])
def test_a_response_is_streamed_by_typed_events(client: OpenAI, text: str) -> None:
    with client.responses.stream(model="octopus", input=text) as stream:
        events: list[Any] = list(stream)
        final = stream.get_final_response()
    assert [event.type for event in events[:4]] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ]
    assert [event.type for event in events[-4:]] == [
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    numbers = [event.sequence_number for event in events]
    assert numbers == list(range(len(numbers)))
    deltas = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert deltas == final.output_text == client.responses.retrieve(final.id).output_text


def test_responses_call_functions_and_take_their_outputs(client: OpenAI) -> None:
    with client.responses.stream(model="octopus", input="lookup a contract 7", tools=[FUNCTION]) as stream:
        first = stream.get_final_response()
    (call,) = first.output
    assert call.type == "function_call"
    assert json.loads(call.arguments) == {"number": 7}
    output: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "seven"}
    kept = client.responses.create(model="octopus", previous_response_id=first.id, input=[output], tools=[FUNCTION])
    sent: Any = [*said("lookup a contract 7"), call.to_dict(), output]
    stateless = client.responses.create(model="octopus", input=sent, tools=[FUNCTION], store=False)
    assert kept.output_text == stateless.output_text == "[law] The tool said: seven"


def test_a_response_keeps_a_form(client: OpenAI) -> None:
    response = client.responses.parse(model="octopus", input="derivative 3", text_format=Result)
    assert response.output_parsed == Result(value=3, words="derivative 3")


def test_a_response_that_is_cut_is_incomplete(client: OpenAI) -> None:
    response = client.responses.create(model="law", input="a contract of many words", max_output_tokens=2)
    assert response.status == "incomplete"
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == "max_output_tokens"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"tools": [{"type": "web_search"}]}, "no tools of type web_search"),
        ({"background": True}, "in the background"),
        ({"input": [{"type": "item_reference", "id": "1"}]}, "item_reference"),
        ({"input": [{"type": "function_call", "name": "f"}]}, "lacks"),
        ({"input": []}, "no request"),
        ({"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "1"}]}]}, "input_file"),
    ],
)
def test_what_a_response_cannot_be_asked_is_said(client: OpenAI, change: dict[str, Any], says: str) -> None:
    ask: dict[str, Any] = {"model": "octopus", "input": "hello", **change}
    with pytest.raises(openai.BadRequestError, match=says):
        client.responses.create(**ask)


def test_an_error_within_a_response_is_its_last_event(client: OpenAI) -> None:
    events: list[Any] = list(client.responses.create(model="octopus", input="broken", stream=True))
    assert events[-1].type == "response.failed"
    assert "did not answer" in events[-1].response.error.message
    assert SECRET not in str(events)


def test_whatever_is_sent_is_answered_with_an_error_in_shape(url: str) -> None:
    bodies = ["", "null", "[]", "{}", '{"model": "octopus"}', '{"model": 1, "messages": 2}', "{", '{"messages": [1]}']
    with httpx.Client() as client:
        for path in ("/v1/chat/completions", "/v1/responses"):
            for body in bodies:
                answer = client.post(url + path, content=body, headers={"content-type": "application/json"})
                assert answer.status_code == 400, (path, body, answer.text)
                assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


def test_responses_are_kept_in_redis(start: Callable[..., Any]) -> None:
    with OpenAI(base_url=f"{start('--redis', 'embedded').url}/v1", api_key="none", max_retries=0) as client:
        first = client.responses.create(model="octopus", input="the derivative of x")
        second = client.responses.create(model="octopus", input="and a contract?", previous_response_id=first.id)
        assert client.responses.retrieve(second.id).output_text == second.output_text == "[law] and a contract?"
        client.responses.delete(second.id)
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(second.id)
