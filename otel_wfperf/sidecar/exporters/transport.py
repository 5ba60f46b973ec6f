"""Choose the exporter for a configuration. Add transports to ``TRANSPORTS``."""

from collections.abc import Callable, Mapping
from functools import partial

from otel_wfperf.config import ExporterConfig
from otel_wfperf.sidecar.exporters import tls
from otel_wfperf.sidecar.exporters.exporter import Exporter
from otel_wfperf.sidecar.exporters.grpc import GrpcExporter
from otel_wfperf.sidecar.exporters.http import HttpExporter
from otel_wfperf.sidecar.exporters.renewal import RenewedExporter

TRANSPORTS: Mapping[str, Callable[[ExporterConfig], Exporter]] = {
    "grpc": GrpcExporter,
    "http/protobuf": HttpExporter,
}


def connect(config: ExporterConfig) -> Exporter:
    """Return the exporter that a configuration asks for; raise ConfigError when its certificates cannot be used."""
    return RenewedExporter(partial(TRANSPORTS[config.protocol], config), partial(tls.stamp, config))
