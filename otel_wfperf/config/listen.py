"""Where the sidecar listens."""

from otel_wfperf.config.section import Section
from otel_wfperf.config.values import Address


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
