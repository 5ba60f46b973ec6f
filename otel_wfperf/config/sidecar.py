"""Settings of the sidecar as a whole."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from pydantic import Field, field_validator, model_validator

from otel_wfperf.config.alerts import AlertsConfig
from otel_wfperf.config.assembly import AssemblyConfig
from otel_wfperf.config.events import EventsConfig
from otel_wfperf.config.exporters import ExporterConfig
from otel_wfperf.config.limits import LimitsConfig
from otel_wfperf.config.listen import ListenConfig
from otel_wfperf.config.log import LogConfig
from otel_wfperf.config.retention import RetentionConfig
from otel_wfperf.config.section import Section
from otel_wfperf.config.security import SecurityConfig
from otel_wfperf.config.values import Duration, PositiveDuration, Size, is_own
from otel_wfperf.errors import ConfigError


def state_folder(environ: Mapping[str, str]) -> Path:
    """Return the default data directory. Source: XDG Base Directory Specification 0.8, XDG_STATE_HOME."""
    state = environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "otel-wfperf"


class SidecarConfig(Section):
    """The sidecar: OTLP in, findings out."""

    listen: ListenConfig = ListenConfig()
    """Addresses."""
    security: SecurityConfig = SecurityConfig()
    """Who may talk to it."""
    limits: LimitsConfig = LimitsConfig()
    """How much one sender may ask."""
    events: EventsConfig = EventsConfig()
    """What is said about the sidecar itself."""
    data_dir: Path = Field(default_factory=lambda: state_folder(os.environ))
    """Folder of the log and the store (default $XDG_STATE_HOME/otel-wfperf or ~/.local/state/otel-wfperf)."""
    log: LogConfig = LogConfig()
    """The durable log."""
    max_request_size_bytes: Size = 64 * 1024**2
    """Largest request, before and after decompression (default 64MiB). Source: OTLP specification, recommended."""
    read_timeout_s: PositiveDuration = 30.0
    """How long an HTTP client may take to send its request (default 30s).

    Chosen: three times the 10 s after which OTLP exporters give up.
    """
    drain_timeout_s: Duration = 8.0
    """How long a stopping sidecar waits for requests and exporters (default 8s). Chosen: ends within the 10 s that
    container runtimes grant."""
    assembly: AssemblyConfig = AssemblyConfig()
    """When executions are complete."""
    window: int = Field(default=20, ge=1, le=1000)
    """Executions of a workflow that detectors compare (count)."""
    retention: RetentionConfig = RetentionConfig()
    """How long results are kept."""
    alerts: AlertsConfig = AlertsConfig()
    """What is an alert, and who is told."""
    exporters: tuple[ExporterConfig, ...] = ()
    """OTLP back ends to forward to."""
    annotate: bool = True
    """Add one span with the findings to each trace that is forwarded."""

    @field_validator("exporters")
    @classmethod
    def _names_differ(cls, exporters: tuple[ExporterConfig, ...]) -> tuple[ExporterConfig, ...]:
        names = [exporter.name for exporter in exporters]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"each exporter needs its own name; used more than once: {', '.join(twice)}")
        return exporters

    @model_validator(mode="after")
    def _does_not_send_to_itself(self) -> Self:
        """Refuse a circle: what came back would be sent again, for ever."""
        for exporter in self.exporters:
            for key, address in self.listen.model_dump().items():
                if is_own(exporter.endpoint, address):
                    raise ValueError(
                        f"exporter {exporter.name} would send to this sidecar itself: {exporter.endpoint} is "
                        f"sidecar.listen.{key}; let the back end or the sidecar listen on another port"
                    )
        return self

    @model_validator(mode="after")
    def _holds_the_largest_request(self) -> Self:
        if self.limits.in_flight_size_bytes < self.max_request_size_bytes:
            raise ValueError(
                f"limits.in_flight_size: {self.limits.in_flight_size_bytes}: is less than max_request_size: "
                f"{self.max_request_size_bytes}; such a request could never be received"
            )
        return self

    def refuse_exposure(self) -> None:
        """Raise ConfigError when anybody in the network could use a port without authentication.

        Not a part of validation: options of the command line may still replace the addresses of the file.
        """
        if exposures := tuple(self.security.exposures(self.listen)):
            raise ConfigError(*exposures)


class WfperfConfig(Section):
    """Everything that can be configured."""

    sidecar: SidecarConfig = Field(default_factory=SidecarConfig)
    """The sidecar."""
