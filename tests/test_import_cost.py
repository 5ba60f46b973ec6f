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
