"""The wire format: what is rendered comes back, and user text stays user text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octopus_graph.codec import CHATML, FORMATS, V4, Codec, Done, Turn, clean, codec_named, parse, quiet, render
from octopus_graph.errors import ConfigurationError, InputError, ParseError

AWKWARD = st.one_of(
    st.text(),
    st.lists(
        st.sampled_from(["<nexa_end>", "<nexa_3>", "')", " ('", "'", '"', "\n", "\\", "(", ")", "a", " ", "<|end|>"])
    ).map("".join),
)


@given(index=st.integers(0, 999), text=AWKWARD)
def test_parse_gives_back_any_text_that_render_wrote(index: int, text: str) -> None:
    assert parse(render(f"<nexa_{index}>", text)) == (f"<nexa_{index}>", text)


@given(index=st.integers(0, 999))
def test_an_output_without_argument_comes_back(index: int) -> None:
    assert parse(render(f"<nexa_{index}>")) == (f"<nexa_{index}>", None)


# Outputs in the shapes that v4 checkpoints print: the paper's example, and what its own parser stumbles over.
V4_OUTPUTS = [
    ("<nexa_4> ('Find the derivative of x^3 at x = 2.')<nexa_end>", "Find the derivative of x^3 at x = 2."),
    ("<nexa_4> ('What's Newton's method?')<nexa_end>", "What's Newton's method?"),
    ('<nexa_4> ("Explain the term "limit" in calculus")<nexa_end>', 'Explain the term "limit" in calculus'),
    ("<nexa_4> ('line one\nline two')<nexa_end>", "line one\nline two"),
    ("<nexa_4> ('the end is missing')", "the end is missing"),
    ("<nexa_4> ('cut off in the mid", "cut off in the mid"),
    ("<nexa_4> ('not closed<nexa_end>", "not closed"),
    (" <nexa_4>('no space')<nexa_end>\n", "no space"),
    ("<nexa_4>('f(x) = (x')<nexa_end>", "f(x) = (x"),
    ("<nexa_4><nexa_end>", None),
    ("<nexa_4>", None),
]


@pytest.mark.parametrize(("output", "text"), V4_OUTPUTS)
def test_outputs_of_v4_checkpoints_are_read(output: str, text: str | None) -> None:
    assert parse(output) == ("<nexa_4>", text)


@pytest.mark.parametrize("output", ["", "math", "I think <nexa_4> ('x')<nexa_end>", "<nexa_end>", "<nexa_x> ('a')"])
def test_what_does_not_begin_with_a_functional_token_is_refused(output: str) -> None:
    with pytest.raises(ParseError, match="does not begin with a functional token"):
        parse(output)


def test_the_v4_prompt_is_the_papers() -> None:
    text = "".join(segment.text for segment in V4.prompt("Tell me the result of derivative of x^3 when x is 2?"))
    assert text == (
        "<|system|>You are a router. Below is the query from the users, please call the correct function and generate"
        " the parameters to call the function.<|end|><|user|>Tell me the result of derivative of x^3 when x is 2?"
        "<|end|><|assistant|>"
    )


@pytest.mark.parametrize("codec", FORMATS.values(), ids=list(FORMATS))
@given(request=AWKWARD, answer=AWKWARD)
def test_text_from_outside_is_never_in_a_trusted_segment(codec: Codec, request: str, answer: str) -> None:
    prompt = codec.prompt(request, [Turn(request, "<nexa_1>")], [Done("<nexa_4>", answer)])
    untrusted = [segment.text for segment in prompt if not segment.trusted]
    assert untrusted == [request, request, answer]
    assert all(segment.budget > 0 for segment in prompt if not segment.trusted)


def test_only_the_last_turn_is_in_view() -> None:
    turns = [Turn("one", "<nexa_1>"), Turn("two", "<nexa_2>")]
    texts = [segment.text for segment in CHATML.prompt("three", turns) if not segment.trusted]
    assert texts == ["two", "three"]


def test_a_request_keeps_its_lines_and_loses_control_characters() -> None:
    assert clean("  a\tb\nc\x00d\x1b[31m\x07  ") == "a\tb\nc d [31m"


@pytest.mark.parametrize("request_", ["", "   \n\t", "\x00\x01"])
def test_an_empty_request_is_refused(request_: str) -> None:
    with pytest.raises(InputError, match="empty"):
        clean(request_)


def test_a_lone_surrogate_is_refused_with_its_place() -> None:
    with pytest.raises(InputError, match="lone surrogate stands at character 2"):
        clean("ab\ud800c")


def test_an_overlong_request_is_refused_and_a_long_one_is_not() -> None:
    assert len(clean("a" * 100_000)) == 100_000
    with pytest.raises(InputError, match="200,001 characters"):
        clean("a" * 200_001)


def test_an_unknown_format_is_named() -> None:
    with pytest.raises(ConfigurationError, match="'v9'; the formats are v4, chatml"):
        codec_named("v9")


@pytest.mark.parametrize(
    "text",
    [
        "What does NATO do?",
        "SELECT * FROM users WHERE id = 3 and name is null",
        "E = MC2",
        "USA",
        "ÜBER, élan vital",
        "12345",
    ],
)
def test_capitals_that_mean_something_stay(text: str) -> None:
    assert quiet(text) == text


def test_a_request_shouted_throughout_is_read_in_small_letters() -> None:
    (_, request, _) = CHATML.prompt("WHY IS THE SKY BLUE? I NEED IT FOR SCHOOL")
    assert request.text == "why is the sky blue? i need it for school"
    assert not request.trusted
