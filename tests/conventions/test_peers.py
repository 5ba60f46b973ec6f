import pytest

from otel_wfperf.model import Attributes, Operation, SpanKind
from tests.conventions.spans import operation_of, span


def call(attributes: Attributes, *, kind: SpanKind = SpanKind.CLIENT) -> Operation:
    return operation_of(span("call", attributes, kind=kind))


# As httpx, requests and aiohttp write it (opentelemetry-instrumentation 0.66b1), before and after
# OTEL_SEMCONV_STABILITY_OPT_IN=http, with OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_CLIENT_RESPONSE=retry-after.
OLD: Attributes = {"http.method": "GET", "http.url": "http://127.0.0.1:33901/items/3?x=1", "http.status_code": 429}
NEW: Attributes = {
    "http.request.method": "GET",
    "url.full": "http://127.0.0.1:42631/items/3?x=1",
    "server.address": "127.0.0.1",
    "network.peer.address": "127.0.0.1",
    "server.port": 42631,
    "network.peer.port": 42631,
    "http.response.header.retry_after": ("7",),
    "http.response.status_code": 429,
    "error.type": "429",
}


def test_requests_of_pythons_clients_name_peer_route_and_answer() -> None:
    old, new = call(OLD), call(NEW)

    assert (old.peer, old.route, old.status_code, old.retry_after_s) == ("127.0.0.1:33901", "GET", 429, None)
    assert (new.peer, new.route, new.status_code, new.retry_after_s) == ("127.0.0.1:42631", "GET", 429, 7.0)


@pytest.mark.parametrize(
    ("attributes", "peer", "route"),
    [
        (
            {"http.request.method": "GET", "server.address": "api", "server.port": 443, "url.template": "/items/{id}"},
            "api",
            "GET /items/{id}",
        ),
        (
            {"http.request.method": "GET", "network.peer.address": "10.0.0.7", "network.peer.port": 81},
            "10.0.0.7:81",
            "GET",
        ),
        ({"http.method": "GET", "http.url": "http://[broken"}, None, "GET"),
        (
            {"db.system": "postgresql", "db.statement": "select * from orders", "server.address": "db"},
            "db",
            "SELECT orders",
        ),
        ({"db.system.name": "redis"}, None, None),
        (
            {"rpc.system": "grpc", "rpc.service": "pkg.Users", "rpc.method": "Get", "net.peer.name": "users"},
            "users",
            "pkg.Users/Get",
        ),
        ({"messaging.system": "kafka", "messaging.destination.name": "jobs"}, None, "jobs"),
    ],
)
def test_a_call_names_its_peer_and_what_it_called_there(
    attributes: Attributes, peer: str | None, route: str | None
) -> None:
    operation = call(attributes)

    assert (operation.peer, operation.route) == (peer, route)


def test_serving_a_request_is_no_call_of_a_peer() -> None:
    served = call(
        {"http.request.method": "GET", "http.route": "/items/{i}", "server.address": "shop"}, kind=SpanKind.SERVER
    )

    assert (served.peer, served.route) == (None, "GET /items/{i}")


@pytest.mark.parametrize(
    ("attributes", "status"),
    [
        ({"rpc.system": "grpc", "rpc.grpc.status_code": 8}, 429),
        ({"rpc.system": "grpc", "rpc.grpc.status_code": 0}, 200),
        ({"rpc.system": "grpc", "rpc.grpc.status_code": 99}, None),
        ({"rpc.system.name": "grpc", "rpc.response.status_code": "UNAVAILABLE"}, 503),
        ({"rpc.system.name": "grpc", "rpc.response.status_code": "14"}, 503),
        ({"rpc.system.name": "jsonrpc", "rpc.response.status_code": "-32602"}, None),
        ({"db.system.name": "elasticsearch", "db.response.status_code": "429"}, 429),
        ({"db.system.name": "postgresql", "db.response.status_code": "08P01"}, None),
        ({"http.request.method": "GET", "http.response.status_code": "200"}, None),
    ],
)
def test_answers_are_spelt_as_http_spells_them(attributes: Attributes, status: int | None) -> None:
    assert call(attributes).status_code == status


@pytest.mark.parametrize(
    ("headers", "asked_s"),
    [
        ({"http.response.header.retry-after": ("7",)}, 7.0),
        ({"http.response.header.retry-after": "0.5"}, 0.5),
        ({"http.response.header.retry-after": 30}, 30.0),
        ({"http.response.header.retry-after": ("7",), "http.response.header.retry-after-ms": ("250",)}, 0.25),
        # The answer came at 22:13:20.
        ({"http.response.header.retry-after": ("Tue, 14 Nov 2023 22:13:50 GMT",)}, 30.0),
        ({"http.response.header.retry-after": ("Tue, 14 Nov 2023 22:13:00 GMT",)}, 0.0),
        ({"http.response.header.retry-after": ("soon",)}, None),
        ({"http.response.header.retry-after": ("-1",)}, None),
        ({"http.response.header.retry-after": ("1e999",)}, None),
        ({"http.response.header.retry-after": ("nan",)}, None),
        ({"http.response.header.retry-after": ()}, None),
        ({"http.response.header.retry-after": (("7",),)}, None),
    ],
)
def test_a_service_may_ask_to_wait(headers: Attributes, asked_s: float | None) -> None:
    assert call({"http.request.method": "GET", **headers}).retry_after_s == asked_s
