"""The back ends: whether each takes OTLP the way it is configured."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

from otel_wfperf.cli.checks.check import Check, Health
from otel_wfperf.cli.checks.connection import TIMEOUT_S, answers
from otel_wfperf.config import ExporterConfig, SidecarConfig
from otel_wfperf.config.exporters import DEAD_LETTERS
from otel_wfperf.errors import ConfigError


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
        yield from _dead_letters(config.data_dir / DEAD_LETTERS / exporter.name)


def _dead_letters(folder: Path) -> Iterator[Check]:
    """Point to what a back end never took."""
    files = sorted(folder.glob("*.jsonl"))
    if files:
        size_bytes = sum(file.stat().st_size for file in files)
        yield Check(
            f"dead letters of {folder.name}",
            Health.WARN,
            f"{len(files)} files with {size_bytes} bytes in {folder} that the back end refused for ever",
            f"read why: head -c 300 {files[-1]}; send the lines to /v1/SIGNAL as application/json, then delete it",
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

    try:
        outcomes = asyncio.run(attempt())
    except ConfigError as error:
        return str(error)
    refused = {
        signal: f"{outcome.reason} {outcome.detail}".strip()
        for signal, outcome in outcomes.items()
        if not isinstance(outcome, Accepted)
    }
    reasons = ", ".join(f"{signal}: {reason}" for signal, reason in refused.items())
    return f"refuses {reasons}" if refused else ""
