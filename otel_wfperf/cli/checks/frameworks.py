"""Frameworks that can be recorded, and other instrumentations that may record them too."""

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distributions, version
from typing import Final

from otel_wfperf.cli.checks.check import Check, Health
from otel_wfperf.instrumentation.integration import Integration
from otel_wfperf.instrumentation.integrations import INTEGRATIONS
from otel_wfperf.instrumentation.settings import InstrumentationSettings
from otel_wfperf.instrumentation.versions import version_problem

# How the packages of other instrumentations of agent frameworks are called.
OTHERS: Final = (
    "openinference-instrumentation-",
    "opentelemetry-instrumentation-",
    "langfuse",
    "logfire",
    "traceloop-sdk",
)


def checks() -> Iterator[Check]:
    """Look at each integration, then at other instrumentations."""
    chosen = InstrumentationSettings.from_environment().integrations
    for integration in INTEGRATIONS:
        yield _integration(integration, is_chosen=chosen is None or integration.name in chosen)
    others = sorted(
        f"{name} {found.version}" for found in distributions() if (name := found.metadata["Name"]).startswith(OTHERS)
    )
    if others:
        yield Check(
            "other instrumentations",
            Health.OK,
            f"{', '.join(others)}; where one of them is active, its spans are used and none are added",
        )


def _integration(integration: Integration, *, is_chosen: bool) -> Check:
    subject = f"integration {integration.name}"
    installed = [found for name in integration.requires if (found := _installed(name))]
    if not installed:
        names = ", ".join(integration.requires)
        return Check(subject, Health.OK, f"ready; {names} is not installed here")
    problems = [
        problem for name, allowed in integration.requires.items() if (problem := version_problem(name, allowed))
    ]
    if problems:
        return Check(subject, Health.WARN, f"not recorded: {'; '.join(problems)}", "install a version in that range")
    if not is_chosen:
        reason = "left out by OTEL_WFPERF_INTEGRATIONS"
        return Check(subject, Health.WARN, f"not recorded: {reason}", "add its name to that variable or unset it")
    return Check(subject, Health.OK, f"recorded: {', '.join(installed)}")


def _installed(distribution: str) -> str | None:
    try:
        return f"{distribution} {version(distribution)}"
    except PackageNotFoundError:
        return None
