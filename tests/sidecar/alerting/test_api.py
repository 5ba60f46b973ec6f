from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException

from otel_wfperf.alerts import Running
from otel_wfperf.config import AlertsConfig
from otel_wfperf.sidecar.alerting import api
from otel_wfperf.sidecar.alerting.alerting import Alerting
from otel_wfperf.sidecar.api import _problem
from tests.alerts.readings import SECOND_NS, START_NS
from tests.sidecar.alerting.test_alerting import Counts

SILENCE = {
    "matchers": [{"label": "alertname", "operator": "=", "value": "execution_time"}],
    "duration": "2h",
    "comment": "deploy",
    "created_by": "ops",
}


class Shown:
    """What the routes need."""

    def __init__(self, folder: Path) -> None:
        self.alerting = Alerting(
            AlertsConfig(), folder / "alerts.json", counts=Counts(), clock_ns=lambda: START_NS + 300 * SECOND_NS
        )
        self.alerting.page_url = "http://page"


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    shown = Shown(tmp_path)
    await shown.alerting.start(lambda _: ())
    await shown.alerting.look([Running(trace_id="ab", workflow="research", start_ns=START_NS)])
    app = Starlette(routes=api.routes(shown), exception_handlers={HTTPException: _problem})
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://page") as connected:
        yield connected
    await shown.alerting.stop(1)


async def test_lists_alerts_with_their_silences(client: httpx.AsyncClient) -> None:
    added = await client.post("/api/v1/silences", json=SILENCE)
    assert added.status_code == 201
    [silence] = added.json()["silences"]
    [alert] = (await client.get("/api/v1/alerts")).json()["alerts"]

    assert (alert["labels"]["alertname"], alert["state"]) == ("execution_time", "firing")
    assert (alert["link"], alert["silenced_by"]) == ("http://page/executions/ab", [silence["id"]])
    assert (await client.get("/api/v1/alerts?state=pending")).json() == {"alerts": [], "errors": []}


async def test_a_silence_is_added_listed_and_ended(client: httpx.AsyncClient) -> None:
    [added] = (await client.post("/api/v1/silences", json=SILENCE)).json()["silences"]
    assert added == {
        "id": added["id"],
        "state": "active",
        "matchers": SILENCE["matchers"],
        "starts_at": "2027-01-15T08:05:00.000Z",
        "ends_at": "2027-01-15T10:05:00.000Z",
        "comment": "deploy",
        "created_by": "ops",
    }
    assert (await client.get("/api/v1/silences")).json()["silences"] == [added]
    assert (await client.delete(f"/api/v1/silences/{added['id']}")).status_code == 204
    assert (await client.get("/api/v1/silences")).json()["silences"] == []
    again = await client.delete(f"/api/v1/silences/{added['id']}")
    assert (again.status_code, again.json()["errors"][0].split(": ")[0]) == (404, "silence_id")


async def test_a_silence_may_be_for_later(client: httpx.AsyncClient) -> None:
    times = {"starts_at": "2027-01-16T08:00:00Z", "ends_at": "2027-01-16T09:00:00+00:00"}
    document = {key: value for key, value in SILENCE.items() if key != "duration"}
    [added] = (await client.post("/api/v1/silences", json=document | times)).json()["silences"]

    assert (added["state"], added["starts_at"]) == ("pending", "2027-01-16T08:00:00.000Z")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"matchers": []}, "matchers: is empty"),
        ({"matchers": "all"}, "matchers: is not a list"),
        ({"matchers": ["a=b"]}, "matchers: is not an object"),
        ({"matchers": [{"label": "a", "operator": "==", "value": "b"}]}, "operator: '==': is not one of"),
        ({"matchers": [{"label": "a", "operator": "=~", "value": "b"}]}, "operator: '=~': is not one of =, !="),
        ({"matchers": [{"label": "a", "valeu": "b"}]}, "'valeu': unknown key; known here: label, operator, value"),
        ({"comment": ""}, "comment: is empty"),
        ({"comment": 7}, "comment: is not a text"),
        ({"duration": "soon"}, "duration: 'soon': write a duration"),
        ({"ends_at": "2027-01-16T08:00:00Z"}, "ends_at: give either"),
        ({"starts_at": "tomorrow"}, "starts_at: 'tomorrow': is not a moment"),
        ({"until": "x"}, "'until': unknown key"),
    ],
)
async def test_what_is_wrong_with_a_silence_is_named(
    changed: dict[str, Any], message: str, client: httpx.AsyncClient
) -> None:
    answer = await client.post("/api/v1/silences", json=SILENCE | changed)

    assert (answer.status_code, answer.json()["errors"][0][: len(message)]) == (400, message)


async def test_a_body_that_is_no_silence_is_refused(client: httpx.AsyncClient) -> None:
    async def sent(content: bytes, content_type: str = "application/json") -> int:
        return (
            await client.post("/api/v1/silences", content=content, headers={"content-type": content_type})
        ).status_code

    assert await sent(b"{") == 400
    assert await sent(b"[" * 60_000) == 400
    assert await sent(b"[]") == 400
    assert await sent(b" " * 100_000) == 413
    assert await sent(b"{}", "text/plain") == 415, "what a form of another web site can send"


async def test_unknown_parameters_are_refused_by_name(client: httpx.AsyncClient) -> None:
    for path, message in (
        ("/api/v1/alerts?stat=firing", "'stat': unknown parameter; known here: state"),
        ("/api/v1/alerts?state=burning", "state: 'burning': is not one of pending, firing, resolved"),
        ("/api/v1/silences?state=x", "'state': unknown parameter; known here: none"),
    ):
        answer = await client.get(path)
        assert (answer.status_code, answer.json()["errors"]) == (400, [message])


def test_every_route_is_described() -> None:
    described = {(path, method.upper()) for path, methods in api.described().items() for method in methods}
    served = {
        (route.path, method)
        for route in api.routes(Shown(Path()))
        for method in (route.methods or ())
        if method != "HEAD"
    }

    assert described == served
