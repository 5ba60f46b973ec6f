"""Settings of one OTLP back end."""

import re
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from otel_wfperf.config.secrets import SECRET_PROBLEM, Secret
from otel_wfperf.config.section import Section
from otel_wfperf.config.values import PositiveDuration, Size, Url
from otel_wfperf.model import Severity


class RetryConfig(Section):
    """How an exporter tries again. There is no last try: the log keeps the data until `sidecar.log.max_age`.

    Delays grow while nothing is taken, and begin anew when something is. Source: opentelemetry-java RetryPolicy (1 s,
    x 1.5); opentelemetry-collector config/configretry (at most 30 s, jitter 0.5, 300 s).
    """

    initial_delay_s: PositiveDuration = 1.0
    """Delay before the second try (default 1s)."""
    max_delay_s: PositiveDuration = 30.0
    """Longest delay between tries (default 30s)."""
    multiplier: float = Field(default=1.5, ge=1)
    """Growth of the delay from try to try."""
    jitter: float = Field(default=0.5, ge=0, le=1)
    """Random part of the delay, both ways (0..1)."""
    set_aside_after_s: PositiveDuration = 300.0
    """A request that fails for this long while the back end takes others becomes a dead letter, because everything
    behind it would have to stay in the log (default 5m)."""


# The folder below ``sidecar.data_dir``; in it, a folder for each exporter.
DEAD_LETTERS: Final = "dead-letters"


class DeadLetterConfig(Section):
    """What a back end will never take, kept for a person to look at: `data_dir/dead-letters/EXPORTER/*.jsonl`."""

    max_size_bytes: Size = 64 * 1024**2
    """Size of the files; past it the oldest go (default 64MiB). Chosen: some 100 000 spans as OTLP JSON."""


class ExporterTlsConfig(Section):
    """TLS towards a back end. The files are PEM; when one changes, new connections use what is in it."""

    ca: Path | None = None
    """Authorities that may have signed the back end's certificate (default: those of the system)."""
    certificate: Path | None = None
    """Our certificate, for back ends that ask for one (mutual TLS)."""
    key: Path | None = None
    """Its private key, not encrypted."""
    server_name: str | None = Field(default=None, min_length=1)
    """Name in the back end's certificate, where it is not the host of the endpoint."""
    insecure_skip_verify: bool = False
    """Believe any certificate, which protects against nobody who is on the way (only `http/protobuf`; for gRPC give
    the back end's certificate as `ca`)."""

    @model_validator(mode="after")
    def _belongs_together(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            missing = "key" if self.key is None else "certificate"
            raise ValueError(f"{missing} is missing; a certificate and its key are given together")
        return self


# Source: gRPC over HTTP2, "Header-Name" and "ASCII-Value"; names in -bin would need bytes.
_HEADER_NAME = re.compile(r"(?!.*-bin$)[A-Za-z0-9_.-]+")
_HEADER_VALUE = re.compile(r"[\x20-\x7e]*")

SignalName = Literal["traces", "metrics", "logs"]


def is_sendable(value: str) -> bool:
    """Tell whether a text can be the value of a header."""
    return _HEADER_VALUE.fullmatch(value) is not None


def _sendable(value: Secret) -> Secret:
    if not is_sendable(value.get()):
        # A line break at the end is what reading a secret by other means often leaves.
        raise PydanticCustomError(SECRET_PROBLEM, "cannot be sent in a header; it may hold printable ASCII only")
    return value


class ExporterConfig(Section):
    """One OTLP back end that gets what was received, as it came."""

    name: str = Field(min_length=1, pattern=r"^[A-Za-z0-9_-][A-Za-z0-9_.-]*$")
    """Name in metrics and messages; it also names the exporter's position in the log, so keep it."""
    endpoint: Url
    """http://host:port (plain) or https://host:port (TLS). For HTTP, `/v1/traces` and so on are appended."""
    protocol: Literal["grpc", "http/protobuf"] = "grpc"
    """OTLP transport."""
    signals: tuple[SignalName, ...] = ("traces", "metrics", "logs")
    """What to send; for example only traces to Jaeger."""
    forward: Literal["all", "findings", "errors", "sample"] = "all"
    """Which traces are worth their storage: `all`, as they come; those of executions with `findings` of at least
    `min_severity`; those of executions that failed or never ended (`errors`); or only the share `sample_ratio`
    (`sample`). Traces that were chosen for what is in them are sent as a whole once they are analysed; spans that come
    later follow the newest decision. Metrics, logs and what cannot be judged are always sent."""
    min_severity: Severity = Severity.LOW
    """Least severity that `forward: findings` asks for (default low)."""
    sample_ratio: float = Field(default=0.0, ge=0, le=1)
    """Share of the other traces that is sent as well, chosen by their ids as every sampler that follows the
    specification would (0..1). Source: OpenTelemetry, TraceState: Probability Sampling."""
    headers: dict[str, Annotated[Secret, AfterValidator(_sendable)]] = Field(default_factory=dict)
    """Sent with each request, for example `authorization`; never printed. A value is written down or, better, `{file:
    /path}` or `{env: NAME}`; a file is read at each use, so that tokens may change."""
    tls: ExporterTlsConfig = ExporterTlsConfig()
    """Certificates, for https endpoints."""
    compression: Literal["none", "gzip"] = "none"
    """Compression of what is sent; gzip costs more than everything else the sidecar does."""
    timeout_s: PositiveDuration = 10.0
    """Longest wait for an answer (default 10s). Source: OpenTelemetry OTLP exporter specification."""
    concurrency: int = Field(default=8, ge=1, le=256)
    """Requests in flight at once (count); one while the back end takes nothing. Chosen: hides 10 ms of latency at
    10 000 spans a second."""
    retry: RetryConfig = RetryConfig()
    """Delays between tries."""
    dead_letter: DeadLetterConfig = DeadLetterConfig()
    """What the back end will never take."""

    @field_validator("headers")
    @classmethod
    def _can_be_named(cls, headers: dict[str, Secret]) -> dict[str, Secret]:
        for name in headers:
            if not _HEADER_NAME.fullmatch(name):
                raise ValueError(f"{name!r} is not the name of a header; use letters, digits, - _ .")
        return headers

    @model_validator(mode="after")
    def _tls_is_used(self) -> Self:
        if self.tls != ExporterTlsConfig() and not self.endpoint.startswith("https://"):
            raise ValueError(f"tls is for https endpoints; write https:// in {self.endpoint}, or leave tls out")
        if self.tls.insecure_skip_verify and self.protocol == "grpc":
            raise ValueError("gRPC cannot leave out the check; give the back end's certificate as tls.ca")
        return self

    @model_validator(mode="after")
    def _samples_something(self) -> Self:
        if self.forward == "sample" and not self.sample_ratio:
            raise ValueError("forward: sample needs a sample_ratio above 0, such as 0.1")
        if self.forward == "all" and self.sample_ratio:
            raise ValueError("sample_ratio is for forward: sample, findings or errors; forward: all sends every trace")
        return self
