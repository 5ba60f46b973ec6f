"""What tests of the receivers hold on to."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from otel_wfperf.log import Record, SqliteLog
from otel_wfperf.sidecar.metrics import Metrics
from otel_wfperf.sidecar.ports import Ports


def samples(metrics: Metrics, name: str) -> dict[tuple[str, ...], float]:
    """Return the samples of one metric, by the values of their labels in alphabetical order of the labels."""
    text, _ = metrics.exposition("")
    return {
        tuple(value for _, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
        if sample.name == name
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Receivers:
    """Both receivers and what stands behind them."""

    log: SqliteLog
    metrics: Metrics
    ports: Ports
    grpc: str
    http: str

    async def records(self) -> tuple[Record, ...]:
        return await self.log.read(0, limit=100_000, max_bytes=10**9)


Start = Callable[..., Awaitable[Receivers]]
