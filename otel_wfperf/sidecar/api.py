"""The page port: JSON API, metrics, health, and plain pages.

The routes are one table, from which the application and its OpenAPI document are built.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from otel_wfperf.config import parse_duration
from otel_wfperf.model import Execution, ExecutionStatus, Finding, Severity
from otel_wfperf.report import html
from otel_wfperf.sidecar import pages
from otel_wfperf.sidecar.alerting import api as alerts_api
from otel_wfperf.sidecar.alerting.alerting import Alerting
from otel_wfperf.sidecar.guard import Guard
from otel_wfperf.sidecar.live import LiveCounts, LiveExecution
from otel_wfperf.sidecar.live_document import live_document
from otel_wfperf.sidecar.metrics import Metrics
from otel_wfperf.store import Store

API_VERSION: Final = "1"  # as in the paths
MAX_LIMIT: Final = 1000  # Chosen: a megabyte or two of JSON
_MAX_LIVE: Final = 20  # Chosen: more at once than a person watches
_MAX_UNIX_NS: Final = 2**63 - 1
_MAX_SHOWN: Final = 100  # Chosen: enough of a wrong value to know it again
_SECURITY_HEADERS: Final = (
    (b"content-security-policy", pages.CONTENT_SECURITY_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)


class State(Protocol):
    """What the API shows of a running sidecar."""

    @property
    def store(self) -> Store:
        """Results."""

    @property
    def metrics(self) -> Metrics:
        """Counters."""

    @property
    def alerting(self) -> Alerting:
        """Alerts and silences."""

    @property
    def ready(self) -> bool:
        """Whether the sidecar takes requests."""

    @property
    def live_counts(self) -> LiveCounts:
        """How much is running now."""

    async def live(self, limit: int) -> tuple[LiveExecution, ...]:
        """Return what is running now, that which was heard of last first."""

    async def find(self, trace_id: str) -> tuple[Execution, tuple[Finding, ...]] | None:
        """Return a recent execution with all its operations; None when only its document is left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One query parameter."""

    name: str
    description: str
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One line of the route table."""

    path: str
    summary: str
    answer: Callable[[State, Request], Awaitable[Response]]
    parameters: tuple[Parameter, ...] = ()
    media_type: str = "application/json"


async def _executions(state: State, request: Request) -> Response:
    found = await run_in_threadpool(
        state.store.executions,
        workflow=request.query_params.get("workflow"),
        status=_choice(request, "status", tuple(ExecutionStatus)),
        since_unix_ns=_since_unix_ns(request),
        limit=_limit(request, default=50),
    )
    return JSONResponse({"executions": found, "findings": [], "errors": []})


async def _execution(state: State, request: Request) -> Response:
    trace_id = request.path_params["trace_id"].lower()
    found = await run_in_threadpool(state.store.execution, trace_id)
    if found is None:
        raise _unknown_execution(trace_id)
    findings = await run_in_threadpool(state.store.findings, trace_id=found["trace_id"])
    return JSONResponse({"executions": [found], "findings": findings, "errors": []})


async def _findings(state: State, request: Request) -> Response:
    found = await run_in_threadpool(
        state.store.findings,
        detector=request.query_params.get("detector"),
        workflow=request.query_params.get("workflow"),
        severity=_choice(request, "severity", tuple(Severity)),
        since_unix_ns=_since_unix_ns(request),
        limit=_limit(request, default=100),
    )
    return JSONResponse({"executions": [], "findings": found, "errors": []})


async def _agents(state: State, request: Request) -> Response:
    found = await run_in_threadpool(
        state.store.agents, workflow=request.query_params.get("workflow"), since_unix_ns=_since_unix_ns(request)
    )
    return JSONResponse({"agents": found})


async def _live(state: State, request: Request) -> Response:
    newest = await state.live(_limit(request, default=100))
    now_ns = time.time_ns()
    counts = state.live_counts
    return JSONResponse(
        {
            "executions": [live_document(each, now_unix_ns=now_ns) for each in newest],
            "running": counts.running,
            "stalled": counts.stalled,
        }
    )


async def _metrics(state: State, request: Request) -> Response:
    body, content_type = state.metrics.exposition(request.headers.get("accept", ""))
    return Response(body, headers={"content-type": content_type})


async def _healthz(_state: State, _request: Request) -> Response:
    return PlainTextResponse("ok\n")


async def _readyz(state: State, _request: Request) -> Response:
    return PlainTextResponse("ready\n") if state.ready else PlainTextResponse("not ready\n", status_code=503)


async def _index(state: State, _request: Request) -> Response:
    executions = await run_in_threadpool(state.store.executions, limit=50)
    findings = await run_in_threadpool(state.store.findings, limit=50)
    now_ns = time.time_ns()
    live = [live_document(each, now_unix_ns=now_ns) for each in await state.live(_MAX_LIVE)]
    return HTMLResponse(pages.index(executions, findings, live=live, running=state.live_counts.running))


async def _execution_page(state: State, request: Request) -> Response:
    trace_id = request.path_params["trace_id"].lower()
    recent = await state.find(trace_id)
    if recent is not None:
        execution, found = recent
        return HTMLResponse(await run_in_threadpool(html.render, [execution], found, home="/"))
    document = await run_in_threadpool(state.store.execution, trace_id)
    if document is None:
        return HTMLResponse(pages.running(await _running(state, trace_id)))
    findings = await run_in_threadpool(state.store.findings, trace_id=document["trace_id"])
    return HTMLResponse(pages.execution(document, findings))


async def _running(state: State, trace_id: str) -> dict[str, Any]:
    """Describe an execution that runs: alerts lead to it while it does."""
    found = next((each for each in await state.live(MAX_LIMIT) if each.trace_id == trace_id), None)
    if found is None:
        raise _unknown_execution(trace_id)
    return live_document(found, now_unix_ns=time.time_ns())


async def _openapi(_state: State, _request: Request) -> Response:
    return JSONResponse(openapi())


_WORKFLOW: Final = Parameter(name="workflow", description="Name of the workflow.")
_SINCE: Final = Parameter(
    name="since", description="Earliest start: a duration back from now (24h), Unix seconds, or an RFC 3339 moment."
)
_LIMIT: Final = Parameter(name="limit", description=f"Most results, 1 to {MAX_LIMIT}.")

ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint(
        path="/api/v1/executions",
        summary="List executions, newest first.",
        answer=_executions,
        parameters=(
            _WORKFLOW,
            Parameter(name="status", description="How it ended.", values=tuple(ExecutionStatus)),
            _SINCE,
            _LIMIT,
        ),
    ),
    Endpoint(
        path="/api/v1/executions/{trace_id}",
        summary="Show the execution of a trace and its findings.",
        answer=_execution,
    ),
    Endpoint(
        path="/api/v1/findings",
        summary="List findings, worst first; each cause once.",
        answer=_findings,
        parameters=(
            Parameter(name="detector", description="Name of the rule."),
            _WORKFLOW,
            Parameter(name="severity", description="How much is at stake.", values=tuple(Severity)),
            _SINCE,
            _LIMIT,
        ),
    ),
    Endpoint(
        path="/api/v1/live",
        summary="List running executions and their open spans, those heard of last first.",
        answer=_live,
        parameters=(_LIMIT,),
    ),
    Endpoint(path="/api/v1/agents", summary="Sum up each agent.", answer=_agents, parameters=(_WORKFLOW, _SINCE)),
    Endpoint(path="/metrics", summary="Metrics for Prometheus.", answer=_metrics, media_type="text/plain"),
    Endpoint(path="/healthz", summary="Whether the process lives.", answer=_healthz, media_type="text/plain"),
    Endpoint(path="/readyz", summary="Whether it takes requests.", answer=_readyz, media_type="text/plain"),
    Endpoint(path="/api/openapi.json", summary="This description.", answer=_openapi),
    Endpoint(path="/", summary="Recent executions, as a page.", answer=_index, media_type="text/html"),
    Endpoint(
        path="/executions/{trace_id}",
        summary="The execution of a trace, as a page.",
        answer=_execution_page,
        media_type="text/html",
    ),
)


def application(state: State, guard: Guard | None = None) -> ASGIApp:
    """Build the ASGI application of the page port; without a guard, everybody may ask for everything."""
    routes = [Route(endpoint.path, _handler(state, endpoint), methods=["GET"]) for endpoint in ENDPOINTS]
    routes += alerts_api.routes(state)
    app = Starlette(routes=routes, exception_handlers={HTTPException: _problem})
    return _with_security_headers(guard.around(app) if guard is not None else app)


def openapi() -> dict[str, Any]:
    """Describe the routes. Source: OpenAPI Specification 3.1."""
    paths = {endpoint.path: {"get": _operation(endpoint)} for endpoint in ENDPOINTS} | alerts_api.described()
    return {"openapi": "3.1.0", "info": {"title": "otel-wfperf", "version": API_VERSION}, "paths": paths}


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    in_path = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in ("trace_id",)
        if f"{{{name}}}" in endpoint.path
    ]
    in_query = [
        {
            "name": parameter.name,
            "in": "query",
            "description": parameter.description,
            "schema": {"type": "string", **({"enum": list(parameter.values)} if parameter.values else {})},
        }
        for parameter in endpoint.parameters
    ]
    return {
        "summary": endpoint.summary,
        "parameters": in_path + in_query,
        "responses": {"200": {"description": "The answer.", "content": {endpoint.media_type: {}}}},
    }


def _handler(state: State, endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
    async def handle(request: Request) -> Response:
        known = {parameter.name for parameter in endpoint.parameters}
        if unknown := sorted(set(request.query_params) - known):
            raise HTTPException(
                400, f"{unknown[0]}: unknown parameter; known here: {', '.join(sorted(known)) or 'none'}"
            )
        return await endpoint.answer(state, request)

    return handle


async def _problem(_request: Request, error: Exception) -> Response:
    status, text = (error.status_code, error.detail) if isinstance(error, HTTPException) else (500, "internal error")
    return JSONResponse({"errors": [text]}, status_code=status)


def _unknown_execution(trace_id: str) -> HTTPException:
    return HTTPException(
        404, f"trace_id: {trace_id}: is not an analysed execution; see /api/v1/executions and /api/v1/live"
    )


def _choice(request: Request, name: str, values: Sequence[str]) -> str | None:
    value = request.query_params.get(name)
    if value is not None and value not in values:
        raise HTTPException(400, f"{name}: {value!r}: is not one of {', '.join(values)}")
    return value


def _limit(request: Request, *, default: int) -> int:
    text = request.query_params.get("limit", str(default))
    # Python refuses to read a number of thousands of digits.
    digits = text.lstrip("0") if text.isascii() and text.isdigit() else ""
    if not 1 <= len(digits) <= len(str(MAX_LIMIT)) or int(digits) > MAX_LIMIT:
        raise HTTPException(400, f"limit: {_shortened(text)}: is not a number from 1 to {MAX_LIMIT}")
    return int(digits)


def _since_unix_ns(request: Request) -> int | None:
    text = request.query_params.get("since")
    if text is None:
        return None
    try:
        # Before the epoch nothing began, and past the year 2262 no column holds a nanosecond.
        return min(max(0, _moment_unix_ns(text)), _MAX_UNIX_NS)
    except (ValueError, OverflowError) as error:
        shown = _shortened(text)
        message = f"since: {shown}: is neither a duration (24h), Unix seconds nor a moment (2026-01-31T12:00:00Z)"
        raise HTTPException(400, message) from error


def _moment_unix_ns(text: str) -> int:
    if text.isascii() and text.isdigit():
        return int(text) * 1_000_000_000
    if text[:1].isdigit() and text[-1:] in {"s", "m", "h", "d"}:
        return int((datetime.now(UTC).timestamp() - parse_duration(text)) * 1e9)
    return int(datetime.fromisoformat(text).timestamp() * 1e9)


def _shortened(text: str) -> str:
    return repr(text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…")


def _with_security_headers(app: ASGIApp) -> ASGIApp:
    async def secured(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_SECURITY_HEADERS]
            await send(message)

        await app(scope, receive, send_secured)

    return secured
