"""Which web pages may send telemetry from a browser. Source: Fetch standard, "CORS protocol"."""

from __future__ import annotations

from typing import Final

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

from otel_wfperf.config import CorsConfig

_HEADERS: Final = ("authorization", "content-type", "content-encoding")


class Cors(CORSMiddleware):
    """Answers preflight requests, and lets listed origins read the answers."""

    def __init__(self, app: ASGIApp, config: CorsConfig) -> None:
        """Allow what is configured around an application."""
        super().__init__(
            app,
            allow_origins=config.allowed_origins,
            allow_methods=("POST",),
            allow_headers=(*_HEADERS, *config.allowed_headers),
            expose_headers=("retry-after",),
            max_age=int(config.max_age_s),
        )

    def preflight_response(self, request_headers: Headers) -> Response:
        """Answer 204, as there is nothing to say beyond the headers."""
        response = super().preflight_response(request_headers)
        if response.status_code != 200:
            return response
        headers = {name: value for name, value in response.headers.items() if not name.startswith("content-")}
        return Response(status_code=204, headers=headers)
