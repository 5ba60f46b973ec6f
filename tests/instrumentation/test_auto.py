import pytest

from tests.instrumentation.programs import output_of, run_program

pytest.importorskip("langgraph")

GRAPH = """
from typing import TypedDict
from langgraph.graph import START, StateGraph
class State(TypedDict):
    n: int
graph = StateGraph(State).add_node("step", lambda state: {"n": 1}).add_edge(START, "step").compile(name="g")
"""
PROVIDER = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
"""
SHOW = """
graph.invoke({"n": 0})
print(*sorted(span.name for span in exporter.get_finished_spans()), sep=", ")
"""
IMPORT = "import otel_wfperf.auto\n"


@pytest.mark.parametrize(
    "program",
    [
        IMPORT + PROVIDER + GRAPH,
        PROVIDER + IMPORT + GRAPH,
        PROVIDER + GRAPH + IMPORT,
        PROVIDER + GRAPH + 'graph.invoke({"n": 0})\n' + IMPORT,
        PROVIDER + IMPORT + IMPORT + GRAPH,
    ],
    ids=["first", "before the framework", "after the framework", "after the first run", "twice"],
)
def test_the_one_import_records_wherever_it_stands(program: str) -> None:
    environment = {"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none"}

    assert output_of(program + SHOW, **environment) == "invoke_workflow g, phase step"


@pytest.mark.parametrize(
    "environment", [{"OTEL_WFPERF_DISABLED": "true"}, {"OTEL_SDK_DISABLED": "true"}], ids=lambda each: next(iter(each))
)
def test_disabled_records_nothing(environment: dict[str, str]) -> None:
    assert output_of(PROVIDER + IMPORT + GRAPH + SHOW, **environment) == ""


def test_an_unknown_integration_is_named_and_the_rest_works() -> None:
    done = run_program(
        PROVIDER + IMPORT + GRAPH + SHOW,
        OTEL_WFPERF_INTEGRATIONS="langgraf,langgraph",
        OTEL_METRICS_EXPORTER="none",
    )

    assert done.stdout.strip() == "invoke_workflow g, phase step"
    assert done.stderr.strip() == "OTEL_WFPERF_INTEGRATIONS: unknown integration: langgraf (known: langgraph)"


def test_the_entry_point_instruments_with_the_providers_it_is_given() -> None:
    pytest.importorskip("opentelemetry.instrumentation")
    program = PROVIDER.replace("trace.set_tracer_provider(provider)\n", "") + GRAPH
    program += """
from otel_wfperf.instrumentation.entry_point import WfperfInstrumentor
WfperfInstrumentor().instrument(tracer_provider=provider)
graph.invoke({"n": 0})
WfperfInstrumentor().uninstrument()
"""
    environment = {"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none"}

    assert output_of(program + SHOW, **environment) == "invoke_workflow g, phase step"
