"""All back ends of a sidecar: connected, forwarded to, measured, drained, closed."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

from otel_wfperf.config import ExporterConfig
from otel_wfperf.config.exporters import DEAD_LETTERS
from otel_wfperf.log import Log
from otel_wfperf.sidecar.decisions import Decisions
from otel_wfperf.sidecar.exporters.aside import Aside
from otel_wfperf.sidecar.exporters.chosen import Chosen
from otel_wfperf.sidecar.exporters.dead_letters import DeadLetters
from otel_wfperf.sidecar.exporters.forwarder import Forwarder
from otel_wfperf.sidecar.exporters.transport import connect
from otel_wfperf.sidecar.metrics import Metrics


class Exporting:
    """One forwarder for each exporter of the configuration."""

    def __init__(
        self,
        configs: Sequence[ExporterConfig],
        log: Log,
        decisions: Decisions,
        *,
        metrics: Metrics,
        data_dir: Path,
        max_age_s: float,
    ) -> None:
        """Connect; raise ConfigError when certificates cannot be used.

        Args:
            configs: The back ends.
            log: What to forward.
            decisions: What the analyzer has stored.
            metrics: Counters, and gauges of each exporter.
            data_dir: Folder for dead letters.
            max_age_s: Age at which a record is given up (seconds).
        """
        self._log = log
        self._decisions = decisions
        self._metrics = metrics
        self._folder = data_dir / DEAD_LETTERS
        self._max_age_s = max_age_s
        self._opened = AsyncExitStack()
        self._forwarders = [self._forwarder(config) for config in configs]
        self._register_gauges()

    def _forwarder(self, config: ExporterConfig) -> Forwarder:
        exporter = connect(config)
        self._opened.push_async_callback(exporter.close)
        letters = DeadLetters(
            self._folder / config.name, max_size_bytes=config.dead_letter.max_size_bytes, clock_ns=time.time_ns
        )
        chosen = Chosen(config, self._log, self._decisions, self._metrics) if config.forward != "all" else None
        return Forwarder(
            config,
            exporter,
            self._log,
            metrics=self._metrics,
            aside=Aside(config.name, letters, self._metrics),
            max_age_s=self._max_age_s,
            random=random.random,
            source=chosen,
        )

    def work(self) -> Mapping[str, Callable[[], Awaitable[None]]]:
        """Return what must run, by a name for people; it ends when it is cancelled."""
        return {f"exporter {each.name}": each.run for each in self._forwarders}

    async def drain(self, timeout_s: float) -> None:
        """Wait until everything is delivered, but not longer than the timeout (seconds)."""
        await asyncio.gather(*(forwarder.drain(timeout_s) for forwarder in self._forwarders))

    async def close(self) -> None:
        """Close the connections; the work must have ended."""
        await self._opened.aclose()

    def _register_gauges(self) -> None:
        gauges: Mapping[tuple[str, str], Callable[[Forwarder], float]] = {
            (
                "wfperf_exporter_pending_records",
                "Requests that the back end has not taken yet.",
            ): lambda each: each.pending_records,
            (
                "wfperf_exporter_lag_seconds",
                "Age of the oldest request that the back end has not taken yet.",
            ): lambda each: each.lag_s,
            (
                "wfperf_exporter_circuit_open",
                "1 while the back end takes nothing and is only probed.",
            ): lambda each: each.circuit.is_open,
        }
        for (name, text), value in gauges.items():
            self._metrics.gauges(name, text, "exporter", {each.name: partial(value, each) for each in self._forwarders})
