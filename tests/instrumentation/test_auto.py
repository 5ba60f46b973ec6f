import pytest

from otel_wfperf.instrumentation.integrations import INTEGRATIONS
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
    known = ", ".join(integration.name for integration in INTEGRATIONS)
    assert done.stderr.strip() == f"OTEL_WFPERF_INTEGRATIONS: unknown integration: langgraf (known: {known})"


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


TWO_PROVIDERS = """
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
meters = MeterProvider()
metrics.set_meter_provider(meters)
"""
KEPT = "print(trace.get_tracer_provider() is provider, metrics.get_meter_provider() is meters)\n"
# Nobody listens there.
NOWHERE = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}


def test_providers_that_the_program_sets_later_take_the_place_of_ours() -> None:
    answer = output_of(IMPORT + PROVIDER + TWO_PROVIDERS + GRAPH + SHOW + KEPT, **NOWHERE)

    assert answer.splitlines() == ["invoke_workflow g, phase step", "True True"]


def test_a_second_provider_of_the_program_is_refused_as_without_us() -> None:
    done = run_program(
        IMPORT + PROVIDER + "trace.set_tracer_provider(TracerProvider())\n" + TWO_PROVIDERS + KEPT, **NOWHERE
    )

    assert (done.stdout.strip(), done.stderr.strip()) == (
        "True True",
        "Overriding of current TracerProvider is not allowed",
    )


def test_wfperf_run_sees_what_goes_to_a_provider_that_the_program_sets_later() -> None:
    processors = "print(*(type(each).__name__ for each in provider._active_span_processor._span_processors))\n"

    answer = output_of(IMPORT + PROVIDER + processors, OTEL_WFPERF_RUN_PID="1", **NOWHERE)

    assert answer == "SimpleSpanProcessor WatchingProcessor"


def test_an_endpoint_that_cannot_be_used_is_named_and_the_program_goes_on() -> None:
    done = run_program(IMPORT + "print('on')", OTEL_EXPORTER_OTLP_ENDPOINT="localhost:4317")

    assert (done.returncode, done.stdout.strip()) == (0, "on")
    assert done.stderr.strip() == (
        "otel-wfperf sends nothing: endpoint: 'localhost:4317' is not a URL; write it as http://127.0.0.1:4317"
    )
