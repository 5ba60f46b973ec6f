from tests.instrumentation.programs import output_of

HEAVY = (
    "asyncio",
    "google",
    "grpc",
    "langchain_core",
    "langgraph",
    "opentelemetry.exporter",
    "opentelemetry.sdk",
    "psutil",
    "pydantic",
    "wrapt",
)
PRINT_HEAVY = f"""
import sys
print(sorted(name for name in {HEAVY!r} if name in sys.modules))
"""


def test_importing_the_package_imports_nothing_else() -> None:
    loaded = output_of(
        """
        import sys
        before = set(sys.modules)
        import otel_wfperf
        print(*sorted({name.split(".")[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names)))
        """
    )

    assert loaded == "otel_wfperf"


def test_recording_by_hand_needs_the_opentelemetry_api_only() -> None:
    loaded = output_of(
        "from otel_wfperf import agent, context, phase, tool, wait, workflow\n"
        'with workflow("w"), phase("p"), agent("a"), tool("t"), wait("r"), context("trim"):\n'
        "    pass\n" + PRINT_HEAVY
    )

    assert loaded == "[]"


def test_the_one_import_loads_no_framework() -> None:
    loaded = output_of(
        "import otel_wfperf.auto" + PRINT_HEAVY, OTEL_TRACES_EXPORTER="none", OTEL_METRICS_EXPORTER="none"
    )

    assert "langchain_core" not in loaded
    assert "langgraph" not in loaded


def test_a_disabled_import_loads_nothing_heavy() -> None:
    assert output_of("import otel_wfperf.auto" + PRINT_HEAVY, OTEL_WFPERF_DISABLED="true") == "[]"


PRINT_LOADED = """
before = set(sys.modules)
with workflow("w"), tool("t") as call:
    call.record_input({"q": 1})
    call.record_output("found")
print(sorted(name for name in set(sys.modules) - before if name.startswith("otel_wfperf")))
"""


def test_the_first_operation_is_not_charged_for_what_the_recording_loads() -> None:
    loaded = output_of(
        "import sys, otel_wfperf.auto\nfrom otel_wfperf import tool, workflow" + PRINT_LOADED,
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9",
    )

    assert loaded == "[]"


def test_neither_is_it_where_the_program_has_set_up_its_own_telemetry() -> None:
    loaded = output_of(
        """
import sys
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
trace.set_tracer_provider(TracerProvider())
from otel_wfperf import instrument, tool, workflow
instrument()
import langgraph.graph
"""
        + PRINT_LOADED
    )

    assert loaded == "[]"
