"""How the last reading of the configuration went, and what differs between two of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from pydantic import BaseModel

from otel_wfperf.config import SidecarConfig
from otel_wfperf.config.section import key_of
from otel_wfperf.sidecar.metrics import Metrics


@dataclass(slots=True)
class Reloads:
    """Outlives the sidecars that come and go with the configuration.

    Attributes:
        clock_s: Wall clock (seconds since the Unix epoch).
        succeeded: Whether what the file says is in effect.
        at_s: When that was last so (seconds since the Unix epoch).
    """

    clock_s: Callable[[], float] = time.time
    succeeded: bool = True
    at_s: float = field(init=False)

    def __post_init__(self) -> None:
        """Count the start as a success: the configuration was read then."""
        self.at_s = self.clock_s()

    def record(self, *, succeeded: bool) -> None:
        """Note the end of a reload."""
        self.succeeded = succeeded
        if succeeded:
            self.at_s = self.clock_s()

    def show(self, metrics: Metrics) -> None:
        """Register the gauges; named after those of Prometheus for its own configuration."""
        metrics.gauge(
            "wfperf_config_last_reload_successful",
            "Whether the configuration in effect is that of the file.",
            lambda: self.succeeded,
        )
        metrics.gauge(
            "wfperf_config_last_reload_success_timestamp_seconds",
            "When the configuration in effect was read.",
            lambda: self.at_s,
        )


def changed_keys(old: SidecarConfig, new: SidecarConfig) -> tuple[str, ...]:
    """Return the keys that differ, such as ``sidecar.log.max_age``."""
    return tuple(_changed(old, new, "sidecar"))


def _changed(old: BaseModel, new: BaseModel, key: str) -> Iterator[str]:
    for name in type(old).model_fields:
        before, after = getattr(old, name), getattr(new, name)
        if before == after:
            continue
        inner = f"{key}.{key_of(name)}"
        if isinstance(before, BaseModel) and type(before) is type(after):
            yield from _changed(before, after, inner)
        else:
            yield inner
