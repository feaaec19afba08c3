"""build_graph: a spec becomes experts, a router and a graph, or one sentence that says why not."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langchain_openai import ChatOpenAI

from octopus_graph.engines.hf import HFEngine
from octopus_graph.errors import AdapterError, ModelNotFoundError, SpecError, WeightsError
from octopus_graph.router import OctopusRouter
from octopus_graph.spec import ExpertSpec, GraphSpec, UrlModel, build_graph, build_router, load_spec, store_of
from octopus_graph.testing import scripted_router

ROUTER = scripted_router({"derivative": "math"})
Write = Callable[[str], GraphSpec]

# A graph without a tensor: everything in it is somewhere else.
REMOTE = """\
version: 1
defaults: {max_hops: 2}
fallback: law
experts:
  math:
    description: Calculates
    model: {url: "http://127.0.0.1:9/v1", model: tiny, api_key_env: OCTOPUS_TEST_KEY}
    system_prompt: Be exact.
    neighbours: [law]
    timeout: 2.5
    retries: 2
    fallback: law
  law:
    description: Judges
    model: {url: "http://127.0.0.1:9/v1", model: tiny}
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    monkeypatch.chdir(tmp_path)

    def write(text: str) -> GraphSpec:
        (tmp_path / "octopus.yaml").write_text(text, encoding="utf-8")
        return load_spec("octopus.yaml")

    return write


def test_the_parts_are_what_the_file_says(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCTOPUS_TEST_KEY", "a-key\n")

    built = build_graph(write(REMOTE), router=ROUTER)

    math, law = built.experts
    assert (math.name, math.description, math.system_prompt) == ("math", "Calculates", "Be exact.")
    assert (math.neighbours, math.timeout, math.retries, math.fallback) == (("law",), 2.5, 2, "law")
    assert (law.neighbours, law.timeout, law.retries, law.fallback) == (None, None, 0, None)
    assert isinstance(math.runnable, ChatOpenAI)
    assert (math.runnable.openai_api_base, math.runnable.model_name) == ("http://127.0.0.1:9/v1", "tiny")
    assert math.runnable.openai_api_key.get_secret_value() == "a-key"  # type: ignore[union-attr]
    assert built.router is ROUTER
    assert {"route", "math", "law", "finish"} <= set(built.graph.nodes)


@pytest.mark.parametrize("value", [None, "", "  "])
def test_an_unset_environment_variable_is_named_with_its_line(
    write: Write, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    if value is None:
        monkeypatch.delenv("OCTOPUS_TEST_KEY", raising=False)
    else:
        monkeypatch.setenv("OCTOPUS_TEST_KEY", value)

    with pytest.raises(
        SpecError, match=r"^octopus\.yaml:7: experts\.math\.model\.api_key_env: .*OCTOPUS_TEST_KEY is not set"
    ):
        build_graph(write(REMOTE), router=ROUTER)


def test_an_expert_the_router_does_not_know_is_named_with_its_line(write: Write) -> None:
    text = (
        REMOTE.replace("  law:\n", "  cooking:\n").replace("fallback: law", "fallback: cooking").replace("[law]", "[]")
    )

    with pytest.raises(
        SpecError, match=r"^octopus\.yaml:13: experts\.cooking: the router knows no expert 'cooking'; .*math"
    ):
        build_graph(write(text), dry_run=True, router=ROUTER)


def test_experts_may_be_some_of_the_routers(write: Write) -> None:
    built = build_graph(write("version: 1\nexperts: {law: {description: Judges}}\n"), dry_run=True, router=ROUTER)

    answer = built.graph.compile().invoke({"messages": [HumanMessage("the derivative?")]})

    assert answer["messages"][-1].text == "[law] the derivative?"


def test_the_defaults_of_the_file_are_those_of_a_run(write: Write) -> None:
    router = scripted_router({"x": ["math", "law", "math", "law"]})
    text = "version: 1\ndefaults: {max_hops: %d}\nexperts: {math: {description: M}, law: {description: L}}\n"

    def hops(most: int) -> list[str]:
        graph = build_graph(write(text % most), dry_run=True, router=router).graph.compile()
        return [hop["expert"] for hop in graph.invoke({"messages": [HumanMessage("x")]})["hops"]]

    assert hops(1) == ["math"]
    assert hops(2) == ["math", "law"]


def test_the_fallback_of_the_file_takes_what_the_router_is_unsure_of(write: Write) -> None:
    experts = "experts: {math: {description: M}, law: {description: L}}"
    spec = write(f"version: 1\ndefaults: {{min_confidence: 0.9}}\nfallback: law\n{experts}\n")
    router = scripted_router({"x": {"math": 0.1, "law": 0.0, "end": 9.0}})
    graph = build_graph(spec, dry_run=True, router=router).graph.compile()

    assert graph.invoke({"messages": [HumanMessage("x")]})["messages"][-1].text == "[law] x"


def test_a_dry_run_needs_no_key_and_keeps_the_shape(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OCTOPUS_TEST_KEY", raising=False)

    built = build_graph(write(REMOTE), dry_run=True, router=ROUTER)

    assert [(expert.name, expert.neighbours) for expert in built.experts] == [("math", ("law",)), ("law", None)]
    answer = built.graph.compile().invoke({"messages": [HumanMessage("the derivative?")]})
    assert answer["messages"][-1].text == "[math] the derivative?"


@pytest.mark.parametrize("name", ["default", "paper"])
def test_a_dry_run_loads_no_model_and_no_library_for_one(name: str, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from octopus_graph.spec import build_graph, load_spec\n"
        "from octopus_graph.testing import scripted_router\n"
        f"built = build_graph(load_spec({name!r}), dry_run=True, router=scripted_router({{}}))\n"
        "built.graph.compile().invoke({'messages': [('user', 'hello')]})\n"
        "print(sorted({'torch', 'transformers', 'langchain_openai', 'langchain_huggingface'} & set(sys.modules)))\n"
    )

    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_a_spec_made_in_code_is_checked_like_a_file() -> None:
    spec = GraphSpec(version=1, experts={"math": ExpertSpec(description="Calculates", neighbours=["nobody"])})

    with pytest.raises(
        SpecError, match=r"^experts\.math\.neighbours\[0\]: there is no expert 'nobody'; there are math\.$"
    ):
        build_graph(spec, dry_run=True, router=ROUTER)


def test_a_spec_made_in_code_can_be_built() -> None:
    model = UrlModel(url="http://127.0.0.1:9/v1", model="tiny")
    spec = GraphSpec(version=1, experts={"math": ExpertSpec(description="Calculates", model=model)})

    assert isinstance(build_graph(spec, router=ROUTER).experts[0].runnable, ChatOpenAI)


# ---------------------------------------------------------------- models that cannot be set up


@pytest.mark.parametrize(
    ("written", "store"),
    [("", None), ("redis: embedded", "embedded"), ("redis: redis://cache:6379/1", "redis://cache:6379/1")],
)
def test_a_graph_file_says_where_threads_are_kept(write: Write, written: str, store: str | None) -> None:
    assert store_of(write(f"version: 1\n{written}\nexperts: {{math: {{description: M, cost: 2}}}}\n")) == store


def test_the_url_of_a_store_may_be_a_secret(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = write("version: 1\nredis: ${MY_REDIS}\nexperts: {math: {description: M}}\n")
    monkeypatch.delenv("MY_REDIS", raising=False)
    with pytest.raises(SpecError, match=r"^octopus\.yaml:2: redis: the environment variable MY_REDIS is not set"):
        store_of(spec)
    monkeypatch.setenv("MY_REDIS", "rediss://me:secret@cache:6379")
    assert store_of(spec) == "rediss://me:secret@cache:6379"


@pytest.mark.parametrize(
    ("model", "kind", "reason"),
    [
        ("nosuchprovider:x", SpecError, "nosuchprovider"),
        ("anthropic:claude-x", SpecError, "langchain-anthropic"),
        ("openai:gpt-4o-mini", SpecError, "OPENAI_API_KEY"),
        ("{huggingface: no-such-folder-and-no-id}", ModelNotFoundError, "no-such-folder-and-no-id"),
        ("{huggingface: empty}", WeightsError, "config.json"),
    ],
)
def test_a_model_that_cannot_be_set_up_is_named_with_its_line(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, kind: type[Exception], reason: str
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    (tmp_path / "empty").mkdir()
    spec = write(f"version: 1\nexperts:\n  math:\n    description: Calculates\n    model: {model}\n")

    with pytest.raises(kind, match=rf"^octopus\.yaml:5: experts\.math\.model: .*{reason}") as caught:
        build_graph(spec, router=ROUTER)
    assert "\n" not in str(caught.value)


# ---------------------------------------------------------------- with tiny models in this process


def chat_settings(built: Any) -> list[tuple[str, float | None]]:
    return [(expert.runnable.shared.name, expert.runnable.max_seconds) for expert in built.experts]


def test_embedded_experts_share_the_routers_base(write: Write, router_folder: Path) -> None:
    experts = "\n".join(
        f"  {name}: {{description: D, timeout: {seconds}}}" for name, seconds in (("math", 5), ("law", 9))
    )
    spec = write(f"version: 1\nrouter: {{model: {router_folder}}}\nexperts:\n{experts}\n")

    built = build_graph(spec)

    assert isinstance(built.router.engine, HFEngine)
    models = [expert.runnable.shared.get()[0] for expert in built.experts]
    assert models == [built.router.engine.base[0]] * 2
    assert [seconds for _, seconds in chat_settings(built)] == [5, 9]


def test_experts_that_name_one_folder_share_one_model_found_beside_the_file(
    write: Write, llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tiny").symlink_to(llama)
    model = "{huggingface: tiny}"
    spec = write(
        f"version: 1\nexperts:\n  math: {{description: M, model: {model}}}\n  law: {{description: L, model: {model}}}\n"
    )
    monkeypatch.chdir("/")

    built = build_graph(spec, router=ROUTER)

    first, second = (expert.runnable.shared for expert in built.experts)
    assert first is second
    assert first.get()[0] is second.get()[0]


def test_a_router_folder_is_found_beside_the_file(
    write: Write, router_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").symlink_to(router_folder)
    spec = write("version: 1\nrouter: {model: ./mine}\nexperts: {math: {description: M}}\n")
    monkeypatch.chdir("/")

    router = build_router(spec)

    assert isinstance(router, OctopusRouter)
    assert router.decide("2 + 2?", ["math"], rewrite="never").expert == "math"


def test_a_v4_checkpoint_is_a_router_with_the_format_of_the_file(write: Write, phi3: Path) -> None:
    spec = write(f"version: 1\nrouter: {{model: {phi3}, format: v4}}\nexperts: {{math: {{description: M}}}}\n")

    assert build_graph(spec, dry_run=True).router.codec.name == "v4"


@pytest.mark.parametrize(
    ("model", "kind", "reason"),
    [
        ("no-such-router", ModelNotFoundError, "no-such-router"),
        ("org/never-fetched", ModelNotFoundError, "org/never-fetched"),
        ("{llama}", AdapterError, "functional token"),
        ("broken", AdapterError, "router.json"),
    ],
)
def test_a_router_that_is_none_is_named_with_its_line(
    write: Write, llama: Path, tmp_path: Path, model: str, kind: type[Exception], reason: str
) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "router.json").write_text(json.dumps({"version": 7}), encoding="utf-8")
    spec = write(f"version: 1\nrouter:\n  model: {model.format(llama=llama)}\nexperts: {{math: {{description: M}}}}\n")

    with pytest.raises(kind, match=rf"^octopus\.yaml:3: router\.model: .*{reason}") as caught:
        build_graph(spec, dry_run=True)
    assert "\n" not in str(caught.value)
