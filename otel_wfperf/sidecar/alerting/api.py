"""Routes for alerts and silences, in the manner of :mod:`otel_wfperf.sidecar.api`."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Final, Protocol
from uuid import uuid4

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from otel_wfperf.alerts import AlertState, Matcher, Silence
from otel_wfperf.alerts.documents import alert_document, silence_document
from otel_wfperf.config import parse_duration
from otel_wfperf.errors import InputError
from otel_wfperf.sidecar.alerting.alerting import Alerting

# Chosen: a silence with a long comment has a hundredth of that.
_MAX_BODY_BYTES: Final = 64 * 1024
_MAX_TEXT: Final = 1_000
_SILENCE_KEYS: Final = ("matchers", "starts_at", "ends_at", "duration", "comment", "created_by")
_MATCHER_KEYS: Final = ("label", "operator", "value")


class State(Protocol):
    """What these routes need of a running sidecar."""

    @property
    def alerting(self) -> Alerting:
        """Alerts and silences."""


def routes(state: State) -> list[Route]:
    """Return the routes."""
    return [
        Route("/api/v1/alerts", _bound(_alerts, state), methods=["GET"]),
        Route("/api/v1/silences", _bound(_silences, state), methods=["GET"]),
        Route("/api/v1/silences", _bound(_add_silence, state), methods=["POST"]),
        Route("/api/v1/silences/{silence_id}", _bound(_end_silence, state), methods=["DELETE"]),
    ]


def described() -> dict[str, Any]:
    """Describe the routes. Source: OpenAPI Specification 3.1, Paths Object."""
    state = {
        "name": "state",
        "in": "query",
        "description": "Only alerts in this state.",
        "schema": {"type": "string", "enum": [each.value for each in AlertState]},
    }
    silence_id = {"name": "silence_id", "in": "path", "required": True, "schema": {"type": "string"}}
    body = {"required": True, "content": {"application/json": {"schema": _silence_schema()}}}
    return {
        "/api/v1/alerts": {"get": _operation("List alerts: firing, pending, resolved lately.", [state])},
        "/api/v1/silences": {
            "get": _operation("List silences.", []),
            "post": {**_operation("Tell nobody of some alerts for a while.", []), "requestBody": body},
        },
        "/api/v1/silences/{silence_id}": {"delete": _operation("End a silence now.", [silence_id])},
    }


async def _alerts(state: State, request: Request) -> Response:
    wanted = _known_parameters(request, "state").get("state")
    if wanted is not None and wanted not in tuple(AlertState):
        raise HTTPException(400, f"state: {_shown(wanted)}: is not one of {', '.join(AlertState)}")
    alerting = state.alerting
    found = [
        alert_document(alert, link=alerting.link(alert), silenced_by=silences)
        for alert, silences in alerting.alerts()
        if wanted in {None, alert.state.value}
    ]
    return JSONResponse({"alerts": found, "errors": []})


async def _silences(state: State, request: Request) -> Response:
    _known_parameters(request)
    now_ns = state.alerting.now_ns
    return JSONResponse(
        {"silences": [silence_document(each, now_ns=now_ns) for each in state.alerting.silences], "errors": []}
    )


async def _add_silence(state: State, request: Request) -> Response:
    _known_parameters(request)
    now_ns = state.alerting.now_ns
    try:
        silence = _silence(await _json_body(request), now_ns)
        state.alerting.silence(silence)
    except (InputError, ValueError) as error:
        raise HTTPException(400, str(error)) from error
    return JSONResponse({"silences": [silence_document(silence, now_ns=now_ns)], "errors": []}, status_code=201)


async def _end_silence(state: State, request: Request) -> Response:
    silence_id = request.path_params["silence_id"]
    if not state.alerting.end_silence(silence_id):
        raise HTTPException(404, f"silence_id: {_shown(silence_id)}: is not known; see /api/v1/silences")
    return Response(status_code=204)


async def _json_body(request: Request) -> dict[str, Any]:
    """Read an object; raise ValueError when it is none.

    A form of a web page cannot send this content type without being asked first.
    """
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, "content-type: send application/json")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_BODY_BYTES:
            raise HTTPException(413, f"body: is longer than {_MAX_BODY_BYTES} bytes; send one silence")
    try:
        document = json.loads(bytes(body))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"body: is not JSON ({error}); send an object with {', '.join(_SILENCE_KEYS)}") from error
    return _object(document, "body", _SILENCE_KEYS)


def _silence(document: dict[str, Any], now_ns: int) -> Silence:
    matchers = document.get("matchers")
    if not isinstance(matchers, list):
        raise InputError("matchers: is not a list; write objects with label, operator and value")
    starts_ns = _moment_ns(document, "starts_at") if "starts_at" in document else now_ns
    if ("ends_at" in document) == ("duration" in document):
        raise ValueError("ends_at: give either ends_at (2026-01-31T12:00:00Z) or duration (2h)")
    ends_ns = _moment_ns(document, "ends_at") if "ends_at" in document else starts_ns + _duration_ns(document)
    return Silence(
        silence_id=uuid4().hex,
        matchers=tuple(_matcher(each) for each in matchers),
        starts_ns=starts_ns,
        ends_ns=ends_ns,
        comment=_text(document, "comment"),
        created_by=_text(document, "created_by"),
    )


def _matcher(document: Any) -> Matcher:
    given = _object(document, "matchers", _MATCHER_KEYS)
    return Matcher(label=_text(given, "label"), operator=_text(given, "operator", "="), value=_text(given, "value"))


def _object(document: Any, name: str, known: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise InputError(f"{name}: is not an object; write one with {', '.join(known)}")
    if unknown := [key for key in document if key not in known]:
        raise ValueError(f"{_shown(unknown[0])}: unknown key; known here: {', '.join(known)}")
    return document


def _text(document: dict[str, Any], key: str, default: str = "") -> str:
    value = document.get(key, default)
    if not isinstance(value, str) or len(value) > _MAX_TEXT:
        raise ValueError(f"{key}: is not a text of at most {_MAX_TEXT} characters")
    return value


def _moment_ns(document: dict[str, Any], key: str) -> int:
    text = _text(document, key)
    try:
        return int(datetime.fromisoformat(text).timestamp() * 1e9)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{key}: {_shown(text)}: is not a moment such as 2026-01-31T12:00:00Z") from error


def _duration_ns(document: dict[str, Any]) -> int:
    given = document["duration"]
    try:
        return int(parse_duration(given) * 1e9)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"duration: {_shown(str(given))}: {error}") from error


def _known_parameters(request: Request, *known: str) -> dict[str, str]:
    if unknown := sorted(set(request.query_params) - set(known)):
        raise HTTPException(400, f"{_shown(unknown[0])}: unknown parameter; known here: {', '.join(known) or 'none'}")
    return dict(request.query_params)


def _shown(text: str) -> str:
    limit = 100
    return repr(text if len(text) <= limit else f"{text[:limit]}…")


def _bound(
    answer: Callable[[State, Request], Awaitable[Response]], state: State
) -> Callable[[Request], Awaitable[Response]]:
    async def handle(request: Request) -> Response:
        return await answer(state, request)

    return handle


def _operation(summary: str, parameters: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "summary": summary,
        "parameters": parameters,
        "responses": {"default": {"description": "The answer.", "content": {"application/json": {}}}},
    }


def _silence_schema() -> dict[str, Any]:
    matcher = {
        "type": "object",
        "properties": {key: {"type": "string"} for key in _MATCHER_KEYS},
        "required": ["label", "value"],
        "additionalProperties": False,
    }
    texts = {key: {"type": "string"} for key in _SILENCE_KEYS if key != "matchers"}
    return {
        "type": "object",
        "properties": {"matchers": {"type": "array", "items": matcher}, **texts},
        "required": ["matchers", "comment"],
        "additionalProperties": False,
    }
