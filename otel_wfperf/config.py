"""Configuration: ``wfperf.yaml`` and ``OTEL_WFPERF_*`` environment variables.

A key of the file is a dotted path such as ``sidecar.listen.grpc``; its environment variable is the same path in
capitals with two underscores for each dot: ``OTEL_WFPERF_SIDECAR__LISTEN__GRPC``. The environment wins. Variables
without two underscores belong to the instrumentation and are not read here.

Durations are written ``2s``, ``500ms``, ``10m``, ``1h``, ``7d`` or as a number of seconds; sizes ``64MiB``, ``10kB``
or a number of bytes. Because the value says its unit, the key does not: ``max_age: 2h`` sets ``max_age_s``.
"""

from __future__ import annotations

import json
import os
import re
import types
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, Union, get_args, get_origin
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from otel_wfperf.assembly import AssemblySettings
from otel_wfperf.errors import ConfigError

ENVIRONMENT_PREFIX: Final = "OTEL_WFPERF_"

_SETTINGS: Final = AssemblySettings()
_SECONDS: Final = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
# What reaches this machine's own loopback address; as a listen address, 0.0.0.0 and :: include it.
_LOCAL_HOSTS: Final = frozenset({"127.0.0.1", "localhost", "::1", "0.0.0.0", "::"})  # noqa: S104 - compared with
_BYTES: Final = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}


def parse_duration(value: object) -> float:
    """Return a duration in seconds; raise ValueError when the value is none."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?\s*", value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("write a duration such as 500ms, 2s, 10m, 1h or a number of seconds")
    return float(match[1]) * _SECONDS[match[2] or "s"]


def parse_size(value: object) -> int:
    """Return a size in bytes; raise ValueError when the value is none."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmg]?i?b)?\s*", value.lower()) if isinstance(value, str) else None
    unit = (match[2] or "") if match else None
    if match is None or unit not in _BYTES:
        raise ValueError("write a size such as 64MiB, 10kB or a number of bytes")
    return int(float(match[1]) * _BYTES[unit])


def split_address(address: str) -> tuple[str, int]:
    """Split ``host:port`` (IPv6 in brackets); raise ValueError when it is not that."""
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError("write host:port, such as 127.0.0.1:4317 or [::1]:4317 (port 0: any free one)")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError("write an IPv6 address in brackets, such as [::1]:4317")
    return host, int(port)


def _checked_address(address: str) -> str:
    split_address(address)
    return address


def _checked_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("write http://host:port (plain) or https://host:port (TLS)")
    if re.search(r"/v1/(traces|metrics|logs)/?$", parts.path):
        raise ValueError("leave /v1/traces and the like out; they are appended for each signal")
    return url.rstrip("/")


def _is_own(endpoint: str, address: str) -> bool:
    """Tell whether an endpoint leads to an address that this process listens on."""
    parts = urlsplit(endpoint)
    host, port = split_address(address)
    default_port = 443 if parts.scheme == "https" else 80
    if port == 0 or (parts.port or default_port) != port:
        return False
    return parts.hostname == host or (parts.hostname in _LOCAL_HOSTS and host in _LOCAL_HOSTS)


Duration = Annotated[float, Field(ge=0), BeforeValidator(parse_duration, json_schema_input_type=str | float)]
PositiveDuration = Annotated[float, Field(gt=0), BeforeValidator(parse_duration, json_schema_input_type=str | float)]
Size = Annotated[int, Field(gt=0), BeforeValidator(parse_size, json_schema_input_type=str | int)]
Address = Annotated[str, AfterValidator(_checked_address)]
Url = Annotated[str, AfterValidator(_checked_url)]


def _key(field_name: str) -> str:
    return re.sub(r"_(s|bytes)$", "", field_name)


class Section(BaseModel):
    """One mapping of the file: immutable, unknown keys refused, keys without their unit."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=_key, populate_by_name=True, use_attribute_docstrings=True
    )


class ListenConfig(Section):
    """Where the sidecar listens; port 0 takes any free one.

    Source: OTLP specification, default ports 4317 (gRPC) and 4318 (HTTP). Loopback only, because the traces of
    agents may hold what users typed.
    """

    grpc: Address = "127.0.0.1:4317"
    """OTLP over gRPC (host:port)."""
    http: Address = "127.0.0.1:4318"
    """OTLP over HTTP (host:port)."""
    page: Address = "127.0.0.1:4319"
    """Page, JSON API, /metrics and health (host:port)."""


class LogConfig(Section):
    """The durable log between the receivers and everything that consumes."""

    max_size_bytes: Size = 1024**3
    """Data kept for slow consumers; beyond it new data is refused with a retryable status (default 1GiB).

    Chosen: about 2.5 million spans of 400 bytes, 4 minutes at 10 000 spans a second.
    """
    max_age_s: PositiveDuration = 24 * 3600.0
    """Data older than this is dropped and counted, whether or not every exporter had it (default 24h).

    Chosen: an outage over night loses nothing; older telemetry helps nobody.
    """
    fsync: bool = True
    """Force each commit to the disk, so that a power failure loses nothing acknowledged. `false` survives a crash of
    the process, but not of the machine (default true).

    Chosen: one commit serves all requests that wait for it, which makes it affordable.
    """


class AssemblyConfig(Section):
    """When an execution is taken as complete, and how much may be held until then.

    The reasons of the defaults stand at :class:`otel_wfperf.assembly.AssemblySettings`.
    """

    quiet_s: Duration = _SETTINGS.quiet_ns / 1e9
    """A trace whose root has ended is complete when nothing has come for this long (default 2s)."""
    missing_quiet_s: Duration = _SETTINGS.missing_quiet_ns / 1e9
    """The same while spans are known to be missing (default 10s)."""
    idle_timeout_s: Duration = _SETTINGS.idle_timeout_ns / 1e9
    """A trace without an ended root is given up when nothing has come for this long (default 10m)."""
    max_age_s: Duration = _SETTINGS.max_age_ns / 1e9
    """A trace is given up at this age (default 6h)."""
    late_window_s: Duration = _SETTINGS.late_window_ns / 1e9
    """How long spans that come late are still put into their execution (default 60s)."""
    max_open_spans: int = Field(default=_SETTINGS.max_open_spans, ge=1)
    """Spans held over all traces; past it the longest idle trace is analysed as it is (count)."""
    max_trace_spans: int = Field(default=_SETTINGS.max_trace_spans, ge=1)
    """Spans held of one trace (count)."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        self.settings()
        return self

    def settings(self) -> AssemblySettings:
        """Return the same for the assembler, in nanoseconds."""
        spans = self.model_dump(include={"max_open_spans", "max_trace_spans"})
        durations = self.model_dump(exclude=set(spans))
        return AssemblySettings(**spans, **{f"{_key(name)}_ns": int(s * 1e9) for name, s in durations.items()})


class RetryConfig(Section):
    """How an exporter tries again. There is no last try: the log keeps the data until `sidecar.log.max_age`.

    Source: opentelemetry-collector config/configretry (5 s, x 1.5, at most 30 s, jitter 0.5).
    """

    initial_delay_s: PositiveDuration = 5.0
    """Delay before the second try (default 5s)."""
    max_delay_s: PositiveDuration = 30.0
    """Longest delay between tries (default 30s)."""
    multiplier: float = Field(default=1.5, ge=1)
    """Growth of the delay from try to try."""
    jitter: float = Field(default=0.5, ge=0, le=1)
    """Random part of the delay, both ways (0..1)."""


# Source: gRPC over HTTP2, "Header-Name" and "ASCII-Value"; names in -bin would need bytes.
_HEADER_NAME = re.compile(r"(?!.*-bin$)[A-Za-z0-9_.-]+")
_HEADER_VALUE = re.compile(r"[\x20-\x7e]*")

SignalName = Literal["traces", "metrics", "logs"]


class ExporterConfig(Section):
    """One OTLP back end that gets everything received, as it came."""

    name: str = Field(min_length=1, pattern=r"^[A-Za-z0-9_.-]+$")
    """Name in metrics and messages; it also names the exporter's position in the log, so keep it."""
    endpoint: Url
    """http://host:port (plain) or https://host:port (TLS). For HTTP, `/v1/traces` and so on are appended."""
    protocol: Literal["grpc", "http/protobuf"] = "grpc"
    """OTLP transport."""
    signals: tuple[SignalName, ...] = ("traces", "metrics", "logs")
    """What to send; for example only traces to Jaeger."""
    headers: dict[str, SecretStr] = Field(default_factory=dict)
    """Sent with each request, for example `authorization`; never printed."""
    compression: Literal["none", "gzip"] = "none"
    """Compression of what is sent; gzip costs more than everything else the sidecar does."""
    timeout_s: PositiveDuration = 10.0
    """Longest wait for an answer (default 10s). Source: OpenTelemetry OTLP exporter specification."""
    concurrency: int = Field(default=8, ge=1, le=256)
    """Requests in flight at once (count). Chosen: hides 10 ms of latency at 10 000 spans a second."""
    retry: RetryConfig = RetryConfig()
    """Delays between tries."""

    @field_validator("headers")
    @classmethod
    def _can_be_sent(cls, headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for name, value in headers.items():
            if not _HEADER_NAME.fullmatch(name):
                raise ValueError(f"{name!r} is not the name of a header; use letters, digits, - _ .")
            # A line break at the end is what reading a secret from a file often leaves.
            if not _HEADER_VALUE.fullmatch(value.get_secret_value()):
                raise ValueError(f"the value of {name!r} cannot be sent; it may hold printable ASCII only")
        return headers


class RetentionConfig(Section):
    """How long results stay in the store."""

    max_age_s: PositiveDuration = 30 * 86400.0
    """Executions and findings older than this are deleted (default 30d). Chosen: seven-day trends with room."""
    max_executions: int = Field(default=100_000, gt=0)
    """Most executions kept; the oldest go first (count). Chosen: about 1 GB of documents."""


def state_folder(environ: Mapping[str, str]) -> Path:
    """Return the default data directory. Source: XDG Base Directory Specification 0.8, XDG_STATE_HOME."""
    state = environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "otel-wfperf"


class SidecarConfig(Section):
    """The sidecar: OTLP in, findings out."""

    listen: ListenConfig = ListenConfig()
    """Addresses."""
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
                if _is_own(exporter.endpoint, address):
                    raise ValueError(
                        f"exporter {exporter.name} would send to this sidecar itself: {exporter.endpoint} is "
                        f"sidecar.listen.{key}; let the back end or the sidecar listen on another port"
                    )
        return self


class WfperfConfig(Section):
    """Everything that can be configured."""

    sidecar: SidecarConfig = Field(default_factory=SidecarConfig)
    """The sidecar."""


def load(path: Path | None, environ: Mapping[str, str]) -> WfperfConfig:
    """Read the file (None: no file) and the environment; raise ConfigError with every problem found."""
    values = _read(path) if path is not None else {}
    variables, problems = _overlay(values, environ)
    if not problems and isinstance(values.get("sidecar", {}), dict):
        values.setdefault("sidecar", {}).setdefault("data_dir", state_folder(environ))
    try:
        config = WfperfConfig.model_validate(values)
    except ValidationError as error:
        problems += [_problem(detail, values, variables) for detail in error.errors(include_url=False)]
    if problems:
        raise ConfigError(*problems)
    return config


def schema() -> dict[str, Any]:
    """Return the JSON schema of the file."""
    return WfperfConfig.model_json_schema(by_alias=True)


def _read(path: Path) -> dict[str, Any]:
    # Only a user with a file needs the parser.
    import yaml  # noqa: PLC0415

    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: is not YAML: {error}") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: holds a {type(values).__name__}; write a mapping such as `sidecar: {{…}}`")
    return {str(key): value for key, value in values.items()}


def _overlay(values: dict[str, Any], environ: Mapping[str, str]) -> tuple[dict[tuple[str, ...], str], list[str]]:
    """Put the environment's values into the file's; return which variable set which path, and problems."""
    variables: dict[tuple[str, ...], str] = {}
    problems: list[str] = []
    for name, text in sorted(environ.items()):
        path = tuple(name.removeprefix(ENVIRONMENT_PREFIX).lower().split("__"))
        if not name.startswith(ENVIRONMENT_PREFIX) or len(path) == 1:
            continue
        variables[path] = name
        try:
            value = json.loads(text) if text.lstrip()[:1] in {"[", "{"} else text
        except ValueError as error:
            problems.append(f"{name}: {text!r}: is not JSON ({error}); write lists and mappings as JSON")
            continue
        if not _put(values, path, value):
            problems.append(f"{name}: {'.'.join(path[:-1])} is not a mapping in the file")
    return variables, problems


def _put(values: dict[str, Any], path: Sequence[str], value: object) -> bool:
    for key in path[:-1]:
        inner = values.setdefault(key, {})
        if not isinstance(inner, dict):
            return False
        values = inner
    values[path[-1]] = value
    return True


def _problem(detail: Any, values: Mapping[str, Any], variables: Mapping[tuple[str, ...], str]) -> str:
    location = tuple(str(part) for part in detail["loc"])
    dotted = ".".join(location)
    variable = variables.get(location)
    key = f"{dotted} ({variable})" if variable else dotted
    if detail["type"] == "extra_forbidden":
        known = _known_keys(location[:-1])
        near = get_close_matches(location[-1], known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(known)}"
        return f"{key}: unknown key ({hint})"
    if detail["type"] == "missing":
        return f"{key}: is missing; set it"
    message = str(detail["msg"]).removeprefix("Value error, ")
    if location == ("sidecar",) and isinstance(
        detail["input"], Mapping
    ):  # about several of its keys together: the message names them
        return f"{key}: {message}"
    return f"{key}: {_shown(location, _typed(values, detail))}: {message[:1].lower()}{message[1:]}"


def _typed(values: Any, detail: Any) -> object:
    """Return what the user wrote: a duration is a number by the time its bounds are checked."""
    try:
        for part in detail["loc"]:
            values = values[part]
    except (LookupError, TypeError):
        return detail["input"]
    return values


def _shown(location: tuple[str, ...], value: object) -> str:
    # A header may be a credential: it is never repeated.
    if "headers" in location:
        return "(hidden)"
    return repr(value) if isinstance(value, str | int | float | bool | None) else f"a {type(value).__name__}"


def _known_keys(location: tuple[str, ...]) -> list[str]:
    model: type[BaseModel] = WfperfConfig
    for part in location:
        if part.isdigit():
            continue
        found = next((field for name, field in model.model_fields.items() if _key(name) == part), None)
        inner = _model_in(found.annotation) if found else None
        if inner is None:
            return []
        model = inner
    return sorted(_key(name) for name in model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Find the section inside ``Section``, ``tuple[Section, ...]`` or ``Section | None``."""
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return annotation if issubclass(annotation, BaseModel) else None
    if get_origin(annotation) in {tuple, list, Union, types.UnionType}:
        return next((model for inner in get_args(annotation) if (model := _model_in(inner))), None)
    return None
