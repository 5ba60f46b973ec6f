"""LangGraph with two full instrumentations at once, neither of them ours: one run, nothing twice."""

from collections.abc import Iterator
from typing import Any, TypedDict

import pytest

pytest.importorskip("langgraph")
pytest.importorskip("openinference.instrumentation.langchain")
pytest.importorskip("opentelemetry.instrumentation.langchain")

from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langgraph.graph import END, START, StateGraph
from openinference.instrumentation.langchain import LangChainInstrumentor
from opentelemetry.instrumentation.langchain import LangchainInstrumentor

from tests.assembly.canonical import canonical
from tests.frameworks.recording import Recording

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


class State(TypedDict, total=False):
    plan: str
    left: str
    right: str


@pytest.fixture
def both(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TRACELOOP_TELEMETRY", "false")
    instrumentors: tuple[Any, ...] = (LangChainInstrumentor(), LangchainInstrumentor())
    for instrumentor in instrumentors:
        instrumentor.instrument()
    yield
    for instrumentor in instrumentors:
        instrumentor.uninstrument()


def team() -> Any:
    usage: Any = {"input_tokens": 10, "output_tokens": 2, "total_tokens": 12}

    def node(name: str) -> Any:
        model = GenericFakeChatModel(messages=iter([AIMessage("hi", usage_metadata=usage)] * 9))

        def run(_: State) -> dict[str, str]:
            model.invoke("what")
            return {name: "done"}

        return run

    graph = StateGraph(State)
    for name in ("plan", "left", "right"):
        graph.add_node(f"do_{name}", node(name))
    graph.add_edge(START, "do_plan")
    for name in ("left", "right"):
        graph.add_edge("do_plan", f"do_{name}")
        graph.add_edge(f"do_{name}", END)
    return graph.compile(name="team")


EXPECTED = [
    "workflow team",
    "  phase do_plan @1",
    "    llm GenericFakeChatModel 10 (0) 2",
    "  phase do_left @2",
    "    llm GenericFakeChatModel 10 (0) 2",
    "  phase do_right @2",
    "    llm GenericFakeChatModel 10 (0) 2",
]


@pytest.mark.usefixtures("both")
def test_two_instrumentations_of_one_graph_tell_one_run(recording: Recording) -> None:
    graph = team()
    for _ in range(3):
        recording.clear()
        graph.invoke({})
        execution = recording.execution()
        assert len(recording.spans) == 15
        assert execution.dialects == ("openinference", "openllmetry")
        assert canonical(execution) == EXPECTED
