"""Bodies of the answers of an OTLP receiver.

Source: opentelemetry-proto docs/specification.md, "OTLP/HTTP Response" and "Partial Success".
"""

# googleapis-common-protos, a dependency of the OTLP exporters, ships stubs without the py.typed marker.
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from otel_wfperf.otlp.json import encode_message


def status_body(code: int, message: str, *, json: bool) -> bytes:
    """Encode a google.rpc.Status; ``code`` is a gRPC status number, such as 3 for INVALID_ARGUMENT."""
    status = Status(code=code, message=message)
    return encode_message(status) if json else bytes(status.SerializeToString())


def response_body(rejected: int, message: str, *, json: bool) -> bytes:
    """Encode an ExportTraceServiceResponse.

    ``partial_success`` is left unset when nothing was rejected (count of spans) and there is no warning, as the
    specification demands. The empty answer serves metrics and logs as well.
    """
    response = ExportTraceServiceResponse()
    if rejected or message:
        response.partial_success.rejected_spans = rejected
        response.partial_success.error_message = message
    return encode_message(response) if json else response.SerializeToString()
