"""OTLP over HTTP: POST /v1/traces, /v1/metrics, /v1/logs with protobuf or JSON, plain or gzip.

Every error body is a ``google.rpc.Status`` in the encoding of the request.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from grpc import StatusCode
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from otel_wfperf.config import CorsConfig
from otel_wfperf.errors import DecodeError, LogFullError
from otel_wfperf.log import Signal
from otel_wfperf.otlp.requests import check, check_json
from otel_wfperf.otlp.status import status_body
from otel_wfperf.sidecar.receivers.cors import Cors
from otel_wfperf.sidecar.receivers.gzip_body import Gunzip, TooLargeError
from otel_wfperf.sidecar.receivers.request import UNAUTHENTICATED, Holding, Intake, TooManyItemsError, answer

PROTOBUF: Final = "application/x-protobuf"
JSON: Final = "application/json"
# Source: google.rpc.Code, the numbers of gRPC.
_CODES: Final[Mapping[int, int]] = {
    400: StatusCode.INVALID_ARGUMENT.value[0],
    401: StatusCode.UNAUTHENTICATED.value[0],
    404: StatusCode.NOT_FOUND.value[0],
    405: StatusCode.UNIMPLEMENTED.value[0],
    408: StatusCode.DEADLINE_EXCEEDED.value[0],
    413: StatusCode.RESOURCE_EXHAUSTED.value[0],
    415: StatusCode.INVALID_ARGUMENT.value[0],
    500: StatusCode.INTERNAL.value[0],
    503: StatusCode.UNAVAILABLE.value[0],
}


class RefusedError(Exception):
    """A request that gets an error status."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        """Remember the HTTP status, the reason that is counted and the text for the sender."""
        self.status = status
        self.reason = reason
        super().__init__(message)


def application(intake: Intake, *, read_timeout_s: float, cors: CorsConfig | None = None) -> ASGIApp:
    """Build the ASGI application of the OTLP HTTP port."""
    routes = [
        Route(f"/v1/{signal.value}", _endpoint(intake, signal, read_timeout_s), methods=["POST"]) for signal in Signal
    ]
    app = Starlette(routes=routes, exception_handlers={404: _not_found, 405: _wrong_method, Exception: _failure})
    return Cors(app, cors) if cors is not None and cors.allowed_origins else app


def _endpoint(intake: Intake, signal: Signal, read_timeout_s: float) -> Callable[[Request], Awaitable[Response]]:
    async def export(request: Request) -> Response:
        try:
            return await _export(intake, signal, request, read_timeout_s)
        except LogFullError as error:
            intake.metrics.refused(signal, "http", "overload")
            return _error(request, 503, str(error), retry_after_s=error.retry_after_s)
        except DecodeError as error:
            intake.metrics.refused(signal, "http", "malformed")
            return _error(request, 400, str(error))
        except TooManyItemsError as error:
            intake.metrics.refused(signal, "http", "too_many_items")
            return _error(request, 413, str(error))
        except RefusedError as error:
            intake.metrics.refused(signal, "http", error.reason)
            return _error(request, error.status, str(error))
        except ClientDisconnect:
            intake.metrics.refused(signal, "http", "disconnected")
            return Response(status_code=400)

    return export


async def _export(intake: Intake, signal: Signal, request: Request, read_timeout_s: float) -> Response:
    if not intake.knows(request.headers.get("authorization")):
        raise RefusedError(401, "unauthenticated", UNAUTHENTICATED)
    content_type = _content_type(request)
    decode = check_json if content_type == JSON else check
    with intake.holding() as held:
        body = await _body(request, intake.max_request_bytes, read_timeout_s, held)
        rejected = await intake.accept_checked(
            signal, lambda: decode(signal, body), size=len(body), protocol=f"http/{_short(content_type)}"
        )
    return _response(answer(rejected, json=content_type == JSON), content_type, 200)


def _content_type(request: Request) -> str:
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type not in {PROTOBUF, JSON}:
        raise RefusedError(
            415, "content_type", f"content-type: {content_type or '(none)'}: send {PROTOBUF} or {JSON} instead"
        )
    return content_type


async def _body(request: Request, limit_bytes: int, timeout_s: float, held: Holding) -> bytes:
    """Read and unpack the body piece by piece, so that no more than the limit is ever held."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"identity", "gzip", ""}:
        raise RefusedError(415, "content_encoding", f"content-encoding: {encoding}: send gzip or nothing instead")
    unpacking = Gunzip(limit_bytes) if encoding == "gzip" else None
    data = unpacking.data if unpacking is not None else bytearray()
    received = 0
    try:
        async with asyncio.timeout(timeout_s):
            _check_size(_announced_bytes(request), limit_bytes)
            async for chunk in request.stream():
                received += len(chunk)
                _check_size(received, limit_bytes)
                if unpacking is None:
                    data += chunk
                else:
                    unpacking.feed(chunk)
                held.grow_to(len(data))
    except TimeoutError as error:
        raise RefusedError(408, "slow_client", f"the body took longer than {timeout_s:g} s; send it faster") from error
    except TooLargeError as error:
        message = f"the body is larger than sidecar.max_request_size: {limit_bytes} bytes; send smaller batches"
        raise RefusedError(413, "too_large", message) from error
    return unpacking.finish() if unpacking else bytes(data)


def _announced_bytes(request: Request) -> int:
    """Return what the client says it will send; the server has checked that it is a number."""
    return int(request.headers.get("content-length", "0"))


def _check_size(size_bytes: int, limit_bytes: int) -> None:
    if size_bytes > limit_bytes:
        raise TooLargeError


def _response(body: bytes, content_type: str, status: int, headers: dict[str, str] | None = None) -> Response:
    return Response(body, status_code=status, media_type=content_type, headers=headers)


def _error(request: Request, status: int, message: str, *, retry_after_s: float | None = None) -> Response:
    """Answer with a Status; for a request whose encoding is not known, in JSON."""
    asked = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    content_type = PROTOBUF if asked == PROTOBUF else JSON
    body = status_body(_CODES[status], message, json=content_type == JSON, malformed=status == 400)
    headers = {"retry-after": str(math.ceil(retry_after_s))} if retry_after_s is not None else {}
    if status == 401:
        headers["www-authenticate"] = 'Bearer realm="otel-wfperf"'
    # What is left of a body is read and thrown away, for as long as a body may take: hanging up at once would reset the
    # connection, and a client that is still sending would see that instead of the answer. A slow one had its time.
    if status == 408:
        headers["connection"] = "close"
    return _response(body, content_type, status, headers)


def _short(content_type: str) -> str:
    return "json" if content_type == JSON else "protobuf"


def _not_found(request: Request, _reason: Exception) -> Response:
    paths = ", ".join(f"/v1/{signal.value}" for signal in Signal)
    return _error(request, 404, f"path: {request.url.path}: nothing is here; POST to one of {paths}")


def _wrong_method(request: Request, _reason: Exception) -> Response:
    response = _error(request, 405, f"method: {request.method}: is not possible here; use POST")
    response.headers["allow"] = "POST"
    return response


def _failure(request: Request, _reason: Exception) -> Response:
    return _error(request, 500, "the sidecar failed on this request; its log on standard error says why")
