from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from otel_wfperf.config import AlertsConfig
from otel_wfperf.model import Execution, Finding, OperationKind, Severity
from otel_wfperf.report.document import execution_document, finding_document
from otel_wfperf.sidecar.alerting import api as alerts_api
from otel_wfperf.sidecar.alerting.alerting import Alerting
from otel_wfperf.sidecar.api import ENDPOINTS, application
from otel_wfperf.sidecar.live import LiveCounts, LiveExecution, LiveSpan
from otel_wfperf.sidecar.metrics import Metrics
from otel_wfperf.store import AgentRow, Analysed, Position, Store
from tests.sidecar.executions import execution, finding

HOSTILE = "<script>alert(1)</script>\"'&"


@dataclass(slots=True)
class Shown:
    """What a sidecar would show."""

    store: Store
    metrics: Metrics = field(default_factory=Metrics)
    ready: bool = True
    running: tuple[LiveExecution, ...] = ()
    recent: dict[str, tuple[Execution, tuple[Finding, ...]]] = field(default_factory=dict)
    alerting: Alerting = field(default_factory=lambda: Alerting(AlertsConfig(), Path("alerts.json"), counts=Metrics()))

    @property
    def live_counts(self) -> LiveCounts:
        return LiveCounts(running=len(self.running), stalled=sum(each.stalled is not None for each in self.running))

    async def live(self, limit: int) -> tuple[LiveExecution, ...]:
        return self.running[:limit]

    async def find(self, trace_id: str) -> tuple[Execution, tuple[Finding, ...]] | None:
        return self.recent.get(trace_id)

    def save(self, one: Execution, *findings: Finding) -> None:
        agent = AgentRow(name="writer", calls=1, busy_s=2.0, wait_s=0, input_tokens=3, output_tokens=4, errors=0)
        analysed = Analysed(
            execution=one,
            last_offset=1,
            document=execution_document(one),
            findings=tuple((each, finding_document(each)) for each in findings),
            agents=(agent,),
        )
        self.store.save(
            [analysed], consumer="analyzer", position=Position(log_id="log", offset=1), now_unix_ns=one.start_ns
        )


@pytest.fixture
async def shown(tmp_path: Path) -> AsyncIterator[Shown]:
    store = Store.open(f"sqlite:///{tmp_path / 'store.sqlite'}")
    yield Shown(store)
    store.close()


@pytest.fixture
async def client(shown: Shown) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=application(shown))
    async with httpx.AsyncClient(transport=transport, base_url="http://page") as connected:
        yield connected


async def asked(client: httpx.AsyncClient, path: str) -> Any:
    response = await client.get(path)
    assert response.status_code == 200, response.text
    return response.json()


async def test_lists_and_filters_executions(shown: Shown, client: httpx.AsyncClient) -> None:
    shown.save(execution(1, start_ns=10**18))
    shown.save(execution(2, workflow="other", start_ns=2 * 10**18))

    everything = await asked(client, "/api/v1/executions")
    assert set(everything) == {"executions", "findings", "errors"}
    assert [one["workflow"] for one in everything["executions"]] == ["other", "research"]
    for query, count in (
        ("workflow=other", 1),
        ("status=ok", 2),
        ("status=error", 0),
        ("limit=1", 1),
        ("since=1500000000", 1),
        ("since=2033-05-18T03:33:20Z", 1),
        ("since=24h", 1),
    ):
        assert len((await asked(client, f"/api/v1/executions?{query}"))["executions"]) == count, query


async def test_shows_one_execution_with_its_findings(shown: Shown, client: httpx.AsyncClient) -> None:
    shown.save(execution(1), finding(1))
    shown.save(execution(2), finding(2, detector="other"))

    found = await asked(client, f"/api/v1/executions/{1:032X}")

    assert [one["trace_id"] for one in found["executions"]] == [f"{1:032x}"]
    assert [one["detector"] for one in found["findings"]] == ["n_plus_one"]
    missing = await client.get("/api/v1/executions/unknown")
    assert (missing.status_code, missing.json()["errors"][0][:30]) == (404, "trace_id: unknown: is not an a")


async def test_lists_and_filters_findings(shown: Shown, client: httpx.AsyncClient) -> None:
    shown.save(execution(1), finding(1), finding(1, detector="other", severity=Severity.LOW))

    assert [one["detector"] for one in (await asked(client, "/api/v1/findings"))["findings"]] == ["n_plus_one", "other"]
    for query in ("detector=other", "severity=low", "detector=other&workflow=research"):
        assert [one["detector"] for one in (await asked(client, f"/api/v1/findings?{query}"))["findings"]] == ["other"]


async def test_sums_up_agents(shown: Shown, client: httpx.AsyncClient) -> None:
    shown.save(execution(1))
    shown.save(execution(2))

    [agent] = (await asked(client, "/api/v1/agents"))["agents"]

    assert (agent["name"], agent["calls"], agent["busy_s"], agent["executions"]) == ("writer", 2, 4.0, 2)


def running(trace_id: str, *, stalled: str | None = None, name: str = "research") -> LiveExecution:
    """Build an execution that runs: its root, a phase that has stalled perhaps, and a span known from its children."""
    [root] = execution(1, workflow=name).operations
    phase = replace(root, span_id="0c", parent_id=root.span_id, kind=OperationKind.PHASE, name="draft")
    return LiveExecution(
        trace_id=trace_id,
        workflow=name,
        start_ns=root.start_ns,
        first_seen_ns=1,
        last_seen_ns=2,
        spans=3,
        root_ended=False,
        running=(
            LiveSpan(span_id=root.span_id, operation=root, start_ns=root.start_ns),
            LiveSpan(span_id="0c", parent_id=root.span_id, operation=phase, start_ns=root.start_ns, stalled=stalled),
            LiveSpan(span_id="0b", start_ns=2**62),
        ),
        stalled=stalled and f"phase draft: {stalled}",
    )


async def test_lists_what_is_running(shown: Shown, client: httpx.AsyncClient) -> None:
    shown.running = (running("0b", stalled="it is stuck"), running("0a"))

    found = await asked(client, "/api/v1/live?limit=1")

    [listed] = found["executions"]
    [first, second, third] = listed.pop("open_spans")
    assert listed.pop("age_s") > 10**8
    assert listed == {
        "trace_id": "0b",
        "workflow": "research",
        "start_unix_ns": 10**18,
        "first_seen_unix_ns": 1,
        "last_seen_unix_ns": 2,
        "span_count": 3,
        "root_ended": False,
        "stalled": True,
        "stalled_reason": "phase draft: it is stuck",
    }
    assert (found["running"], found["stalled"]) == (2, 1)
    assert (first["name"], first["kind"], first["start_unix_ns"]) == ("research", "workflow", 10**18)
    assert (first["age_s"] > 10**8, first["stalled"]) == (True, False)
    assert (second["kind"], second["parent_span_id"], second["stalled_reason"]) == (
        "phase",
        first["span_id"],
        "it is stuck",
    )
    assert third == {
        "span_id": "0b",
        "parent_span_id": None,
        "name": None,
        "kind": None,
        "agent": None,
        "phase": None,
        "start_unix_ns": 2**62,
        "age_s": 0,
        "stalled": False,
        "stalled_reason": None,
    }


async def test_the_page_shows_what_runs_first_and_what_has_stalled_before_that(
    shown: Shown, client: httpx.AsyncClient
) -> None:
    shown.save(execution(1))
    shown.running = (running("0a"), running("0b", stalled="it is stuck", name=HOSTILE))

    page = (await client.get("/")).text

    assert "2 running, 1 execution shown." in page
    assert "stalled: phase draft: it is stuck" in page
    assert page.index("<td>0b</td>") < page.index("<td>0a</td>") < page.index("<h2>Finished</h2>")
    assert "<td>phase draft</td><td>stalled: it is stuck</td>" in page
    assert HOSTILE not in page


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("limit=0", "limit: '0': is not a number from 1 to 1000"),
        ("limit=many", "limit: 'many': is not a number from 1 to 1000"),
        ("status=fine", "status: 'fine': is not one of ok, error, incomplete"),
        ("workflw=a", "workflw: unknown parameter; known here: limit, since, status, workflow"),
        ("since=soon", "since: 'soon': is neither a duration (24h), Unix seconds nor a moment (2026-01-31T12:00:00Z)"),
        ("limit=-1", "limit: '-1': is not a number from 1 to 1000"),
        ("limit=" + "9" * 5000, f"limit: '{'9' * 100}…': is not a number from 1 to 1000"),
    ],
)
async def test_names_what_is_wrong_with_a_question(client: httpx.AsyncClient, query: str, problem: str) -> None:
    response = await client.get(f"/api/v1/executions?{query}")

    assert (response.status_code, response.json()) == (400, {"errors": [problem]})


@pytest.mark.parametrize("path", ["executions", "findings", "agents"])
@pytest.mark.parametrize(
    ("since", "count"),
    [
        ("99999999999999999999", 0),
        ("9999-12-31T23:59:59-23:59", 0),
        ("99999999999999999d", 1),
        ("1900-01-01T00:00Z", 1),
    ],
)
async def test_any_moment_may_be_asked_for(
    shown: Shown, client: httpx.AsyncClient, path: str, since: str, count: int
) -> None:
    """Moments that no column of the store can hold included."""
    shown.save(execution(1), finding(1))

    assert len((await asked(client, f"/api/v1/{path}?since={since}"))[path]) == count


async def test_the_description_covers_every_route(client: httpx.AsyncClient) -> None:
    described = await asked(client, "/api/openapi.json")

    assert set(described["paths"]) == {endpoint.path for endpoint in ENDPOINTS} | set(alerts_api.described())
    [trace_id] = described["paths"]["/api/v1/executions/{trace_id}"]["get"]["parameters"]
    assert (trace_id["name"], trace_id["in"], trace_id["required"]) == ("trace_id", "path", True)


async def test_metrics_have_exemplars_when_asked_for(shown: Shown, client: httpx.AsyncClient) -> None:
    one = execution(1)
    shown.metrics.analysed(one, [finding(1)])

    plain = await client.get("/metrics")
    assert plain.headers["content-type"].startswith("text/plain")
    assert "trace_id" not in plain.text
    response = await client.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    assert response.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    exemplars = [
        sample.exemplar.labels
        for family in text_string_to_metric_families(response.text)  # type: ignore[no-untyped-call]
        for sample in family.samples
        if sample.exemplar
    ]
    assert exemplars == [{"trace_id": one.trace_id}]


async def test_health_and_readiness(shown: Shown, client: httpx.AsyncClient) -> None:
    assert (await client.get("/readyz")).status_code == 200
    shown.ready = False
    assert (await client.get("/readyz")).status_code == 503
    assert (await client.get("/healthz")).status_code == 200


@pytest.mark.parametrize("recent", ["recent", ""])
async def test_pages_escape_everything_and_allow_no_script(
    shown: Shown, client: httpx.AsyncClient, recent: str
) -> None:
    one, cause = execution(1, workflow=HOSTILE), finding(1, name=HOSTILE, summary=HOSTILE)
    shown.save(one, cause)
    if recent:
        shown.recent[one.trace_id] = (one, (cause,))

    for path in ("/", f"/executions/{one.trace_id}"):
        page = await client.get(path)
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert page.headers["content-security-policy"].startswith("default-src 'none'; style-src 'unsafe-inline';")
        assert "<script" not in page.text
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page.text
    index, run = [(await client.get(path)).text for path in ("/", f"/executions/{one.trace_id}")]
    assert index.count(f'href="/executions/{one.trace_id}"') == 2  # from the run, and from its finding
    assert '<a href="/">All executions</a>' in run
    assert (await client.get("/executions/unknown")).status_code == 404


async def test_the_page_of_an_old_execution_shows_what_was_stored(shown: Shown, client: httpx.AsyncClient) -> None:
    """As after a restart, when its spans are no longer in memory."""
    one = execution(1, operations=3)
    operations = tuple(replace(each, kind=OperationKind.AGENT) for each in one.operations)
    shown.save(replace(one, operations=operations), finding(1))

    page = (await client.get(f"/executions/{one.trace_id}")).text

    for text in ("no waterfall", "11 calls one after another", "Critical path", "Agents", "<td>search</td><td>2</td>"):
        assert text in page, text


async def test_a_stored_path_of_any_length_gives_a_page_that_opens(shown: Shown, client: httpx.AsyncClient) -> None:
    one = execution(1)
    document = execution_document(one)
    document["critical_path"] *= 20_000
    shown.store.save(
        [Analysed(execution=one, last_offset=1, document=document)],
        consumer="analyzer",
        position=Position(log_id="log", offset=1),
        now_unix_ns=one.start_ns,
    )

    page = (await client.get(f"/executions/{one.trace_id}")).text

    assert page.count("<tr") < 600
    assert "19500 more are in /api/v1/executions." in page


async def test_an_empty_sidecar_has_pages(client: httpx.AsyncClient) -> None:
    assert "0 running, 0 executions shown." in (await client.get("/")).text
    assert (await client.get("/nowhere")).json() == {"errors": ["Not Found"]}
    assert (await client.post("/")).status_code == 405


async def test_each_trace_of_an_execution_leads_to_it(shown: Shown, client: httpx.AsyncClient) -> None:
    ids = (f"{1:032x}", f"{5:032x}")
    shown.save(replace(execution(1), trace_ids=ids), finding(1))

    first, second = [await asked(client, f"/api/v1/executions/{each}") for each in ids]
    assert first == second
    assert [one["detector"] for one in second["findings"]] == ["n_plus_one"]
    pages = [await client.get(f"/executions/{each}") for each in ids]
    assert (pages[0].status_code, pages[0].text) == (200, pages[1].text)
    assert "n_plus_one" in pages[1].text
