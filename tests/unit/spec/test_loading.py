"""load_spec: what is right in a graph file is read, what is wrong is one sentence with file, line and field."""

import os
import time
from pathlib import Path

import pytest

from octopus_graph.errors import SpecError
from octopus_graph.spec import HuggingFaceModel, UrlModel, load_spec

WHOLE = """\
version: 1
router: {model: ./router, format: v4}
defaults: {max_hops: 2, min_confidence: 0.4, rewrite: never, experts: [math, law]}
fallback: general
experts:
  math:
    description: Calculates
    model: {url: "http://127.0.0.1:8000/v1", model: tiny, api_key_env: "${TINY_KEY}"}
    system_prompt: Be exact.
    neighbours: [law]
    timeout: 2.5
    retries: 2
    fallback: general
  law:
    description: Judges
    model: {huggingface: org/name}
    neighbours: []
  general:
    description: Helps
    model: openai:gpt-4o-mini
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)

    def write(text: str | bytes, name: str = "octopus.yaml") -> str:
        (tmp_path / name).write_bytes(text.encode() if isinstance(text, str) else text)
        return name

    return write


def refusal(name: str) -> str:
    with pytest.raises(SpecError) as caught:
        load_spec(name)
    message = str(caught.value)
    assert "\n" not in message
    assert caught.value.exit_code == 2
    return message


def test_every_field_is_read(write) -> None:
    spec = load_spec(write(WHOLE))

    math, law, general = (spec.experts[name] for name in ("math", "law", "general"))
    assert (spec.router.model, spec.router.format, spec.fallback) == ("./router", "v4", "general")
    assert (spec.defaults.max_hops, spec.defaults.min_confidence, spec.defaults.rewrite) == (2, 0.4, "never")
    assert spec.defaults.experts == ["math", "law"]
    assert math.model == UrlModel(url="http://127.0.0.1:8000/v1", model="tiny", api_key_env="TINY_KEY")
    assert (math.system_prompt, math.neighbours, math.timeout, math.retries) == ("Be exact.", ["law"], 2.5, 2)
    assert (law.model, law.neighbours, law.timeout) == (HuggingFaceModel(huggingface="org/name"), [], None)
    assert (general.model, general.neighbours, general.fallback) == ("openai:gpt-4o-mini", "*", None)


def test_what_is_left_out_has_defaults(write) -> None:
    spec = load_spec(write("version: 1\nexperts:\n  math: {description: Calculates}\n"))

    assert (spec.router.model, spec.fallback, spec.defaults.max_hops) == ("embedded", None, 3)
    assert (spec.experts["math"].model, spec.experts["math"].neighbours) == ("embedded", "*")


def test_an_anchor_that_nobody_refers_to_does_no_harm(write) -> None:
    text = "version: 1\nexperts:\n  a: {description: A, model: &m {huggingface: org/a}}\n"

    assert load_spec(write(text)).experts["a"].model == HuggingFaceModel(huggingface="org/a")


@pytest.mark.parametrize(
    ("lines", "where"),
    [
        (["  a: {description: &d A}", "  b: {description: *d}"], "octopus.yaml:4: experts.b.description: "),
        (["  a: {description: A, neighbours: [&b b]}", "  *b : {description: B}"], "octopus.yaml:2: experts: "),
        (
            ["  a: {description: &d A}", "  b: {description: B, neighbours:", "    [c, *d]}"],
            "octopus.yaml:4: experts.b.",
        ),
    ],
    ids=["value", "key", "item"],
)
def test_an_alias_is_refused_where_it_stands(write, lines: list[str], where: str) -> None:
    message = refusal(write("\n".join(["version: 1", "experts:", *lines])))

    assert message.startswith(where), message
    assert message.endswith("aliases (*name) are not supported: write out what is meant.")


def test_yaml_1_2_keeps_words_that_older_yaml_takes_for_booleans(write) -> None:
    assert list(load_spec(write("version: 1\nexperts: {on: {description: no}}\n")).experts) == ["on"]


def test_crlf_and_a_byte_order_mark_do_no_harm(write) -> None:
    text = "\ufeffversion: 1\nexperts:\n  math: {description: Calculates, timeout: soon}\n".replace("\n", "\r\n")

    assert refusal(write(text)).startswith("octopus.yaml:3: experts.math.timeout: ")


# (what is replaced in WHOLE, by what, what the message begins with, a word of the rest)
BROKEN = [
    ("version: 1", "version: 2", "octopus.yaml:1: version: write 1, not 2.", ""),
    ("version: 1\n", "", "octopus.yaml:1: version: it is missing", "add it"),
    ("timeout: 2.5", "timeout: soon", "octopus.yaml:11: experts.math.timeout: write a number, not 'soon'.", ""),
    ("timeout: 2.5", 'timeout: "60"', "octopus.yaml:11: experts.math.timeout: write a number, not '60'.", ""),
    ("timeout: 2.5", "timeout: 0", "octopus.yaml:11: experts.math.timeout: it must be greater than 0, not 0.", ""),
    ("timeout: 2.5", "timeout: .nan", "octopus.yaml:11: experts.math.timeout: write a finite number", ""),
    ("retries: 2", "retries: yes please", "octopus.yaml:12: experts.math.retries: write a whole number", ""),
    ("retries: 2", "retries: true", "octopus.yaml:12: experts.math.retries: write a whole number, not true.", ""),
    ("retries: 2", "retires: 2", "octopus.yaml:12: experts.math.retires: there is no such field", "retries?"),
    ("retries: 2", "zzz: 2", "octopus.yaml:12: experts.math.zzz: there is no such field", "neighbours"),
    ("max_hops: 2", "max_hops: 99", "octopus.yaml:3: defaults.max_hops: it must be less than or equal to 10", ""),
    (
        "rewrite: never",
        "rewrite: often",
        "octopus.yaml:3: defaults.rewrite: write 'auto', 'always' or 'never'",
        "often",
    ),
    (
        "version: 1",
        "version: 1\nredis: memcached://x",
        "octopus.yaml:2: redis: write embedded, redis://host",
        "VARIABLE",
    ),
    ("version: 1", "version: 1\nredis: redis://:pw@x", "octopus.yaml:2: redis: a password does not belong", "VARIABLE"),
    ("version: 1", "version: 1\nredis: ${lower}", "octopus.yaml:2: redis: name an environment variable", "capital"),
    ("timeout: 2.5", "cost: -1", "octopus.yaml:11: experts.math.cost: it must be greater than or equal to 0", "-1"),
    ("format: v4", "format: v5", "octopus.yaml:2: router.format: write 'chatml' or 'v4', not 'v5'.", ""),
    ("router: {model: ./router, format: v4}", "router: fast", "octopus.yaml:2: router: ", "not 'fast'"),
    ("    description: Calculates\n", "", "octopus.yaml:6: experts.math.description: it is missing", ""),
    ("Calculates", '""', "octopus.yaml:7: experts.math.description: it is empty", ""),
    ("Calculates", "[a]", "octopus.yaml:7: experts.math.description: write a text, not a list.", ""),
    ("  law:\n", "  my law:\n", "octopus.yaml:14: experts.my law: use 1 to 64 letters", ""),
    (
        "neighbours: [law]",
        "neighbours: [history]",
        "octopus.yaml:10: experts.math.neighbours[0]: there is no expert",
        "law",
    ),
    (
        "neighbours: [law]",
        "neighbours: [lwa]",
        "octopus.yaml:10: experts.math.neighbours[0]: there is no expert",
        "mean law",
    ),
    (
        "neighbours: [law]",
        "neighbours:\n      - law\n      - law",
        "octopus.yaml:12: experts.math.neighbours[1]: 'law'",
        "twice",
    ),
    (
        "neighbours: [law]",
        "neighbours: all",
        "octopus.yaml:10: experts.math.neighbours: write",
        "list of experts, not 'all'.",
    ),
    (
        "    fallback: general",
        "    fallback: nobody",
        "octopus.yaml:13: experts.math.fallback: there is no expert",
        "nobody",
    ),
    (
        "    fallback: general",
        "    fallback: math",
        "octopus.yaml:13: experts.math.fallback: an expert cannot",
        "itself",
    ),
    ("\nfallback: general", "\nfallback: nobody", "octopus.yaml:4: fallback: there is no expert 'nobody'", ""),
    ("experts: [math, law]", "experts: [math, x]", "octopus.yaml:3: defaults.experts[1]: there is no expert 'x'", ""),
    (
        "{huggingface: org/name}",
        "org/name",
        "octopus.yaml:16: experts.law.model: a Hugging Face model is",
        "huggingface",
    ),
    (
        "{huggingface: org/name}",
        "{name: x}",
        "octopus.yaml:16: experts.law.model: write embedded",
        "{url: …, model: …}, not a mapping with name.",
    ),
    ("{huggingface: org/name}", "7", "octopus.yaml:16: experts.law.model: write embedded", "not 7"),
    (
        "{huggingface: org/name}",
        "{huggingface: org/name, api_key_env: KEY}",
        "octopus.yaml:16: experts.law.model: api_key_env is for a provider",
        "",
    ),
    ("http://127", "127", "octopus.yaml:8: experts.math.model.url: write an address", "http"),
    ("http://127.0.0.1:8000", "http://127.0.0.1:99999", "octopus.yaml:8: experts.math.model.url: write an address", ""),
    ("model: tiny, ", "", "octopus.yaml:8: experts.math.model.model: it is missing", ""),
    (
        "model: tiny, ",
        "modle: tiny, ",
        "octopus.yaml:8: experts.math.model.modle: there is no such field",
        "mean model?",
    ),
    ("version: 1", "version: 1\nversion: 1", "octopus.yaml:2: version: it stands twice", "remove"),
    ("  law:\n", "  math:\n", "octopus.yaml:14: experts.math: it stands twice", ""),
    ("  law:\n", "  12:\n", "octopus.yaml:14: experts.12: a name here must be a text", "quotes"),
    ("  law:\n", "  ? [a]\n  :\n", "octopus.yaml:14: experts: a name here must be a word", "list"),
    ("    description: Judges", "    <<: {description: Judges}", "octopus.yaml:15: experts.law: merge keys", "write"),
    ("Judges", "!!python/name:os.system Judges", "octopus.yaml:15: experts.law.description: YAML tags", "python/name"),
    ("Judges", "!secret Judges", "octopus.yaml:15: experts.law.description: YAML tags", "!secret"),
    ("retries: 2", f"retries: {'9' * 5000}", "octopus.yaml:12: experts.math.retries: this number cannot be read", ""),
    ("[math, law]", "[math, law", "octopus.yaml:3: the YAML is broken: while parsing a flow sequence", "','"),
    ("version: 1", "\tversion: 1", "octopus.yaml:1: the YAML is broken: found character", "spaces"),
    ("  law:\n", "   law:\n", "octopus.yaml:14: the YAML is broken: ", ""),
    ("[law]", "*nowhere", "octopus.yaml:10: the YAML is broken: found undefined alias", "nowhere"),
    ("Judges", "Jud\x07ges", "octopus.yaml:15: a character YAML does not allow", "remove"),
    ("  law:\n", "---\n  law:\n", "octopus.yaml:14: the YAML is broken: ", "document"),
]


@pytest.mark.parametrize(
    ("old", "new", "begins", "holds"), BROKEN, ids=[case[1][:30] or case[0][:30] for case in BROKEN]
)
def test_a_wrong_field_is_named_with_file_and_line(write, old: str, new: str, begins: str, holds: str) -> None:
    assert old in WHOLE

    message = refusal(write(WHOLE.replace(old, new, 1)))

    assert message.startswith(begins), message
    assert holds in message
    assert message.endswith((".", "?", "file)")), message


def test_the_first_problem_in_the_file_is_told_and_the_others_counted(write) -> None:
    text = (
        WHOLE.replace("timeout: 2.5", "timeout: soon")
        .replace("max_hops: 2", "max_hops: 0")
        .replace("retries: 2", "x: 2")
    )

    message = refusal(write(text))

    assert message.startswith("octopus.yaml:3: defaults.max_hops: ")
    assert message.endswith("(2 more in this file)")


# ---------------------------------------------------------------- secrets


@pytest.mark.parametrize(
    ("old", "new", "secret"),
    [
        ("${TINY_KEY}", "sk-abcdefghijklmnop1234", "abcdefghijklmnop1234"),
        ("${TINY_KEY}", "hf_AbCdEfGhIjKlMnOp1234", "AbCdEfGhIjKlMnOp1234"),
        ("${TINY_KEY}", "my own secret", "own secret"),
        ("${TINY_KEY}", "a1b2c3d4e5f6", "a1b2c3d4e5f6"),
        ("${TINY_KEY}", "$TINY_KEY}", "TINY_KEY}"),
        ('api_key_env: "${TINY_KEY}"', "api_key: hunter2hunter2", "hunter2"),
        ('api_key_env: "${TINY_KEY}"', "password: hunter2hunter2", "hunter2"),
        ("http://127", "http://me:hunter2@127", "hunter2"),
        ("8000/v1", "8000/v1?key=hunter2", "hunter2"),
        ("Be exact.", "Say Bearer abcdefghijklmnop1234 to it.", "abcdefghijklmnop1234"),
        ("tiny", "gsk_abcdefghijklmnop1234", "abcdefghijklmnop1234"),
    ],
)
def test_a_literal_secret_is_refused_and_not_repeated(write, old: str, new: str, secret: str) -> None:
    message = refusal(write(WHOLE.replace(old, new)))

    assert message.startswith(("octopus.yaml:8: experts.math.", "octopus.yaml:9: experts.math.")), message
    assert "environment variable" in message or "variable that holds the key" in message
    assert secret not in message


def test_a_secret_as_a_name_is_refused_and_not_repeated(write) -> None:
    message = refusal(write(WHOLE.replace("  law:\n", "  sk-abcdefghijklmnop1234:\n")))

    assert message.startswith("octopus.yaml:14: experts: this looks like a secret")
    assert "abcdefghijklmnop1234" not in message


def test_words_that_only_begin_like_keys_are_no_secrets(write) -> None:
    text = WHOLE.replace(
        "Judges", "Knows task-management-and-planning, sk-learn-and-its-pipelines, hf_transformers_library"
    )

    assert "sk-learn" in load_spec(write(text)).experts["law"].description


@pytest.mark.parametrize("field", ["model: tiny", "system_prompt: Be exact."])
def test_environment_variables_are_read_in_one_field_only(write, field: str) -> None:
    name = field.partition(":")[0]
    message = refusal(write(WHOLE.replace(field, f'{name}: "${{HOME}}"', 1)))

    assert "${HOME} is not replaced here" in message
    assert "api_key_env" in message


def test_loading_needs_no_environment_variable(write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TINY_KEY", raising=False)

    assert load_spec(write(WHOLE)).experts["math"]


# ---------------------------------------------------------------- files that are no graph files


def test_a_missing_file_names_the_shipped_graphs(write) -> None:
    assert refusal("nowhere.yaml") == "There is no graph file 'nowhere.yaml': the shipped graphs are default and paper."
    assert "did you mean default?" in refusal("defualt")


@pytest.mark.parametrize("name", ["", "x" * 5000, "a\0b", "~nobody-of-that-name/x"])
def test_a_name_that_is_no_path_is_a_missing_file(name: str) -> None:
    message = refusal(name)

    assert "graph file" in message or "folder" in message
    assert len(message) < 400


def test_a_folder_is_refused(write, tmp_path: Path) -> None:
    (tmp_path / "graphs").mkdir()

    assert refusal("graphs") == "graphs is a folder: name the graph file in it."


def test_a_shipped_name_wins_over_a_file_and_a_path_over_the_shipped_name(write) -> None:
    write("version: 1\nexperts: {only: {description: One}}\n", "default")

    assert "math" in load_spec("default").experts
    assert list(load_spec("./default").experts) == ["only"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_refused_and_not_waited_for(write, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    assert "not a regular file" in refusal("pipe")


def test_a_file_that_may_not_be_read_says_so(write, monkeypatch: pytest.MonkeyPatch) -> None:
    name = write(WHOLE)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # the tests may run as root, who may read everything

    assert refusal(name) == "octopus.yaml cannot be read (Permission denied): check its name and permissions."


@pytest.mark.parametrize(
    "content", [b"\x89PNG\r\n\x1a\n\0\0", b"GGUF\x03\0\0\0\xff\xfe", "version: 1".encode("utf-16")]
)
def test_a_binary_file_is_refused(write, content: bytes) -> None:
    assert "is not a text file" in refusal(write(content))


@pytest.mark.parametrize("content", ["", "# nothing\n", "---\n"])
def test_an_empty_file_says_what_to_write(write, content: str) -> None:
    message = refusal(write(content))

    assert message.startswith("octopus.yaml:1: ")
    assert "version: 1" in message


@pytest.mark.parametrize("content", ["- a\n- b\n", "just words\n", "42\n"])
def test_a_file_that_is_no_mapping_says_how_to_begin(write, content: str) -> None:
    assert refusal(write(content)) == "octopus.yaml:1: a graph file is a mapping: begin it with `version: 1`."


def test_a_huge_file_is_refused_unread(write) -> None:
    name = write("# " + "x" * 50_000_000)
    started = time.process_time()  # not the clock on the wall: other work on the machine is not this test's

    message = refusal(name)

    assert "larger than 1 MB" in message
    assert time.process_time() - started < 1


def test_a_file_just_below_the_limit_is_read(write) -> None:
    text = "version: 1\nexperts: {math: {description: Calculates}}\n# "

    assert load_spec(write(text + "x" * (1024 * 1024 - len(text)))).experts["math"]
    assert "larger than 1 MB" in refusal(write(text + "x" * (1024 * 1024 - len(text) + 1)))


def test_an_alias_bomb_is_refused_before_it_goes_off(write) -> None:
    levels = ["version: 1", "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    started = time.process_time()

    message = refusal(write("\n".join(levels)))

    assert message.startswith("octopus.yaml:3: a1[0]: aliases (*name) are not supported")
    assert time.process_time() - started < 1


def test_an_alias_that_holds_itself_is_refused(write) -> None:
    message = refusal(write("version: 1\nexperts: &e\n  math: *e\n"))

    assert message.startswith("octopus.yaml:3: experts.math: aliases (*name) are not supported")


@pytest.mark.parametrize("content", ["version: " + "[" * 100_000, "version: " + "{a: " * 1000, "- " * 50_000])
def test_nesting_without_end_is_refused(write, content: str) -> None:
    assert "nested too deeply" in refusal(write(content))
