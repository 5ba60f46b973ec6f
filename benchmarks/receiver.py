"""The smallest OTLP/HTTP receiver: accepts everything, and can say how many spans of what came."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


@dataclass
class Receiver:
    """Keeps what is posted, and decodes it only when asked: it must not take time from what is measured.

    Attributes:
        url: Where it listens.
        bodies: Requests with spans.
    """

    url: str = ""
    bodies: list[bytes] = field(default_factory=list)

    def take_spans(self) -> int:
        """Count the spans that came since the last call, and forget them."""
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest  # noqa: PLC0415

        bodies, self.bodies = self.bodies, []
        requests = map(ExportTraceServiceRequest.FromString, bodies)
        groups = (each for request in requests for resource in request.resource_spans for each in resource.scope_spans)
        return sum(len(group.spans) for group in groups)


@contextmanager
def receiver() -> Iterator[Receiver]:
    """Run one on loopback."""
    received = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            """Answer as an OTLP receiver does."""
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            if self.path.endswith("/v1/traces"):
                received.bodies.append(body)
            self.send_response(200)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    Thread(target=server.serve_forever, daemon=True).start()
    received.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield received
    finally:
        server.shutdown()
        server.server_close()
