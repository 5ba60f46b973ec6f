"""What records the programs: each as its own documentation says, with the batch export that production needs."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

# Sends the spans that were recorded and waits for that; returns nothing.
Flush = Callable[[], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorder:
    """One way to record.

    Attributes:
        name: What to call it.
        start: Begins to record in this process.
        module: What must be installed; "" = nothing.
        package: What to install for it.
        records: Which of workflow, nodes, model_calls and tool_calls get spans.
        is_heard: Whether the receiver runs.
    """

    name: str
    start: Callable[[], Flush]
    module: str = ""
    package: str = ""
    records: frozenset[str] = frozenset({"workflow", "nodes", "model_calls", "tool_calls"})
    is_heard: bool = True

    @property
    def is_installed(self) -> bool:
        """Whether it can be measured here."""
        try:
            return not self.module or find_spec(self.module) is not None
        except ModuleNotFoundError:  # of a parent package
            return False


def record_nothing() -> Flush:
    """Leave the program as it is."""
    return lambda: None


def record_with_wfperf() -> Flush:
    """Do what a user of this project does."""
    import otel_wfperf.auto  # noqa: F401, PLC0415 - importing it is the point

    tracing, metrics = import_module("opentelemetry.trace"), import_module("otel_wfperf.instrumentation.metrics")

    def flush() -> None:
        tracing.get_tracer_provider().force_flush()
        # What is sent of metrics is the same every 15 s, however many nodes ran; what is left to count is not.
        metrics.METRICS.record_waiting()

    return flush


def batching_provider() -> Any:
    """Make what the others need: a provider with the SDK's batch processor and its exporter over OTLP/HTTP."""
    exporters = import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    sdk = import_module("opentelemetry.sdk.trace")
    export = import_module("opentelemetry.sdk.trace.export")
    provider = sdk.TracerProvider()
    provider.add_span_processor(export.BatchSpanProcessor(exporters.OTLPSpanExporter()))
    return provider


def instrumentor(module: str, name: str) -> Callable[[], Flush]:
    """Make what starts an instrumentor of the usual kind."""

    def start() -> Flush:
        provider = batching_provider()
        getattr(import_module(module), name)().instrument(tracer_provider=provider)
        return provider.force_flush  # type: ignore[no-any-return]  # imported by name

    return start


def record_by_hand() -> Flush:  # noqa: C901 - the one handler, written as one piece
    """Do what a careful programmer writes in an hour: one span for each node, model call and tool call.

    Three attributes, the tokens, no content.
    """
    callbacks = import_module("langchain_core.callbacks")
    hooks = import_module("langchain_core.tracers.context")
    trace = import_module("opentelemetry.trace")
    provider = batching_provider()
    tracer = provider.get_tracer("by-hand")

    class ByHand(callbacks.BaseCallbackHandler):  # type: ignore[misc, name-defined]  # imported by name
        """Keeps the open spans by run; a run without one of its own has that of its parent."""

        run_inline = True

        def __init__(self) -> None:
            self.spans: dict[Any, Any] = {}
            self.own: set[Any] = set()

        def start(self, kind: str, name: str, run_id: Any, parent_run_id: Any, metadata: Any) -> None:
            """Start the span of a run."""
            parent = self.spans.get(parent_run_id)
            context = trace.set_span_in_context(parent) if parent is not None else None
            step = (metadata or {}).get("langgraph_step", 0)
            attributes = {"kind": kind, "name": name, "step": step}
            self.spans[run_id] = tracer.start_span(f"{kind} {name}", context, attributes=attributes)
            self.own.add(run_id)

        def finish(self, run_id: Any) -> None:
            """End the span of a run."""
            span = self.spans.pop(run_id, None)
            if run_id in self.own:
                self.own.discard(run_id)
                span.end()

        def on_chain_start(
            self, _: Any, __: Any, *, run_id: Any, parent_run_id: Any = None, name: Any = None, **more: Any
        ) -> None:
            metadata = more.get("metadata") or {}
            if parent_run_id is None or name == metadata.get("langgraph_node"):
                self.start("node" if parent_run_id else "workflow", str(name), run_id, parent_run_id, metadata)
            else:
                self.spans[run_id] = self.spans.get(parent_run_id)

        def on_chat_model_start(
            self, _: Any, __: Any, *, run_id: Any, parent_run_id: Any = None, metadata: Any = None, **___: Any
        ) -> None:
            self.start("model", str((metadata or {}).get("ls_model_name")), run_id, parent_run_id, metadata)

        def on_tool_start(
            self, serialized: Any, _: Any, *, run_id: Any, parent_run_id: Any = None, metadata: Any = None, **__: Any
        ) -> None:
            self.start("tool", str(serialized.get("name")), run_id, parent_run_id, metadata)

        def on_llm_end(self, response: Any, *, run_id: Any, **_: Any) -> None:
            usage = response.generations[0][0].message.usage_metadata
            self.spans[run_id].set_attribute("input_tokens", usage["input_tokens"])
            self.spans[run_id].set_attribute("output_tokens", usage["output_tokens"])
            self.finish(run_id)

        def on_chain_end(self, _: Any, *, run_id: Any, **__: Any) -> None:
            self.finish(run_id)

        def on_tool_end(self, _: Any, *, run_id: Any, **__: Any) -> None:
            self.finish(run_id)

    handler = ByHand()
    variable: ContextVar[Any] = ContextVar("by_hand", default=handler)
    hooks.register_configure_hook(variable, inheritable=True)
    return provider.force_flush  # type: ignore[no-any-return]  # imported by name


NOTHING: Final = "nothing"
BY_HAND: Final = "by hand"
WFPERF: Final = "otel-wfperf"
WFPERF_UNHEARD: Final = "otel-wfperf, sidecar stopped"
INSTRUMENTORS: Final = ("OpenInference", "OpenLLMetry")
RECORDERS: Final = {
    recorder.name: recorder
    for recorder in (
        Recorder(name=NOTHING, start=record_nothing, records=frozenset()),
        Recorder(name=WFPERF, start=record_with_wfperf),
        Recorder(name=WFPERF_UNHEARD, start=record_with_wfperf, is_heard=False),
        Recorder(name=BY_HAND, start=record_by_hand),
        Recorder(
            name="OpenInference",
            start=instrumentor("openinference.instrumentation.langchain", "LangChainInstrumentor"),
            module="openinference.instrumentation.langchain",
            package="openinference-instrumentation-langchain",
        ),
        Recorder(
            name="OpenLLMetry",
            start=instrumentor("opentelemetry.instrumentation.langchain", "LangchainInstrumentor"),
            module="opentelemetry.instrumentation.langchain",
            package="opentelemetry-instrumentation-langchain",
        ),
        Recorder(
            name="official genai",
            start=instrumentor("opentelemetry.instrumentation.genai.langchain", "LangChainInstrumentor"),
            module="opentelemetry.instrumentation.genai.langchain",
            package="opentelemetry-instrumentation-genai-langchain",
            records=frozenset({"workflow", "model_calls", "tool_calls"}),
        ),
    )
}
