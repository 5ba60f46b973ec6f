"""The back ends: whether each takes OTLP the way it is configured."""

import asyncio
from collections.abc import Iterator

from otel_wfperf.cli.checks.check import Check, Health
from otel_wfperf.cli.checks.connection import TIMEOUT_S, answers
from otel_wfperf.config import ExporterConfig, SidecarConfig


def checks(config: SidecarConfig) -> Iterator[Check]:
    """Send each an empty request, which is valid OTLP and stores nothing."""
    for exporter in config.exporters:
        problem = answers(exporter.endpoint) or _refusal(exporter)
        yield Check(
            f"exporter {exporter.name}",
            Health.FAIL if problem else Health.OK,
            f"{exporter.endpoint} {problem or 'takes ' + ', '.join(exporter.signals)} over {exporter.protocol}",
            "start it, or correct endpoint, protocol and signals in sidecar.exporters" if problem else "",
        )


def _refusal(config: ExporterConfig) -> str:
    """Return why a back end that answers takes no telemetry, or an empty string."""
    try:
        # These come with the sidecar extra.
        from otel_wfperf.log import Signal  # noqa: PLC0415
        from otel_wfperf.sidecar.exporters.exporter import Accepted, Outcome  # noqa: PLC0415
        from otel_wfperf.sidecar.exporters.transport import connect  # noqa: PLC0415
    except ModuleNotFoundError:
        return ""

    async def attempt() -> dict[str, Outcome]:
        exporter = connect(config.model_copy(update={"timeout_s": TIMEOUT_S}))
        try:
            return {signal: await exporter.send(Signal(signal), b"") for signal in config.signals}
        finally:
            await exporter.close()

    refused = {
        signal: outcome.reason
        for signal, outcome in asyncio.run(attempt()).items()
        if not isinstance(outcome, Accepted)
    }
    reasons = ", ".join(f"{signal}: {reason}" for signal, reason in refused.items())
    return f"refuses {reasons}" if refused else ""
