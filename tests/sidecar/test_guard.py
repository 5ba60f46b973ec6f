from __future__ import annotations

import base64
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.responses import PlainTextResponse

from otel_wfperf.sidecar.embedded import embedded
from otel_wfperf.sidecar.guard import Guard
from tests.sidecar.running import configured

PAGE, METRICS = "page-0123456789abcdef", "metrics-0123456789abcdef"
PATHS = ("/", "/api/v1/executions", "/metrics", "/healthz", "/readyz")


class Guarded:
    """An application behind a guard, and what the guard counted."""

    def __init__(self, folder: Path, *, address: str = "127.0.0.1:0", **security: Any) -> None:
        self.refused: Counter[str] = Counter()
        listen = {"grpc": "127.0.0.1:0", "http": "127.0.0.1:0", "page": address}
        config = configured(folder, listen=listen, security={"allow_unauthenticated": True, **security})
        guard = Guard(config, refused=lambda reason: self.refused.update([reason]))
        self._transport = httpx.ASGITransport(app=guard.around(PlainTextResponse("shown")))

    async def ask(
        self, path: str, *, host: str = "localhost:4319", method: str = "GET", **headers: str
    ) -> httpx.Response:
        async with httpx.AsyncClient(transport=self._transport, base_url="http://localhost:4319") as client:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return await client.request(method, path, headers={"host": host, **named})

    async def open_paths(self, token: str | None) -> set[str]:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        return {path for path in PATHS if (await self.ask(path, **headers)).status_code == 200}


ALL, HEALTH = set(PATHS), {"/healthz", "/readyz"}


@pytest.mark.parametrize(
    ("page", "metrics", "opened"),
    [
        ([], None, (ALL, ALL, ALL)),
        ([PAGE], None, (HEALTH, ALL, HEALTH)),
        ([PAGE], [METRICS], (HEALTH, ALL - {"/metrics"}, HEALTH | {"/metrics"})),
        ([PAGE], [], (HEALTH | {"/metrics"}, ALL, HEALTH | {"/metrics"})),
        ([], [METRICS], (ALL - {"/metrics"}, ALL - {"/metrics"}, ALL)),
    ],
)
async def test_page_and_metrics_are_protected_apart_and_health_is_open(
    tmp_path: Path, page: list[str], metrics: list[str] | None, opened: tuple[set[str], set[str], set[str]]
) -> None:
    guarded = Guarded(tmp_path, page={"tokens": page}, metrics={"tokens": metrics})

    assert tuple([await guarded.open_paths(token) for token in (None, PAGE, METRICS)]) == opened


async def test_a_browser_is_asked_for_the_token_and_may_send_it_as_a_password(tmp_path: Path) -> None:
    guarded = Guarded(tmp_path, page={"tokens": [PAGE]})

    refused = await guarded.ask("/")
    password = base64.b64encode(f"me:{PAGE}".encode()).decode()
    shown = await guarded.ask("/", authorization=f"Basic {password}")

    assert refused.status_code == 401
    assert refused.headers["www-authenticate"].startswith('Bearer realm="otel-wfperf", Basic realm=')
    assert refused.json() == {
        "errors": [
            "authorization: no good token; send one that is in sidecar.security: authorization: Bearer TOKEN",
        ]
    }
    assert shown.text == "shown"
    assert guarded.refused == {"unauthenticated": 1}


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:4319", 200),
        ("LOCALHOST", 200),
        ("wfperf.localhost:4319", 200),
        ("127.0.0.1:4319", 200),
        ("[::1]:4319", 200),
        ("10.1.2.3", 200),
        ("evil.example", 403),
        ("localhost.evil.example", 403),
        ("127.0.0.1.evil.example:4319", 403),
        ("", 403),
        ("[", 403),
    ],
)
async def test_on_loopback_a_name_of_a_web_site_leads_nowhere(tmp_path: Path, host: str, status: int) -> None:
    guarded = Guarded(tmp_path)

    assert (await guarded.ask("/api/v1/executions", host=host)).status_code == status
    assert (await guarded.ask("/healthz", host=host)).status_code == 200
    assert guarded.refused == ({"host": 1} if status == 403 else {})


async def test_further_names_may_be_allowed(tmp_path: Path) -> None:
    guarded = Guarded(tmp_path, page={"allowed_hosts": ["wfperf.example.com"]})

    assert (await guarded.ask("/", host="WFPERF.example.com:443")).status_code == 200
    refused = await guarded.ask("/", host="other.example.com")
    advice = "add it to sidecar.security.page.allowed_hosts, or ask for localhost"
    assert refused.json() == {"errors": [f"host: 'other.example.com': is not a name of this sidecar; {advice}"]}


@pytest.mark.parametrize(("hosts", "status"), [([], 200), (["wfperf.example.com"], 403)])
async def test_in_a_network_names_are_checked_when_some_are_given(
    tmp_path: Path, hosts: list[str], status: int
) -> None:
    guarded = Guarded(tmp_path, address="0.0.0.0:0", page={"allowed_hosts": hosts})

    assert (await guarded.ask("/", host="sidecar.monitoring.svc")).status_code == status


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("POST", {}, 200),
        ("POST", {"origin": "http://localhost:4319", "sec_fetch_site": "same-origin"}, 200),
        ("POST", {"origin": "http://localhost:8000"}, 403),
        ("DELETE", {"origin": "https://evil.example"}, 403),
        ("POST", {"origin": "null"}, 403),
        ("POST", {"sec_fetch_site": "cross-site"}, 403),
        ("POST", {"sec_fetch_site": "same-site"}, 403),
        ("GET", {"sec_fetch_site": "cross-site"}, 200),
    ],
)
async def test_other_web_sites_give_no_orders(
    tmp_path: Path, method: str, headers: dict[str, str], status: int
) -> None:
    guarded = Guarded(tmp_path)

    assert (await guarded.ask("/api/v1/silences", method=method, **headers)).status_code == status
    assert guarded.refused == ({"cross_site": 1} if status == 403 else {})


def test_a_sidecar_guards_its_port_and_counts_what_it_refuses(tmp_path: Path) -> None:
    security = {"page": {"tokens": [PAGE]}, "metrics": {"tokens": [METRICS]}}
    with (
        embedded(configured(tmp_path, security=security)) as sidecar,
        httpx.Client(base_url=sidecar.endpoints.page, trust_env=False) as client,
    ):
        page, metrics = ({"authorization": f"Bearer {token}"} for token in (PAGE, METRICS))

        refused = client.get("/")
        assert (refused.status_code, refused.headers["x-content-type-options"]) == (401, "nosniff")
        assert client.get("/", headers=page | {"host": "evil.example"}).status_code == 403
        assert client.get("/metrics", headers=page).status_code == 401
        assert [client.get(path, headers=page).status_code for path in ("/", "/api/v1/live")] == [200, 200]
        assert [client.get(path).status_code for path in ("/healthz", "/readyz")] == [200, 200]
        counted = client.get("/metrics", headers=metrics).text
        assert 'wfperf_page_refused_requests_total{reason="unauthenticated"} 2.0' in counted
        assert 'wfperf_page_refused_requests_total{reason="host"} 1.0' in counted
