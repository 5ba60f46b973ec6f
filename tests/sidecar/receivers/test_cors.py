from __future__ import annotations

import httpx

from tests.sidecar import requests
from tests.sidecar.receivers.test_http import PROTOBUF, post
from tests.sidecar.receiving import Receivers, Start

ORIGIN = "https://app.example.com"
LISTED = {"cors": {"allowed_origins": [ORIGIN], "allowed_headers": ["x-team"], "max_age": "5m"}}


async def preflight(receivers: Receivers, origin: str, headers: str = "content-type") -> httpx.Response:
    asked = {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": headers,
    }
    async with httpx.AsyncClient(base_url=receivers.http, trust_env=False) as client:
        return await client.options("/v1/traces", headers=asked)


def allowed(response: httpx.Response) -> str | None:
    origin: str | None = response.headers.get("access-control-allow-origin")
    return origin


async def test_a_listed_origin_may_send(start_receivers: Start) -> None:
    receivers = await start_receivers(security=LISTED)

    answer = await preflight(receivers, ORIGIN, "content-type,authorization,x-team")
    sent = await post(receivers.http, requests.traces(), PROTOBUF | {"origin": ORIGIN})

    assert (answer.status_code, answer.content, allowed(answer)) == (204, b"", ORIGIN)
    assert answer.headers["access-control-allow-methods"] == "POST"
    assert answer.headers["access-control-max-age"] == "300"
    assert (sent.status_code, allowed(sent)) == (200, ORIGIN)


async def test_another_origin_and_other_headers_may_not(start_receivers: Start) -> None:
    receivers = await start_receivers(security=LISTED)

    for answer in (
        await preflight(receivers, "https://evil.example"),
        await preflight(receivers, f"{ORIGIN}.evil.example"),
        await preflight(receivers, "http://app.example.com"),
    ):
        assert (answer.status_code, allowed(answer)) == (400, None)
    assert (await preflight(receivers, ORIGIN, "x-other")).status_code == 400
    assert allowed(await post(receivers.http, requests.traces(), PROTOBUF | {"origin": "https://evil.example"})) is None


async def test_by_default_no_origin_may(receivers: Receivers) -> None:
    answer = await preflight(receivers, ORIGIN)

    assert (answer.status_code, allowed(answer)) == (405, None)


async def test_a_preflight_needs_no_token_and_the_request_does(start_receivers: Start) -> None:
    token = "0123456789abcdef"
    receivers = await start_receivers(security={**LISTED, "tokens": [token]})

    assert (await preflight(receivers, ORIGIN)).status_code == 204
    refused = await post(receivers.http, requests.traces(), PROTOBUF | {"origin": ORIGIN})
    assert (refused.status_code, allowed(refused)) == (401, ORIGIN)
    headers = PROTOBUF | {"origin": ORIGIN, "authorization": f"Bearer {token}"}
    assert (await post(receivers.http, requests.traces(), headers)).status_code == 200
