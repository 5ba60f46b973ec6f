"""OTLP requests in JSON <-> spans, by the strict rules of OTLP/JSON.

It is proto3 JSON with four differences: ids are hex (not base64), enumerations are numbers only, keys are
lowerCamelCase only, and unknown keys are ignored. ``google.protobuf.json_format`` cannot do the first three, hence this
walk. It is driven by the descriptors of the messages, so it serves traces, metrics and logs alike.

Source: opentelemetry-proto docs/specification.md, "JSON Protobuf Encoding"; protobuf.dev, "ProtoJSON Format".
"""

import base64
import binascii
import json
import math
import re
import reprlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, NoReturn, TypeVar

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1 import trace_pb2

from otel_wfperf.errors import DecodeError
from otel_wfperf.model import Span
from otel_wfperf.otlp import protobuf
from otel_wfperf.otlp.batch import InvalidFieldError, TraceBatch

M = TypeVar("M", bound=Message)

# Messages inside the request. Chosen: the bound of the protobuf parser, so both encodings accept the same.
MAX_DEPTH: Final = 100
HEX_FIELDS: Final = frozenset({"trace_id", "span_id", "parent_span_id"})
WIDE_INTEGERS: Final = frozenset(
    {
        FieldDescriptor.TYPE_INT64,
        FieldDescriptor.TYPE_UINT64,
        FieldDescriptor.TYPE_SINT64,
        FieldDescriptor.TYPE_FIXED64,
        FieldDescriptor.TYPE_SFIXED64,
    }
)
INTEGER: Final = re.compile(r"-?[0-9]{1,20}")  # 2**64 has 20 digits
DECIMAL: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")


def decode_traces(data: bytes) -> TraceBatch:
    """Decode an ExportTraceServiceRequest; raise DecodeError unless all of it can be decoded.

    Spans with ids of the wrong length or all zero are left out and counted.
    """
    return decode_document(load(data))


def encode_traces(spans: Iterable[Span]) -> bytes:
    """Encode spans as an ExportTraceServiceRequest; spans of one resource and scope stand together."""
    return encode_message(protobuf.request_of(spans))


def transcode_traces(data: bytes) -> bytes:
    """Turn an ExportTraceServiceRequest into protobuf; nothing but unknown keys is lost."""
    return _transcode(ExportTraceServiceRequest, data)


def transcode_metrics(data: bytes) -> bytes:
    """Turn an ExportMetricsServiceRequest into protobuf; nothing but unknown keys is lost."""
    return _transcode(ExportMetricsServiceRequest, data)


def transcode_logs(data: bytes) -> bytes:
    """Turn an ExportLogsServiceRequest into protobuf; nothing but unknown keys is lost."""
    return _transcode(ExportLogsServiceRequest, data)


def decode_document(document: object, *, lenient: bool = False) -> TraceBatch:
    """Decode a parsed ExportTraceServiceRequest.

    With ``lenient`` a span that breaks a rule is left out and counted like one with an unusable id.
    """
    request = ExportTraceServiceRequest()
    rejected: Counter[str] = Counter()
    _fill(request, document, 0, rejected if lenient else None)
    batch = protobuf.batch_of(request)
    return TraceBatch(spans=batch.spans, rejected=dict(rejected + Counter(batch.rejected)))


def encode_message(message: Message) -> bytes:
    """Encode any OTLP message."""
    return json.dumps(_document(message), ensure_ascii=False, separators=(",", ":")).encode()


def load(data: bytes) -> object:
    """Parse JSON (RFC 8259: UTF-8, no bare NaN); raise DecodeError when it is not."""
    try:
        return json.loads(data.decode("utf-8"), parse_constant=_refuse_constant)
    except RecursionError as error:
        raise DecodeError(f"{len(data)} bytes of JSON are nested too deeply; flatten the values") from error
    except ValueError as error:  # also bad UTF-8 and integers of thousands of digits
        raise DecodeError(f"{len(data)} bytes are not JSON: {error}; check that nothing was cut off") from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f'{name} is not JSON; write it as the string "{name}"')


def _transcode(message_type: type[M], data: bytes) -> bytes:
    message = message_type()
    _fill(message, load(data), 0, None)
    return message.SerializeToString()


# -- JSON -> message -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Field:
    """How one key is read; ``read`` is None for a message, ``oneof`` names the group of which one may be set."""

    name: str
    repeated: bool
    oneof: str | None
    read: Callable[[Any], Any] | None


@cache
def _fields(descriptor: Any) -> Mapping[str, _Field]:
    return {
        field.json_name: _Field(
            field.name,
            _is_repeated(field),
            field.containing_oneof.name if field.containing_oneof is not None else None,
            _reader(field),
        )
        for field in descriptor.fields
    }


def _is_repeated(field: Any) -> bool:
    # protobuf 6.31 brought is_repeated; label, which older ones have, warns since.
    repeated = getattr(field, "is_repeated", None)
    return bool(field.label == FieldDescriptor.LABEL_REPEATED if repeated is None else repeated)


def _fill(message: Message, value: object, depth: int, rejected: Counter[str] | None) -> None:
    name = message.DESCRIPTOR.name
    if not isinstance(value, dict):
        raise DecodeError(f"{name}: {reprlib.repr(value)} is not an object; OTLP/JSON has an object here")
    if depth > MAX_DEPTH:
        raise DecodeError(f"{name}: nested deeper than {MAX_DEPTH} messages; flatten the value")
    fields = _fields(message.DESCRIPTOR)
    for key, item in value.items():
        field = fields.get(key)
        if field is None or item is None:
            continue
        try:
            _set(message, field, item, depth, rejected)
        except (ValueError, TypeError, OverflowError) as error:
            raise InvalidFieldError(
                f"invalid_{field.name}",
                f"{name}.{key}: {reprlib.repr(item)} is wrong: {error}; see the OTLP/JSON rules",
            ) from error


def _set(message: Message, field: _Field, item: Any, depth: int, rejected: Counter[str] | None) -> None:
    if field.oneof is not None and message.WhichOneof(field.oneof) is not None:
        raise ValueError(f"a second value where one of {field.oneof!r} is allowed")
    if field.repeated:
        _extend(getattr(message, field.name), field, item, depth, rejected)
    elif field.read is None:
        child = getattr(message, field.name)
        child.SetInParent()
        _fill(child, item, depth + 1, rejected)
    else:
        setattr(message, field.name, field.read(item))


def _extend(container: Any, field: _Field, items: Any, depth: int, rejected: Counter[str] | None) -> None:
    if not isinstance(items, list):
        raise TypeError("a list is needed")
    if field.read is not None:
        container.extend([field.read(item) for item in items])
        return
    for item in items:
        child = container.add()
        try:
            _fill(child, item, depth + 1, rejected)
        except DecodeError as error:
            if rejected is None or not isinstance(child, trace_pb2.Span):
                raise
            del container[-1]
            rejected[error.reason if isinstance(error, InvalidFieldError) else "undecodable"] += 1


def _reader(field: Any) -> Callable[[Any], Any] | None:
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        return None
    if field.type == FieldDescriptor.TYPE_BYTES:
        return _hex if field.name in HEX_FIELDS else _base64
    reader: Callable[[Any], Any] = READERS.get(field.type, _integer)
    return reader


def _string(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise TypeError("a string is needed")


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise TypeError("true or false is needed")


def _number(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise TypeError("enumerations are written as a number, not by name")


def _integer(value: Any) -> int:
    """Read an integer exactly: a float has lost nanoseconds before we see it."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and INTEGER.fullmatch(value):
        return int(value)
    raise TypeError("an integer is needed, as a number or a decimal string")


def _double(value: Any) -> float:
    if isinstance(value, str) and value in {"NaN", "Infinity", "-Infinity"}:
        return float(value)
    number = math.nan
    written_as_number = isinstance(value, int | float) and not isinstance(value, bool)
    if written_as_number or (isinstance(value, str) and DECIMAL.fullmatch(value)):
        number = float(value)
    if math.isfinite(number):
        return number
    raise TypeError('a number that fits a double, or one of "NaN", "Infinity", "-Infinity" is needed')


def _hex(value: Any) -> bytes:
    text = _string(value)
    try:
        return binascii.unhexlify(text)
    except ValueError as error:
        raise ValueError("ids are written in hex, not in base64") from error


def _base64(value: Any) -> bytes:
    """Read base64 in either alphabet, with or without padding, as ProtoJSON demands."""
    text = _string(value).rstrip("=").replace("-", "+").replace("_", "/")
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)


READERS: Final[Mapping[int, Callable[[Any], Any]]] = {
    FieldDescriptor.TYPE_STRING: _string,
    FieldDescriptor.TYPE_BOOL: _boolean,
    FieldDescriptor.TYPE_DOUBLE: _double,
    FieldDescriptor.TYPE_FLOAT: _double,
    FieldDescriptor.TYPE_ENUM: _number,
}


# -- message -> JSON -----------------------------------------------------------------------------------------------


def _document(message: Message) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for field, value in message.ListFields():
        if _is_repeated(field):
            document[field.json_name] = [_plain(field, item) for item in value]
        else:
            document[field.json_name] = _plain(field, value)
    return document


def _plain(field: Any, value: Any) -> Any:
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        return _document(value)
    if field.type in WIDE_INTEGERS:
        return str(value)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return value.hex() if field.name in HEX_FIELDS else base64.b64encode(value).decode()
    if isinstance(value, float) and not math.isfinite(value):
        return {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value, "NaN")
    return value
