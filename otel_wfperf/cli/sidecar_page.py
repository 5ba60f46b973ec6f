"""Ask the page port of a sidecar that runs."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from typing import Any, Final

from otel_wfperf.cli.command import UsageError
from otel_wfperf.config import SidecarConfig, is_loopback, split_address

_TIMEOUT_S: Final = 10.0
_WILDCARDS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared with, not bound
_MAX_ANSWER_BYTES: Final = 16 * 1024**2


def page_url(config: SidecarConfig) -> str:
    """Return where the page of a configuration can be reached from this machine."""
    host, port = split_address(config.listen.page)
    host = _WILDCARDS.get(host, host)
    scheme = "http" if config.security.page.tls is None else "https"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def ask(config: SidecarConfig, url: str, path: str) -> Any:
    """Return the JSON of an answer; raise UsageError, which says what to do, when there is none.

    Args:
        config: Has the token and the certificate, if there are any.
        url: Where the page is.
        path: What to ask for.
    """
    page = config.security.page
    headers = {"authorization": f"Bearer {page.tokens[0].get()}"} if page.tokens else {}
    handlers: list[urllib.request.BaseHandler] = []
    if url == page_url(config) and is_loopback(config.listen.page):
        # A proxy is for the world outside, not for this machine.
        handlers.append(urllib.request.ProxyHandler({}))
    if page.tls is not None:
        context = ssl.create_default_context(cafile=str(page.tls.certificate))
        handlers.append(urllib.request.HTTPSHandler(context=context))
    try:
        request = urllib.request.Request(f"{url}{path}", headers=headers)  # noqa: S310 - the user's own URL
        with urllib.request.build_opener(*handlers).open(request, timeout=_TIMEOUT_S) as answer:
            return json.loads(answer.read(_MAX_ANSWER_BYTES))
    except urllib.error.HTTPError as error:
        raise UsageError(f"{url}: answers {error.code} to {path}", hint=_hint(error.code)) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise UsageError(f"{url}: no sidecar answers ({reason})", hint=_hint(None)) from error


def _hint(status: int | None) -> str:
    if status in {401, 403}:
        return "give the configuration that the sidecar runs with, which has its token: --config FILE"
    return "start one with wfperf sidecar, or say where it is with --url or --config FILE"
