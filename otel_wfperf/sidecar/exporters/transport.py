"""Choose the exporter for a configuration. Add transports to ``TRANSPORTS``."""

from collections.abc import Callable, Mapping

from otel_wfperf.config import ExporterConfig
from otel_wfperf.sidecar.exporters.exporter import Exporter
from otel_wfperf.sidecar.exporters.grpc import GrpcExporter
from otel_wfperf.sidecar.exporters.http import HttpExporter

TRANSPORTS: Mapping[str, Callable[[ExporterConfig], Exporter]] = {
    "grpc": GrpcExporter,
    "http/protobuf": HttpExporter,
}


def connect(config: ExporterConfig) -> Exporter:
    """Return the exporter that a configuration asks for."""
    return TRANSPORTS[config.protocol](config)
