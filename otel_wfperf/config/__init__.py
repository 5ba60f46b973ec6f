"""Configuration: ``wfperf.yaml`` and ``OTEL_WFPERF_*`` environment variables.

A key of the file is a dotted path such as ``sidecar.listen.grpc``; its environment variable is the same path in
capitals with two underscores for each dot: ``OTEL_WFPERF_SIDECAR__LISTEN__GRPC``. The environment wins. Variables
without two underscores belong to the instrumentation and are not read here.

Durations are written ``2s``, ``500ms``, ``10m``, ``1h``, ``7d`` or as a number of seconds; sizes ``64MiB``, ``10kB``
or a number of bytes. Because the value says its unit, the key does not: ``max_age: 2h`` sets ``max_age_s``.
"""

from otel_wfperf.config.alerts import AlertsConfig
from otel_wfperf.config.assembly import AssemblyConfig
from otel_wfperf.config.events import EventsConfig
from otel_wfperf.config.exporters import ExporterConfig, RetryConfig
from otel_wfperf.config.limits import LimitsConfig
from otel_wfperf.config.listen import ListenConfig
from otel_wfperf.config.loading import ENVIRONMENT_PREFIX, load, schema
from otel_wfperf.config.log import LogConfig
from otel_wfperf.config.notifiers import (
    AlertmanagerConfig,
    NotifierConfig,
    NotifiersConfig,
    SlackConfig,
    WebhookConfig,
)
from otel_wfperf.config.retention import RetentionConfig
from otel_wfperf.config.secrets import Secret, SecretUnavailableError
from otel_wfperf.config.security import (
    CorsConfig,
    MetricsSecurityConfig,
    OtlpSecurityConfig,
    PageSecurityConfig,
    SecurityConfig,
    TlsConfig,
    is_loopback,
)
from otel_wfperf.config.sidecar import SidecarConfig, WfperfConfig, state_folder
from otel_wfperf.config.values import parse_duration, parse_size, split_address

__all__ = [
    "ENVIRONMENT_PREFIX",
    "AlertmanagerConfig",
    "AlertsConfig",
    "AssemblyConfig",
    "CorsConfig",
    "EventsConfig",
    "ExporterConfig",
    "LimitsConfig",
    "ListenConfig",
    "LogConfig",
    "MetricsSecurityConfig",
    "NotifierConfig",
    "NotifiersConfig",
    "OtlpSecurityConfig",
    "PageSecurityConfig",
    "RetentionConfig",
    "RetryConfig",
    "Secret",
    "SecretUnavailableError",
    "SecurityConfig",
    "SidecarConfig",
    "SlackConfig",
    "TlsConfig",
    "WebhookConfig",
    "WfperfConfig",
    "is_loopback",
    "load",
    "parse_duration",
    "parse_size",
    "schema",
    "split_address",
    "state_folder",
]
