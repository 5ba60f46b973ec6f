"""Environment variables that decide where telemetry goes, or that there is none."""

from collections.abc import Iterator, Mapping
from typing import Final

from otel_wfperf.cli.checks.check import Check, Health
from otel_wfperf.cli.checks.connection import answers
from otel_wfperf.instrumentation.settings import InstrumentationSettings

ENDPOINTS: Final = tuple(f"OTEL_EXPORTER_OTLP_{signal}ENDPOINT" for signal in ("", "TRACES_", "METRICS_", "LOGS_"))


def checks(environ: Mapping[str, str]) -> Iterator[Check]:
    """Look at what the variables would make of a program that is started here."""
    if InstrumentationSettings.from_environment(environ).disabled:
        detail = "OTEL_WFPERF_DISABLED or OTEL_SDK_DISABLED is true: nothing is recorded"
        yield Check("environment", Health.WARN, detail, "unset the variable to record")
    if environ.get("OTEL_TRACES_EXPORTER", "otlp") == "none":
        detail = "OTEL_TRACES_EXPORTER is none: no spans are sent"
        yield Check("environment", Health.WARN, detail, "unset it or set it to otlp")
    for name in ENDPOINTS:
        if url := environ.get(name):
            yield _endpoint(name, url)


def _endpoint(name: str, url: str) -> Check:
    problem = answers(url)
    if problem:
        return Check(name, Health.FAIL, f"{url}: {problem}", "start what should listen there, or correct the variable")
    return Check(name, Health.OK, f"{url} answers; programs send there by default")
