"""The supervisor without a language model: who is handed over to, what is shown and kept, what is refused."""

import threading
from typing import Annotated, Any

import pytest
from langchain.agents import create_agent
from langchain_core.language_models import FakeMessagesListChatModel
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.runnables import RunnableLambda
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import GraphRecursionError
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import Command, interrupt
from langgraph_swarm import create_handoff_tool
from pydantic import BaseModel
from typing_extensions import TypedDict

from octopus_graph.errors import ConfigurationError, ExpertError, InputError, UnknownExpertError
from octopus_graph.router import OctopusRouter
from octopus_graph.testing import Pick, scripted_router
from octopus_graph_integrations.supervisor import create_octopus_supervisor

EXPERTS = {"sums": "math", "research": "*"}
ONE = {"max_hops": 1}
TWO_PARTS = "Both: What is the GDP of France? What is the root of 2?"


@pytest.fixture
def router() -> OctopusRouter:
    return scripted_router(
        {
            "Both": [
                Pick("economics", "What is the GDP of France?"),
                Pick("math", "What is the root of 2?"),
            ],
            "root": "math",
            "vague": {"math": 0.4, "economics": 0.3, "law": 0.3},
            "GDP": "economics",
        }
    )


@pytest.fixture
def team(agent: Any) -> list[Any]:
    return [agent("sums"), agent("research")]


def ask(graph: Any, text: str, **more: Any) -> Any:
    return graph.invoke({"messages": [HumanMessage(text)]}, **more)


def test_the_agent_of_the_routers_expert_answers(team: list[Any], router: OctopusRouter) -> None:
    graph = create_octopus_supervisor(team, router=router, experts=EXPERTS).compile()
    state = ask(graph, "The root of 2?")
    assert [(message.type, message.name) for message in state["messages"]] == [
        ("human", None),
        ("ai", "supervisor"),
        ("tool", "transfer_to_sums"),
        ("ai", "sums"),
        ("ai", "sums"),
        ("tool", "transfer_back_to_supervisor"),
        ("ai", "supervisor"),
    ]
    assert state["messages"][-1].text == "sums has answered"
    assert [(hop["expert"], hop["token"]) for hop in state["hops"]] == [("sums", "<nexa_4>")]


async def test_it_answers_in_an_event_loop_too(team: list[Any], router: OctopusRouter) -> None:
    graph: Any = create_octopus_supervisor(team, router=router, experts=EXPERTS).compile()
    state = await graph.ainvoke({"messages": [HumanMessage("The GDP of Peru?")]})
    assert state["messages"][-1].text == "research has answered"


def test_without_handoff_messages_a_thread_is_questions_and_answers(team: list[Any], router: OctopusRouter) -> None:
    graph = create_octopus_supervisor(team, router=router, experts=EXPERTS, add_handoff_messages=False).compile()
    assert [m.type for m in ask(graph, "The root of 2?")["messages"]] == ["human", "ai"]
    assert [m.type for m in ask(graph, TWO_PARTS)["messages"]] == ["human", "ai", "ai", "ai"]


def test_parts_go_to_their_agents_one_after_the_other_and_the_answers_are_joined(
    team: list[Any], router: OctopusRouter
) -> None:
    state = ask(create_octopus_supervisor(team, router=router, experts=EXPERTS).compile(), TWO_PARTS)
    assert [hop["expert"] for hop in state["hops"]] == ["research", "sums"]
    assert state["messages"][-1].text == "## Research\n\nresearch has answered\n\n## Sums\n\nsums has answered"


def test_independent_parts_are_worked_on_at_the_same_time(agent: Any, router: OctopusRouter) -> None:
    both_at_work = threading.Barrier(2, timeout=60)  # neither answers before the other has begun

    def say(_: Any) -> list[Any]:
        both_at_work.wait()
        return [AIMessage("done")]

    team = [agent("sums", say), agent("research", say)]
    graph = create_octopus_supervisor(team, router=router, experts=EXPERTS, parallel_tool_calls=True).compile()
    state = ask(graph, TWO_PARTS)
    handoff = state["messages"][1]
    assert [call["name"] for call in handoff.tool_calls] == ["transfer_to_research", "transfer_to_sums"]
    assert [call["args"]["query"] for call in handoff.tool_calls] == [
        "What is the GDP of France?",
        "What is the root of 2?",
    ]
    assert state["messages"][-1].text == "## Research\n\ndone\n\n## Sums\n\ndone"


def test_a_part_that_needs_the_others_answer_waits_for_it(agent: Any) -> None:
    request = "Both: What is the GDP of France? Then take the root of that number"
    script = {"Both": [Pick("economics", "What is the GDP of France?"), Pick("math", "take the root of that number")]}
    shown: list[list[Any]] = []
    team = [agent("sums", shown=shown), agent("research", shown=shown)]
    graph = create_octopus_supervisor(
        team, router=scripted_router(script), experts=EXPERTS, parallel_tool_calls=True
    ).compile()
    ask(graph, request)
    assert "research has answered" in [message.text for message in shown[1]]


def test_unsure_requests_fan_out_where_the_context_says_so(agent: Any, router: OctopusRouter) -> None:
    team = [agent("sums"), agent("money"), agent("courts")]
    experts = {"sums": "math", "money": "economics", "courts": "law"}
    graph = create_octopus_supervisor(team, router=router, experts=experts).compile()
    context = {"min_confidence": 0.9, "when_unsure": "fan_out", "fan_out": 3}
    state = ask(graph, "vague", context=context)
    assert sorted(hop["expert"] for hop in state["hops"]) == ["courts", "money", "sums"]
    assert all(f"{name} has answered" in state["messages"][-1].text for name in experts)


def test_what_the_experts_of_one_agent_are_given_is_added_up(team: list[Any], router: OctopusRouter) -> None:
    state = ask(create_octopus_supervisor(team, router=router, experts=EXPERTS).compile(), "vague", context=ONE)
    assert [hop["expert"] for hop in state["hops"]] == ["research"]  # economics and law outdo math
    assert state["hops"][0]["confidence"] > 0.6


def test_the_fallback_takes_what_the_router_is_not_sure_of_and_without_one_it_is_declined(
    agent: Any, router: OctopusRouter
) -> None:
    team = [agent("sums"), agent("money"), agent("courts")]
    experts = {"sums": "math", "money": "economics", "courts": "law"}
    unsure = {"min_confidence": 0.9}
    graph = create_octopus_supervisor(team, router=router, experts=experts, fallback="courts").compile()
    assert ask(graph, "vague", context=unsure)["messages"][-1].text == "courts has answered"
    graph = create_octopus_supervisor(team, router=router, experts=experts).compile()
    state = ask(graph, "vague", context=unsure)
    assert "No agent is sure enough" in state["messages"][-1].text
    assert state["hops"] == []


def test_an_unsure_run_may_ask_its_human(agent: Any, router: OctopusRouter) -> None:
    team = [agent("sums"), agent("money"), agent("courts")]
    experts = {"sums": "math", "money": "economics", "courts": "law"}
    graph: Any = create_octopus_supervisor(team, router=router, experts=experts).compile(InMemorySaver())
    config = {"configurable": {"thread_id": "1"}}
    context = {"min_confidence": 0.9, "when_unsure": "ask"}
    stopped = ask(graph, "vague", config=config, context=context)
    assert "Say more, or name one." in stopped["__interrupt__"][0].value["question"]
    state = graph.invoke(Command(resume="courts"), config, context=context)
    assert state["messages"][-1].text == "courts has answered"


def test_a_router_that_never_ends_is_ended(team: list[Any]) -> None:
    back_and_forth = scripted_router(lambda scene: "math" if len(scene.answers) % 2 else "economics")
    graph = create_octopus_supervisor(team, router=back_and_forth, experts=EXPERTS).compile()
    try:
        state = ask(graph, "Who goes first?", context={"max_hops": 10})
    except GraphRecursionError:  # what langgraph-swarm's issue 6 reports
        pytest.fail("the run went round in circles")
    # Asked the same a second time nobody answers otherwise, so each of them is asked once.
    assert [hop["expert"] for hop in state["hops"]] == ["research", "sums"]


def test_the_budget_of_hops_is_kept_and_begins_anew_with_each_turn(team: list[Any], router: OctopusRouter) -> None:
    graph: Any = create_octopus_supervisor(team, router=router, experts=EXPERTS).compile(InMemorySaver())
    config = {"configurable": {"thread_id": "1"}}
    for _ in range(3):
        state = ask(graph, TWO_PARTS, config=config, context={"max_hops": 2})
        assert [hop["expert"] for hop in state["hops"]] == ["research", "sums"]
    state = ask(graph, TWO_PARTS, config=config, context={"max_hops": 1})
    assert [hop["expert"] for hop in state["hops"]] == ["research"]


def test_the_earlier_turn_is_in_the_routers_view(team: list[Any], router: OctopusRouter) -> None:
    graph: Any = create_octopus_supervisor(team, router=router, experts=EXPERTS, add_handoff_messages=False)
    graph = graph.compile(InMemorySaver())
    config = {"configurable": {"thread_id": "1"}}
    ask(graph, "The root of 2?", config=config)
    ask(graph, "The GDP of Peru?", config=config)
    assert router.engine.scenes[-1].previous == "The root of 2?"  # pyright: ignore[reportAttributeAccessIssue]


def test_full_history_keeps_the_tools_of_an_agent_and_last_message_its_words(router: OctopusRouter) -> None:
    def half(number: float) -> float:
        """Halves."""
        return number / 2

    modes: Any = (("full_history", ["ai", "tool", "ai"]), ("last_message", ["ai"]))
    for mode, kinds in modes:
        used = AIMessage("", tool_calls=[{"name": "half", "args": {"number": 8}, "id": "call-1"}])
        model = Scripted(responses=[used, AIMessage("It is 4.")])
        team = [create_agent(model, [half], name="sums"), create_agent(model, [half], name="research")]
        graph = create_octopus_supervisor(
            team, router=router, experts=EXPERTS, output_mode=mode, add_handoff_messages=False
        ).compile()
        assert [message.type for message in ask(graph, "The root of 16, halved?")["messages"]] == ["human", *kinds]


class Shop(TypedDict):
    messages: Annotated[list[Any], add_messages]
    customer: str
    balance: int


def shop_agent(name: str, price: int) -> Any:
    def pay(state: Shop) -> dict[str, Any]:
        said = {"messages": [AIMessage(f"{state['customer']} has paid {price}")]}
        return {**said, "balance": state["balance"] - price} if price else said

    builder = StateGraph(Shop)
    builder.add_node("pay", pay)
    builder.add_edge(START, "pay")
    return builder.compile(name=name)


def test_the_applications_own_state_reaches_agents_and_comes_back(router: OctopusRouter) -> None:
    team = [shop_agent("sums", 1), shop_agent("research", 2)]
    graph: Any = create_octopus_supervisor(team, router=router, experts=EXPERTS, state_schema=Shop).compile()
    state = graph.invoke({"messages": [("user", TWO_PARTS)], "customer": "Ada", "balance": 9})
    assert "Ada has paid 2" in state["messages"][-1].text
    assert set(state) == {"messages", "customer", "balance"}
    assert state["balance"] == 6


def test_agents_at_work_together_write_only_what_they_have_changed(router: OctopusRouter) -> None:
    team = [shop_agent("sums", 1), shop_agent("research", 0)]  # both give back the whole state, as every graph does
    graph: Any = create_octopus_supervisor(
        team, router=router, experts=EXPERTS, state_schema=Shop, parallel_tool_calls=True
    ).compile()
    state = graph.invoke({"messages": [("user", TWO_PARTS)], "customer": "Ada", "balance": 9})
    assert len(state["messages"][1].tool_calls) == 2
    assert state["balance"] == 8


def test_a_supervisor_can_be_the_agent_of_another(team: list[Any], agent: Any, router: OctopusRouter) -> None:
    inner = create_octopus_supervisor(team, router=router, experts=EXPERTS).compile(name="numbers")
    outer = create_octopus_supervisor(
        [inner, agent("courts")], router=router, experts={"numbers": ["math", "economics"], "courts": "law"}
    ).compile()
    state = ask(outer, "The root of 2?")
    assert state["messages"][-1].text == "sums has answered"
    assert [hop["expert"] for hop in state["hops"]] == ["numbers"]
    state = ask(outer, TWO_PARTS)
    assert [(hop["expert"], hop["query"]) for hop in state["hops"]] == [
        ("numbers", "What is the GDP of France?"),
        ("numbers", "What is the root of 2?"),
    ]
    assert "research has answered" in state["messages"][-1].text
    assert "sums has answered" in state["messages"][-1].text


def test_an_interrupt_inside_an_agent_is_taken_up_again(agent: Any, router: OctopusRouter) -> None:
    def careful(_: Any) -> list[Any]:
        return [AIMessage(f"booked: {interrupt('Book it?')}")]

    graph: Any = create_octopus_supervisor(
        [agent("sums", careful), agent("research")], router=router, experts=EXPERTS
    ).compile(InMemorySaver())
    config = {"configurable": {"thread_id": "1"}}
    assert ask(graph, "The root of 2?", config=config)["__interrupt__"][0].value == "Book it?"
    assert graph.invoke(Command(resume="yes"), config)["messages"][-1].text == "booked: yes"


def test_after_an_agent_failed_the_thread_goes_on(agent: Any, router: OctopusRouter, faults: Any) -> None:
    broken = [True]

    def say(_: Any) -> list[Any]:
        if broken:
            raise ConnectionError("no route to host")
        return [AIMessage("done")]

    team = [agent("sums", say), agent("research")]
    graph: Any = create_octopus_supervisor(team, router=router, experts=EXPERTS).compile(InMemorySaver())
    config = {"configurable": {"thread_id": "1"}}
    with pytest.raises(ConnectionError):
        ask(graph, "The root of 2?", config=config)
    broken.clear()
    state = ask(graph, "The root of 3?", config=config)
    assert state["messages"][-1].text == "done"
    assert faults(state["messages"]) == []


def test_agents_are_sub_graphs_to_be_looked_into(team: list[Any], router: OctopusRouter) -> None:
    graph = create_octopus_supervisor(team, router=router, experts=EXPERTS).compile(name="octopus")
    assert {name for name, _ in graph.get_subgraphs()} == {"sums", "research"}
    assert {"sums:talk", "research:talk"} <= set(graph.get_graph(xray=True).nodes)
    assert {(e.source, e.target) for e in graph.get_graph().edges} == {
        ("__start__", "supervisor"),
        ("supervisor", "sums"),
        ("supervisor", "research"),
        ("supervisor", "__end__"),
        ("sums", "supervisor"),
        ("research", "supervisor"),
    }


class Scripted(FakeMessagesListChatModel):
    """A chat model that says what it is told to, with tools or without."""

    def bind_tools(self, tools: Any, **_: Any) -> Any:
        return self


class Recorder(Scripted):
    """Remembers what it was shown."""

    shown: Any = []  # noqa: RUF012 - a pydantic field

    def _generate(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
        self.shown.append(messages)
        return super()._generate(messages, *args, **kwargs)

    def with_structured_output(self, schema: Any, **_: Any) -> Any:
        def fill_in(messages: Any) -> Any:
            return schema(text=messages[-2].text)

        return RunnableLambda(fill_in)


class Answer(BaseModel):
    text: str


def test_a_model_writes_the_closing_answer_of_several_agents_and_of_one_it_does_not(
    team: list[Any], router: OctopusRouter
) -> None:
    model = Recorder(responses=[AIMessage("In one voice.")], shown=[])
    graph = create_octopus_supervisor(
        team, router=router, experts=EXPERTS, model=model, prompt="Be short.", include_agent_name="inline"
    ).compile()
    assert ask(graph, "The root of 2?")["messages"][-1].text == "sums has answered"
    assert model.shown == []
    assert ask(graph, TWO_PARTS)["messages"][-1].text == "In one voice."
    shown: Any = model.shown[0]
    assert shown[0] == SystemMessage("Be short.")
    assert "<name>sums</name><content>sums has answered</content>" in [message.text for message in shown]


def test_a_structured_response_is_the_models(team: list[Any], router: OctopusRouter) -> None:
    model = Recorder(responses=[AIMessage("unused")], shown=[])
    graph = create_octopus_supervisor(
        team, router=router, experts=EXPERTS, model=model, response_format=("Fill in.", Answer)
    ).compile()
    assert ask(graph, "The root of 2?")["structured_response"] == Answer(text="sums has answered")


def nothing(_: Any) -> list[Any]:
    return []


def test_an_agent_that_says_nothing_is_named(agent: Any, router: OctopusRouter) -> None:
    graph = create_octopus_supervisor(
        [agent("sums", nothing), agent("research")], router=router, experts=EXPERTS
    ).compile()
    with pytest.raises(ExpertError, match="'sums' did not answer"):
        ask(graph, "The root of 2?")


def test_a_run_needs_a_request(team: list[Any], router: OctopusRouter) -> None:
    graph: Any = create_octopus_supervisor(team, router=router, experts=EXPERTS).compile(InMemorySaver())
    config = {"configurable": {"thread_id": "1"}}
    for _ in range(2):
        with pytest.raises(InputError, match="the last message must be the user's"):
            graph.invoke({"messages": [AIMessage("I say something")]}, config)
        ask(graph, "The root of 2?", config=config)


# ---------------------------------------------------------------- refused while the graph is built


def hands_over() -> Any:
    model = Scripted(responses=[AIMessage("")])
    return create_agent(model, [create_handoff_tool(agent_name="research")], name="sums")


class NoMessages(TypedDict):
    text: str


def without_messages(agent: Any) -> Any:
    builder = StateGraph(NoMessages)
    builder.add_node("talk", lambda state: {"text": ""})
    builder.add_edge(START, "talk")
    return builder.compile(name="sums")


@pytest.mark.parametrize(
    ("first", "message"),
    [
        (lambda agent: agent("LangGraph"), "has no name"),
        (lambda agent: agent(None), "has no name"),
        (lambda agent: agent("research"), "Two agents are named 'research'"),
        (lambda agent: agent("supervisor"), "The graph itself has a 'supervisor'"),
        (lambda agent: agent("end"), "The graph itself has a 'end'"),
        (lambda agent: StateGraph(MessagesState), "not compiled"),
        (lambda agent: "sums", "A str is no agent"),
        (lambda agent: hands_over(), "take it away, the router hands over"),
        (without_messages, "has no messages"),
    ],
)
def test_agents_that_cannot_be_used_are_refused(agent: Any, router: OctopusRouter, first: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        create_octopus_supervisor([first(agent), agent("research")], router=router, experts={"research": "*"})


@pytest.mark.parametrize(
    ("experts", "message"),
    [
        ({"sums": "math"}, "agent research.*experts=.*there is no expert 'research'"),
        ({"sums": "maths", "research": "*"}, "agent sums: there is no expert 'maths'"),
        ({"sums": "math", "research": "math"}, "Two agents stand for 'math'"),
        ({"sums": "*", "research": "*"}, "Two agents stand for"),
        ({"sums": [], "research": "*"}, "stands for no expert"),
        ({"sums": "math", "research": "*", "poet": "law"}, "names an agent 'poet' that is not given"),
    ],
)
def test_experts_that_do_not_fit_are_refused(
    team: list[Any], router: OctopusRouter, experts: Any, message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        create_octopus_supervisor(team, router=router, experts=experts)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tools": [len]}, "takes no tools: a router calls no tools"),
        ({"pre_model_hook": len}, "takes no pre_model_hook"),
        ({"prompt": "Be kind."}, "give a model too"),
        ({"response_format": Answer}, "give a model too"),
        ({"output_mode": "all"}, "There is no output_mode 'all'"),
        ({"state_schema": NoMessages}, "NoMessages has no messages"),
    ],
)
def test_parameters_that_mean_nothing_here_are_refused(
    team: list[Any], router: OctopusRouter, options: Any, message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        create_octopus_supervisor(team, router=router, experts=EXPERTS, **options)


def test_a_fallback_or_an_allowed_agent_that_is_not_there_is_refused(team: list[Any], router: OctopusRouter) -> None:
    with pytest.raises(UnknownExpertError, match="fallback"):
        create_octopus_supervisor(team, router=router, experts=EXPERTS, fallback="math")
    graph = create_octopus_supervisor(team, router=router, experts=EXPERTS).compile()
    with pytest.raises(UnknownExpertError, match="the agents allowed"):
        ask(graph, "The root of 2?", context={"experts": ["math"]})
    with pytest.raises(ConfigurationError, match="at least one"):
        create_octopus_supervisor([], router=router)


def test_tool_messages_of_a_handoff_say_the_query_only_where_it_was_rewritten(
    team: list[Any], router: OctopusRouter
) -> None:
    graph = create_octopus_supervisor(team, router=router, experts=EXPERTS, handoff_tool_prefix="ask_").compile()
    tools = [m for m in ask(graph, TWO_PARTS)["messages"] if isinstance(m, ToolMessage) and m.name == "ask_sums"]
    assert [message.text for message in tools] == ["Transferred to sums: What is the root of 2?"]
    tools = [m for m in ask(graph, "The root of 2?")["messages"] if m.name == "ask_sums"]
    assert [message.text for message in tools] == ["Transferred to sums."]
