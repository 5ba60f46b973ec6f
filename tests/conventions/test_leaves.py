import pytest

from otel_wfperf.model import Attributes, OperationKind, SpanKind
from tests.conventions.spans import operation_of, span, understood


def called(attributes: Attributes, *, name: str = "GET", kind: SpanKind = SpanKind.CLIENT) -> str:
    operation = operation_of(span(name, attributes, kind=kind))
    assert (operation.kind, operation.dialect) == (OperationKind.OTHER, "leaves")
    return operation.name


@pytest.mark.parametrize(
    ("attributes", "name"),
    [
        # opentelemetry-instrumentation-httpx 0.66b1, before and after OTEL_SEMCONV_STABILITY_OPT_IN=http
        ({"http.method": "POST", "http.url": "http://127.0.0.1:34211/v1/chat?x=secret"}, "POST 127.0.0.1:34211"),
        (
            {
                "http.request.method": "POST",
                "server.address": "127.0.0.1",
                "server.port": 38763,
                "url.full": "http://127.0.0.1:38763/v1/chat?x=secret",
            },
            "POST 127.0.0.1:38763",
        ),
        (
            {"http.request.method": "GET", "server.address": "api.example.com", "server.port": 443},
            "GET api.example.com",
        ),
        ({"http.request.method": "GET", "url.full": "https://api.example.com/a"}, "GET api.example.com"),
        (
            {"http.request.method": "GET", "server.address": "api", "url.template": "/items/{id}"},
            "GET api/items/{id}",
        ),
        ({"http.method": "GET", "http.url": "http://[broken"}, "GET"),
    ],
)
def test_a_request_names_the_host_not_the_path(attributes: Attributes, name: str) -> None:
    assert called(attributes) == name


def test_a_served_request_is_named_by_its_route() -> None:
    new: Attributes = {"http.request.method": "GET", "http.route": "/items/{i}", "url.path": "/items/3"}
    old: Attributes = {"http.method": "GET", "http.route": "/items/{i}", "http.target": "/items/3"}

    assert called(new, kind=SpanKind.SERVER) == called(old, kind=SpanKind.SERVER) == "GET /items/{i}"
    assert called({"http.method": "GET"}, name="GET /health", kind=SpanKind.SERVER) == "GET /health"


@pytest.mark.parametrize(
    ("attributes", "name"),
    [
        # opentelemetry-instrumentation-sqlite3 0.66b1, before and after OTEL_SEMCONV_STABILITY_OPT_IN=database
        ({"db.system": "sqlite", "db.statement": "select * from orders where x = 'secret'"}, "sqlite SELECT orders"),
        ({"db.system.name": "sqlite", "db.query.text": "create table orders(x)"}, "sqlite CREATE orders"),
        (
            {"db.system.name": "postgresql", "db.operation.name": "SELECT", "db.collection.name": "orders"},
            "postgresql SELECT orders",
        ),
        ({"db.system": "postgresql", "db.operation": "insert", "db.sql.table": "orders"}, "postgresql INSERT orders"),
        ({"db.system": "mongodb", "db.operation": "find", "db.mongodb.collection": "users"}, "mongodb FIND users"),
        ({"db.system.name": "mysql", "db.query.summary": "SELECT users orders"}, "mysql SELECT users orders"),
        ({"db.system": "redis", "db.statement": "GET ?"}, "redis GET"),
        ({"db.system": "elasticsearch", "db.name": "traces", "http.method": "POST"}, "elasticsearch traces"),
    ],
)
def test_a_database_call_names_verb_and_table_and_no_text(attributes: Attributes, name: str) -> None:
    assert called(attributes, name="query") == name


@pytest.mark.parametrize(
    ("attributes", "name"),
    [
        (
            {"messaging.system": "kafka", "messaging.operation.name": "send", "messaging.destination.name": "jobs"},
            "kafka send jobs",
        ),
        (
            {"messaging.system": "rabbitmq", "messaging.operation": "receive", "messaging.destination": "jobs"},
            "rabbitmq receive jobs",
        ),
        ({"rpc.system": "grpc", "rpc.service": "pkg.Users", "rpc.method": "Get"}, "pkg.Users/Get"),
        ({"rpc.system.name": "grpc", "rpc.method": "pkg.Users/Get"}, "pkg.Users/Get"),
        ({"rpc.system": "jsonrpc", "rpc.service": 3}, "MCP request"),
    ],
)
def test_messages_and_remote_calls_name_their_target(attributes: Attributes, name: str) -> None:
    assert called(attributes, name="MCP request") == name


def test_the_parts_of_a_served_request_are_leaves_too() -> None:
    assert called({"asgi.event.type": "http.response.body"}, name="GET / http send") == "GET / http send"


def test_what_is_about_agents_is_no_leaf() -> None:
    call = understood("chat m", gen_ai__operation__name="chat", http__request__method="POST")

    assert call.dialect == "genai"
