"""Bodies of answers to export requests: written by a receiver, read by an exporter.

Source: opentelemetry-proto docs/specification.md, "OTLP/HTTP Response", "Partial Success" and "OTLP/gRPC Throttling".
"""

from contextlib import suppress

from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import DecodeError

# googleapis-common-protos, a dependency of the OTLP exporters, ships stubs without the py.typed marker.
from google.rpc.error_details_pb2 import BadRequest, RetryInfo  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from otel_wfperf.otlp.json import encode_message


def status_body(
    code: int, message: str, *, json: bool, malformed: bool = False, retry_after_s: float | None = None
) -> bytes:
    """Encode a google.rpc.Status.

    Args:
        code: A gRPC status number, such as 3 for INVALID_ARGUMENT.
        message: What is wrong and what to do about it.
        json: In JSON instead of protobuf.
        malformed: Add the detail that the body is to blame.
        retry_after_s: Add the detail how long to wait (seconds).
    """
    status = Status(code=code, message=message)
    if malformed:
        violation = BadRequest.FieldViolation(field="body", description=message)
        status.details.add().Pack(BadRequest(field_violations=[violation]))
    if retry_after_s is not None:
        delay = Duration(seconds=int(retry_after_s), nanos=int(retry_after_s % 1 * 1e9))
        status.details.add().Pack(RetryInfo(retry_delay=delay))
    # OTLP/JSON has rules of its own for telemetry only; the details are Any messages, which only this knows.
    return MessageToJson(status, indent=None).encode() if json else bytes(status.SerializeToString())


def retry_delay_s(status: bytes) -> float | None:
    """Return the delay (seconds) that a google.rpc.Status asks for; None when it does not, or cannot be read."""
    info = RetryInfo()
    with suppress(DecodeError):
        if any(detail.Unpack(info) for detail in Status.FromString(status).details):
            return float(info.retry_delay.seconds + info.retry_delay.nanos / 1e9)
    return None


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


def rejected_items(response: bytes) -> int:
    """Count the items that a response of any signal says were rejected; one that cannot be read rejects none.

    The three responses differ in the names of their fields only, not in the numbers.
    """
    try:
        return ExportTraceServiceResponse.FromString(response).partial_success.rejected_spans
    except DecodeError:
        return 0
