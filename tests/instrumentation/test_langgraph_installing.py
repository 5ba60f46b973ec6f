import copy
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

pytest.importorskip("langgraph")
from langchain_core.callbacks import BaseCallbackHandler, BaseCallbackManager
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langchain_core.tracers import context as tracer_context
from langgraph.graph import START, StateGraph

from otel_wfperf import instrument, uninstrument
from otel_wfperf.analysis.fragments import unpacked
from otel_wfperf.instrumentation.failures import failure_counts
from otel_wfperf.instrumentation.installing import instrumented
from otel_wfperf.instrumentation.integrations.langchain import runs as langchain_runs
from otel_wfperf.instrumentation.integrations.langgraph import LangGraphIntegration
from otel_wfperf.instrumentation.metrics import METRICS
from tests.instrumentation.graphs import CALLS, SYNC, State
from tests.instrumentation.recorded import Recorded


@pytest.fixture(autouse=True)
def _instrumented() -> Iterator[None]:
    with instrumented(LangGraphIntegration()):
        yield


def test_state_is_never_exported(recorded: Recorded) -> None:
    def echo(state: State) -> State:
        return {"seen": [f"{state['seen'][0]} again"]}

    graph = StateGraph(State).add_node("echo", echo).add_edge(START, "echo").compile()
    graph.invoke({"seen": ["marker-7f3a in the state"]})

    attributes = recorded.attributes("phase echo")
    assert unpacked(attributes["wfperf.input.fragments"]) & unpacked(attributes["wfperf.output.fragments"])
    assert "marker-7f3a" not in recorded


def test_no_run_is_remembered_after_its_end(recorded: Recorded) -> None:
    uninstrument()
    integration = LangGraphIntegration()
    with instrumented(integration):
        SYNC.invoke({"seen": []})
        iterator = SYNC.stream({"seen": []})
        next(iterator)
        iterator.close()
        assert integration._handler is not None
        assert len(integration._handler.runs) == 0
    assert recorded.spans


def test_installing_twice_records_once(recorded: Recorded) -> None:
    instrument(LangGraphIntegration())
    instrument(LangGraphIntegration())

    SYNC.invoke({"seen": []})

    assert len(recorded.all("phase plan")) == 1


def test_everything_installed_is_taken_back(recorded: Recorded) -> None:
    from langchain_core.runnables import config
    from langgraph._internal import _runnable

    uninstrument()
    hooks = list(tracer_context._configure_hooks)
    functions = (config._set_config_context, _runnable._set_config_context)
    methods = (BaseChatModel._generate_with_cache, BaseChatModel._agenerate_with_cache)
    with instrumented(LangGraphIntegration()):
        assert len(tracer_context._configure_hooks) == len(hooks) + 1
        assert config._set_config_context is not functions[0]
        assert _runnable._set_config_context is not functions[1]
        assert BaseChatModel._generate_with_cache is not methods[0]

    assert tracer_context._configure_hooks == hooks
    assert (config._set_config_context, _runnable._set_config_context) == functions
    assert (BaseChatModel._generate_with_cache, BaseChatModel._agenerate_with_cache) == methods
    SYNC.invoke({"seen": []})
    assert {span.name for span in recorded.spans} == {f"inside {name}" for name in ("plan", "left", "right", "join")}


def test_a_run_that_is_open_when_we_leave_still_ends(recorded: Recorded) -> None:
    iterator = SYNC.stream({"seen": []})
    next(iterator)
    uninstrument()
    list(iterator)

    assert recorded.one("invoke_workflow report").end_time


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("where", ["start_call", "Call.end", "content"])
def test_our_own_failures_never_reach_the_program(
    where: str, call: Callable[[State], Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("ours")

    if where == "start_call":
        monkeypatch.setattr(langchain_runs, "start_call", fail)
    elif where == "Call.end":
        monkeypatch.setattr("otel_wfperf.instrumentation.call.METRICS.finished", fail)
    else:
        monkeypatch.setattr("otel_wfperf.instrumentation.payload.read", fail)
    before = sum(failure_counts().values())

    result = call({"seen": []})

    assert sum(failure_counts().values()) > before
    uninstrument()
    assert call({"seen": []}) == result
    assert all("ours" not in message for message in caplog.messages)


class Unreadable(dict[str, Any]):
    """A part of the state that another thread changes while it is read."""

    def items(self) -> Any:
        raise RuntimeError("dictionary changed size during iteration")


def test_state_that_cannot_be_read_costs_its_description_only(exporter: InMemorySpanExporter) -> None:
    def write(_state: State) -> State:
        return {"seen": [Unreadable(a=1)]}  # type: ignore[list-item]  # a user's mistake

    exporter.clear()
    active = METRICS._agents._active
    graph: Any = StateGraph(State)
    graph.add_node("writer_agent", write).add_edge(START, "writer_agent")
    graph.compile(name="g").invoke({"seen": [Unreadable(b=1)]})

    names = {span.name for span in exporter.get_finished_spans()}
    assert names == {"invoke_workflow g", "phase writer_agent", "invoke_agent writer_agent"}
    assert METRICS._agents._active == active


@pytest.mark.usefixtures("recorded")
def test_a_config_can_be_copied_and_pickled_as_without_us() -> None:
    def copying(value: int, config: RunnableConfig) -> Any:
        handlers = [copy.deepcopy(config)["callbacks"], copy.copy(config)["callbacks"], config["callbacks"]]
        assert len({id(handler) for manager in handlers for handler in manager.handlers}) == 1  # type: ignore[union-attr]
        return value, pickle.loads(pickle.dumps(config))["callbacks"].handlers

    value, [elsewhere] = RunnableLambda(copying).invoke(1)

    assert value == 1
    assert type(elsewhere) is BaseCallbackHandler


def test_a_version_outside_the_tested_range_is_left_alone_with_one_warning(
    recorded: Recorded, caplog: pytest.LogCaptureFixture
) -> None:
    uninstrument()
    integration = LangGraphIntegration()
    integration.requires = {"langgraph": ">=1.2,<1.2.1"}  # type: ignore[misc]  # one instance, not the class
    with instrumented(integration):
        SYNC.invoke({"seen": []})

    assert {span.name.split()[0] for span in recorded.spans} == {"inside"}
    [message] = caplog.messages
    assert "does not record langgraph: langgraph 1." in message
    assert "is outside >=1.2,<1.2.1" in message


@pytest.fixture
def openinference() -> Iterator[Any]:
    package = pytest.importorskip("openinference.instrumentation.langchain")
    original = BaseCallbackManager.__init__
    instrumentor = package.LangChainInstrumentor()
    instrumentor.instrument()
    yield instrumentor
    if BaseCallbackManager.__init__ is not original:
        instrumentor.uninstrument()


@pytest.mark.usefixtures("openinference")
def test_nothing_is_recorded_twice_beside_openinference(recorded: Recorded, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="otel_wfperf"):
        SYNC.invoke({"seen": []})
        SYNC.invoke({"seen": []})

    names = [span.name for span in recorded.spans if not span.name.startswith("inside")]
    assert sorted(names) == sorted(["report", "plan", "left", "right", "join"] * 2)
    [message] = [record.message for record in caplog.records if record.name == "otel_wfperf"]
    assert "leaves LangGraph to openinference.instrumentation.langchain" in message


@pytest.mark.usefixtures("openinference")
def test_both_record_when_that_is_asked_for(recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_WFPERF_FORCE", "true")
    SYNC.invoke({"seen": []})

    assert {"report", "invoke_workflow report"} <= {span.name for span in recorded.spans}


def test_we_record_again_when_openinference_leaves(recorded: Recorded, openinference: Any) -> None:
    SYNC.invoke({"seen": []})
    openinference.uninstrument()
    SYNC.invoke({"seen": []})

    assert len(recorded.all("invoke_workflow report")) == 1
