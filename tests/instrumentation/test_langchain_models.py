import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

pytest.importorskip("langgraph")
from langchain_core.documents import Document
from langchain_core.language_models.fake import FakeListLLM
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.outputs import ChatResult
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.tools import ToolException, tool
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from pydantic import Field

from otel_wfperf import current_operation
from otel_wfperf.analysis.fragments import unpacked
from otel_wfperf.conventions.content import fragments
from otel_wfperf.instrumentation.installing import instrumented
from otel_wfperf.instrumentation.integrations.langgraph import LangGraphIntegration
from tests.instrumentation.recorded import Recorded, Tree, attributes_of
from tests.instrumentation.test_langgraph import stable

USAGE = {
    "input_tokens": 120,
    "output_tokens": 30,
    "total_tokens": 150,
    "input_token_details": {"cache_read": 100, "cache_creation": 7},
    "output_token_details": {"reasoning": 5},
}


class ScriptedModel(GenericFakeChatModel):
    """A chat model that plays back messages, as a provider's integration would."""

    model_name: str = "scripted-1"
    temperature: float = 0.0

    def bind_tools(self, *_: Any, **__: Any) -> Any:
        return self


class FailingModel(GenericFakeChatModel):
    """A chat model whose provider is down."""

    model_name: str = "failing-1"
    messages: Iterator[AIMessage | str] = Field(default=iter(()))

    def _generate(self, *_: Any, **__: Any) -> ChatResult:
        raise TimeoutError("marker-7f3a")


@tool
def search(query: str) -> str:
    """Search."""
    return f"found {query}"


@tool
def broken(query: str) -> str:
    """Fail."""
    raise ToolException(f"cannot find {query}")


def answer(text: str, *, identity: str = "resp_2") -> AIMessage:
    metadata = {"id": identity, "model_name": "scripted-1-0624", "finish_reason": "stop"}
    return AIMessage(text, usage_metadata=USAGE, response_metadata=metadata)


def asks_for(*queries: str, name: str = "search") -> AIMessage:
    calls = [{"name": name, "args": {"query": query}, "id": f"call_{n}"} for n, query in enumerate(queries)]
    metadata = {"id": "resp_1", "finish_reason": "tool_calls"}
    return AIMessage("", tool_calls=calls, response_metadata=metadata)


@pytest.fixture(autouse=True)
def _instrumented() -> Iterator[None]:
    with instrumented(LangGraphIntegration()):
        yield


def test_a_model_call_is_a_whole_span(recorded: Recorded) -> None:
    model = ScriptedModel(messages=iter([answer("the answer is marker-7f3a")]))
    model.invoke([SystemMessage("You are marker-7f3a."), HumanMessage("What is it?")])

    span = recorded.one("chat scripted-1")
    assert span.kind is SpanKind.CLIENT
    assert stable(attributes_of(span)) == {
        "wfperf.span.kind": "llm",
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "scriptedmodel",
        "gen_ai.request.model": "scripted-1",
        "gen_ai.request.temperature": 0.0,
        "gen_ai.response.model": "scripted-1-0624",
        "gen_ai.response.id": "resp_2",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 120,
        "gen_ai.usage.output_tokens": 30,
        "gen_ai.usage.cache_read.input_tokens": 100,
        "gen_ai.usage.cache_write.input_tokens": 7,
        "gen_ai.usage.reasoning.output_tokens": 5,
        "wfperf.context.tokens": 120,
        "wfperf.context.bytes": len("You are marker-7f3a.What is it?"),
        "wfperf.context.messages": 2,
        "wfperf.input.bytes": len("You are marker-7f3a.What is it?"),
        "wfperf.output.bytes": len("the answer is marker-7f3a"),
    }
    assert "marker-7f3a" not in recorded


def test_equal_prompts_have_equal_hashes_and_equal_instructions_equal_prefix_hashes(recorded: Recorded) -> None:
    model = ScriptedModel(messages=iter([answer("a"), answer("a"), answer("b")]))
    instructions = SystemMessage("You are terse.")
    model.invoke([instructions, HumanMessage("one")])
    model.invoke([instructions, HumanMessage("one")])
    model.invoke([instructions, HumanMessage("two")])

    first, second, third = (attributes_of(span) for span in recorded.all("chat scripted-1"))
    assert first["wfperf.prompt.hash"] == second["wfperf.prompt.hash"] != third["wfperf.prompt.hash"]
    assert first["wfperf.prompt.prefix_hash"] == third["wfperf.prompt.prefix_hash"]
    assert first["wfperf.output.hash"] == second["wfperf.output.hash"] != third["wfperf.output.hash"]


def test_a_growing_conversation_says_how_much_of_it_was_sent_before(recorded: Recorded) -> None:
    model = ScriptedModel(messages=iter([answer("x" * 10), answer("y")]))

    def chat(state: MessagesState) -> dict[str, list[AnyMessage]]:
        return {"messages": [model.invoke(state["messages"])]}

    graph = StateGraph(MessagesState).add_node("chat", chat).add_edge(START, "chat")
    graph.add_conditional_edges("chat", lambda state: END if len(state["messages"]) > 2 else "chat")
    graph.compile().invoke({"messages": [HumanMessage("h" * 30)]})

    first, second = (attributes_of(span) for span in recorded.all("chat scripted-1"))
    assert "wfperf.context.reused_ratio" not in first
    assert second["wfperf.context.reused_ratio"] == pytest.approx(30 / 40)


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_a_streamed_call_says_when_the_first_token_came(recorded: Recorded, *, is_async: bool) -> None:
    model = ScriptedModel(messages=iter([AIMessage("several words come")]))

    async def stream() -> list[str]:
        return [str(chunk.content) async for chunk in model.astream("hi")]

    text = asyncio.run(stream()) if is_async else [str(chunk.content) for chunk in model.stream("hi")]

    assert "".join(text) == "several words come"
    span = recorded.one("chat scripted-1")
    duration_s = ((span.end_time or 0) - (span.start_time or 0)) / 1e9
    assert 0 < attributes_of(span)["gen_ai.response.time_to_first_chunk"] <= duration_s


def test_a_failed_model_call_is_an_error_of_its_type(recorded: Recorded) -> None:
    with pytest.raises(TimeoutError):
        FailingModel().invoke("hi")

    span = recorded.one("chat failing-1")
    assert attributes_of(span)["error.type"] == "TimeoutError"
    assert span.status.status_code is StatusCode.ERROR
    assert "marker-7f3a" not in recorded


def test_a_completion_model_is_recorded_as_one(recorded: Recorded) -> None:
    FakeListLLM(responses=["yes"]).invoke("marker-7f3a?")

    [span] = recorded.spans
    attributes = attributes_of(span)
    assert span.name.startswith("text_completion ")
    assert attributes["gen_ai.operation.name"] == "text_completion"
    assert (attributes["wfperf.context.bytes"], attributes["wfperf.output.bytes"]) == (len("marker-7f3a?"), 3)
    assert "marker-7f3a" not in recorded


def test_model_calls_in_chains_belong_to_the_node(recorded: Recorded) -> None:
    prompt = ChatPromptTemplate.from_messages([("system", "terse"), ("human", "{question}")])
    chain = prompt | ScriptedModel(messages=iter([answer("a")]))

    def ask(state: MessagesState) -> Any:
        del state
        return {"messages": [chain.invoke({"question": "why"})]}

    graph = StateGraph(MessagesState).add_node("ask", ask).add_edge(START, "ask").compile(name="g")
    graph.invoke({"messages": []})

    assert recorded.trees() == [
        Tree("invoke_workflow g", (Tree("phase ask", (Tree("chat scripted-1"),)),)),
    ]


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_spans_of_the_providers_client_belong_to_the_model_call(
    recorded: Recorded, user_span: Any, *, is_async: bool
) -> None:
    class Client(ScriptedModel):
        def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
            with user_span("POST"):
                return super()._generate(*args, **kwargs)

        async def _agenerate(self, *args: Any, **kwargs: Any) -> ChatResult:
            with user_span("POST"):
                await asyncio.sleep(0)
                return super()._generate(*args, **kwargs)

    model = Client(messages=iter([answer("a"), answer("b")]))

    async def ask() -> None:
        await model.ainvoke("hi")
        assert current_operation() is None

    asyncio.run(ask()) if is_async else model.invoke("hi")

    assert current_operation() is None
    assert recorded.trees() == [Tree("chat scripted-1", (Tree("POST"),))]


def test_messages_that_cannot_be_read_cost_their_description_only(
    exporter: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("ours")

    exporter.clear()
    monkeypatch.setattr("otel_wfperf.instrumentation.payload.read", fail)
    monkeypatch.setattr("otel_wfperf.instrumentation.prompts.sha256", fail)
    ScriptedModel(messages=iter([answer("a")])).invoke("hi")

    assert [span.name for span in exporter.get_finished_spans()] == ["chat scripted-1"]


# -- tools ----------------------------------------------------------------------------------------------------------


def loop_of(*messages: AIMessage, tools: Sequence[Any] = (search,), handles: bool = True) -> Any:
    """The usual loop of a model and its tools, by hand."""
    model = ScriptedModel(messages=iter(messages))

    def think(state: MessagesState) -> dict[str, Any]:
        return {"messages": [model.invoke(state["messages"])]}

    graph = StateGraph(MessagesState).add_node("think", think)
    graph.add_node("tools", ToolNode(tools, handle_tool_errors=handles))
    graph.add_edge(START, "think").add_conditional_edges("think", tools_condition).add_edge("tools", "think")
    return graph.compile(name="loop")


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_tool_calls_of_one_answer_name_it_as_their_turn(recorded: Recorded, *, is_async: bool) -> None:
    graph = loop_of(asks_for("a", "b"), answer("done"))
    given = {"messages": [HumanMessage("go")]}
    result = asyncio.run(graph.ainvoke(given)) if is_async else graph.invoke(given)

    assert [message.content for message in result["messages"]] == ["go", "", "found a", "found b", "done"]
    spans = recorded.all("execute_tool search")
    assert {recorded.parent_name(span) for span in spans} == {"phase tools"}
    by_call = {attributes_of(span)["gen_ai.tool.call.id"]: attributes_of(span) for span in spans}
    assert sorted(by_call) == ["call_0", "call_1"]
    assert stable(by_call["call_0"]) == {
        "wfperf.span.kind": "tool",
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "search",
        "gen_ai.tool.call.id": "call_0",
        "wfperf.turn.id": "resp_1",
        "wfperf.input.bytes": len("querya"),
        "wfperf.output.bytes": len("found a"),
    }
    assert by_call["call_0"]["wfperf.input.hash"] != by_call["call_1"]["wfperf.input.hash"]


def test_what_a_tool_found_turns_up_in_the_prompt_that_uses_it(recorded: Recorded) -> None:
    loop_of(asks_for("a long and unusual query"), answer("done")).invoke({"messages": [HumanMessage("go")]})

    found = unpacked(recorded.attributes("execute_tool search")["wfperf.output.fragments"])
    before, after = (
        unpacked(attributes_of(span)["wfperf.input.fragments"]) for span in recorded.all("chat scripted-1")
    )
    assert found <= after
    assert not found & before
    assert found == fragments("found a long and unusual query")


def test_a_tool_error_that_becomes_a_message_is_an_error_of_the_tool_only(recorded: Recorded) -> None:
    graph = loop_of(asks_for("marker-7f3a", name="broken"), answer("sorry"), tools=[broken])
    result = graph.invoke({"messages": [HumanMessage("go")]})

    assert any(isinstance(message, ToolMessage) and message.status == "error" for message in result["messages"])
    assert recorded.one("execute_tool broken").status.status_code is StatusCode.ERROR
    assert recorded.attributes("execute_tool broken")["error.type"] == "langchain_core.tools.base.ToolException"
    assert recorded.one("phase tools").status.status_code is StatusCode.UNSET
    assert "marker-7f3a" not in recorded


def test_a_tool_that_handles_its_own_error_reports_it(recorded: Recorded) -> None:
    handling = broken.model_copy(update={"handle_tool_error": True})
    graph = loop_of(asks_for("x", name="broken"), answer("sorry"), tools=[handling])
    graph.invoke({"messages": [HumanMessage("go")]})

    assert recorded.attributes("execute_tool broken")["error.type"] == "tool_error"


def test_a_tool_error_that_nobody_handles_fails_the_run(recorded: Recorded) -> None:
    graph = loop_of(asks_for("x", name="broken"), tools=[broken], handles=False)
    with pytest.raises(ToolException, match="cannot find x"):
        graph.invoke({"messages": [HumanMessage("go")]})

    assert recorded.one("invoke_workflow loop").status.status_code is StatusCode.ERROR


def test_a_retrieval_is_recorded(recorded: Recorded) -> None:
    class Shelf(BaseRetriever):
        def _get_relevant_documents(self, query: str, **_: Any) -> list[Document]:
            return [Document(f"{query} and more")]

    Shelf().invoke("marker-7f3a")

    [span] = recorded.spans
    assert (span.name, attributes_of(span)["gen_ai.operation.name"]) == ("retrieval Shelf", "retrieval")
    assert attributes_of(span)["wfperf.input.bytes"] == len("marker-7f3a")
    assert "marker-7f3a" not in recorded


# -- agents ---------------------------------------------------------------------------------------------------------


def agent_tree(name: str) -> Tree:
    think, use = Tree("phase model", (Tree("chat scripted-1"),)), Tree("phase tools", (Tree("execute_tool search"),))
    return Tree(f"invoke_agent {name}", (think, use, think))


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_an_agent_of_langchain_is_an_agent_alone_and_inside_a_node(recorded: Recorded, *, is_async: bool) -> None:
    agents = pytest.importorskip("langchain.agents")
    given = {"messages": [HumanMessage("go")]}

    def create() -> Any:
        script = iter([asks_for("a"), answer("done")])
        return agents.create_agent(ScriptedModel(messages=script), [search], name="researcher")

    outer: Any = (
        StateGraph(MessagesState).add_node("researcher", create()).add_edge(START, "researcher").compile(name="g")
    )
    for graph in (create(), outer):
        if is_async:
            asyncio.run(graph.ainvoke(given))
        else:
            graph.invoke(given)

    inside = Tree("phase researcher", (agent_tree("researcher"),))
    assert recorded.trees() == [agent_tree("researcher"), Tree("invoke_workflow g", (inside,))]
    for name in ("chat scripted-1", "execute_tool search"):
        assert {attributes_of(span)["gen_ai.agent.name"] for span in recorded.all(name)} == {"researcher"}


def test_steps_of_an_agent_leave_its_content_to_the_calls_in_them(recorded: Recorded) -> None:
    agents = pytest.importorskip("langchain.agents")
    script = iter([asks_for("a long and unusual query"), answer("done")])
    researcher = agents.create_agent(ScriptedModel(messages=script), [search], name="researcher")
    outer: Any = StateGraph(MessagesState).add_node("outer", researcher).add_edge(START, "outer").compile(name="g")
    outer.invoke({"messages": [HumanMessage("go")]})

    for name in ("phase model", "phase tools"):
        for span in recorded.all(name):
            assert not any(key.startswith(("wfperf.input", "wfperf.output")) for key in attributes_of(span))
    assert "wfperf.input.fragments" in recorded.attributes("phase outer")
    assert "wfperf.output.fragments" in recorded.attributes("execute_tool search")
    for span in recorded.all("chat scripted-1"):
        assert "wfperf.input.fragments" in attributes_of(span)


@pytest.mark.filterwarnings("ignore:create_react_agent has been moved")
def test_a_prebuilt_agent_without_a_name_is_named_by_its_node(recorded: Recorded) -> None:
    from langgraph.prebuilt import create_react_agent

    script = iter([asks_for("a"), answer("done")])
    prebuilt = create_react_agent(ScriptedModel(messages=script), [search])
    graph = StateGraph(MessagesState).add_node("researcher", prebuilt).add_edge(START, "researcher").compile(name="g")
    graph.invoke({"messages": [HumanMessage("go")]})

    assert recorded.parent_of("invoke_agent researcher") == "phase researcher"
    assert {recorded.parent_name(span) for span in recorded.all("phase agent")} == {"invoke_agent researcher"}
