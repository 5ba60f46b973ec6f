"""The whole sidecar in this process, with the real SDK in front of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from opentelemetry.sdk.trace.export import SpanExporter

from otel_wfperf import semconv
from otel_wfperf.config import ListenConfig
from otel_wfperf.errors import ConfigError
from otel_wfperf.model import Span
from otel_wfperf.otlp import protobuf
from otel_wfperf.sidecar.annotation import annotation_id
from otel_wfperf.sidecar.embedded import embedded
from otel_wfperf.sidecar.service import Endpoints, Sidecar
from tests.processes import eventually, free_ports
from tests.sidecar import requests
from tests.sidecar.exporters.backend import Backend, grpc_backend, hang
from tests.sidecar.running import (
    configured,
    exporter,
    fetch_json,
    grpc_exporter,
    http_exporter,
    run_workflow,
    sdk,
)
from tests.waiting import eventually_async

PROTOBUF = {"content-type": "application/x-protobuf"}


@pytest.mark.parametrize("connect", [grpc_exporter, http_exporter])
def test_the_sdk_sends_and_finish_gives_its_executions(
    tmp_path: Path, connect: Callable[[Endpoints], SpanExporter]
) -> None:
    with embedded(configured(tmp_path)) as sidecar:
        with sdk(connect(sidecar.endpoints)) as provider:
            sent = [run_workflow(provider) for _ in range(3)]
        analysis = sidecar.finish()

    assert [execution.trace_id for execution in analysis.executions] == sent
    assert {execution.workflow for execution in analysis.executions} == {"research"}
    assert {len(execution.operations) for execution in analysis.executions} == {4}


def test_finish_analyses_traces_whose_root_is_missing(tmp_path: Path) -> None:
    config = configured(tmp_path, assembly={"quiet": "1h", "missing_quiet": "1h"})
    with embedded(config) as sidecar:
        post(sidecar.endpoints.http, requests.traces(3))
        analysis = sidecar.finish()

    assert [len(execution.operations) for execution in analysis.executions]
    assert analysis.executions[0].trace_id == "01" * 16


def test_an_execution_appears_in_the_api_once_it_is_quiet(tmp_path: Path) -> None:
    with embedded(configured(tmp_path)) as sidecar:
        with sdk(grpc_exporter(sidecar.endpoints)) as provider:
            trace_id = run_workflow(provider)
        page = sidecar.endpoints.page
        [found] = eventually(lambda: fetch_json(f"{page}/api/v1/executions")["executions"])

    assert (found["trace_id"], found["workflow"], found["span_count"]) == (trace_id, "research", 4)


def post(url: str, body: bytes) -> int:
    return httpx.post(f"{url}/v1/traces", content=body, headers=PROTOBUF, trust_env=False, timeout=30).status_code


def spans_of(backend: Backend) -> list[Span]:
    return [span for _, data in backend.taken for span in protobuf.decode_traces(data).spans]


async def workflow_sent(endpoints: Endpoints) -> str:
    def send() -> str:
        with sdk(grpc_exporter(endpoints)) as provider:
            return run_workflow(provider)

    return await asyncio.to_thread(send)


async def test_forwards_what_it_received_and_one_annotation_span(tmp_path: Path) -> None:
    async with grpc_backend() as backend:
        sidecar = Sidecar(configured(tmp_path, exporters=[exporter(backend.endpoint)]))
        endpoints = await sidecar.start()
        trace_id = await workflow_sent(endpoints)

        async def annotated() -> bool:
            return any(span.scope == semconv.ANNOTATION_SCOPE for span in spans_of(backend))

        await eventually_async(annotated)
        await sidecar.stop()

    spans = spans_of(backend)
    [annotation] = [span for span in spans if span.scope == semconv.ANNOTATION_SCOPE]
    [root] = [span for span in spans if span.parent_id is None]
    assert len(spans) == 5
    assert (annotation.trace_id, annotation.parent_id) == (trace_id, root.span_id)
    assert annotation.span_id == annotation_id(trace_id, 1)
    assert (annotation.start_ns, annotation.end_ns) == (root.start_ns, root.end_ns)
    assert annotation.resource == {"service.name": "otel-wfperf"}
    assert annotation.attributes["wfperf.finding.count"] == len(annotation.events)


async def test_annotates_nothing_when_told_so(tmp_path: Path) -> None:
    async with grpc_backend() as backend:
        sidecar = Sidecar(configured(tmp_path, exporters=[exporter(backend.endpoint)], annotate=False))
        await workflow_sent(await sidecar.start())
        await sidecar.finish()
        await sidecar.stop()

    assert len(spans_of(backend)) == 4


async def test_a_restart_reads_open_traces_again_and_doubles_nothing(tmp_path: Path) -> None:
    """One trace is complete and one is open when the sidecar stops; their records are interleaved in the log."""
    config = configured(tmp_path, exporters=[])
    done, unfinished = b"\x0a" * 16, b"\x0b" * 16
    sidecar = Sidecar(config)
    url = (await sidecar.start()).http
    for body in (
        requests.tree(done, 2, with_root=False),
        requests.tree(unfinished, 2, with_root=False),
        requests.tree(done, 0, with_root=True),
    ):
        assert await asyncio.to_thread(post, url, body) == 200

    async def stored() -> bool:
        return len(await asyncio.to_thread(sidecar.store.executions)) == 1

    await eventually_async(stored)
    before = sidecar.store.executions()
    await sidecar.stop()

    sidecar = Sidecar(config, keep_executions=True)
    url = (await sidecar.start()).http
    assert await asyncio.to_thread(post, url, requests.tree(unfinished, 0, with_root=True)) == 200
    analysis = await sidecar.finish()
    executions = sidecar.store.executions()
    await sidecar.stop()

    assert [execution.trace_id for execution in analysis.executions] == [unfinished.hex()]
    assert len(analysis.executions[0].operations) == 3
    assert before[0] in executions
    assert sorted((one["trace_id"], one["span_count"]) for one in executions) == [
        (done.hex(), 3),
        (unfinished.hex(), 3),
    ]


async def test_a_new_log_is_read_from_its_beginning(tmp_path: Path) -> None:
    config = configured(tmp_path)
    for attempt in (1, 2):
        sidecar = Sidecar(config)
        url = (await sidecar.start()).http
        body = requests.tree(bytes([attempt]) * 16, 1, with_root=True)
        assert await asyncio.to_thread(post, url, body) == 200
        await sidecar.finish()
        assert len(sidecar.store.executions()) == attempt
        await sidecar.stop()
        for name in ("log.sqlite", "log.sqlite-wal", "log.sqlite-shm"):
            (tmp_path / name).unlink(missing_ok=True)


async def test_late_spans_of_a_trace_that_a_restart_forgot_do_not_replace_it(tmp_path: Path) -> None:
    trace_id = b"\x0a" * 16
    for body, span_count in ((requests.tree(trace_id, 5, with_root=True), 6), (requests.tree(trace_id, 1, first=9), 6)):
        sidecar = Sidecar(configured(tmp_path))
        url = (await sidecar.start()).http
        assert await asyncio.to_thread(post, url, body) == 200
        await sidecar.finish()
        [execution] = sidecar.store.executions()
        await sidecar.stop()
        assert execution["span_count"] == span_count


async def test_is_ready_until_it_drains(tmp_path: Path) -> None:
    async with grpc_backend(hang) as backend:
        sidecar = Sidecar(configured(tmp_path, exporters=[exporter(backend.endpoint)], drain_timeout="2s"))
        endpoints = await sidecar.start()
        async with httpx.AsyncClient(base_url=endpoints.page, trust_env=False) as client:
            assert (await client.get("/readyz")).status_code == 200
            assert await asyncio.to_thread(post, endpoints.http, requests.traces()) == 200
            stopping = asyncio.create_task(sidecar.stop())

            async def draining() -> bool:
                return (await client.get("/readyz")).status_code == 503

            await eventually_async(draining)
            assert (await client.get("/healthz")).status_code == 200
        await stopping


async def test_what_could_not_be_exported_goes_out_after_a_restart(tmp_path: Path) -> None:
    [port] = free_ports(1)
    config = configured(tmp_path, exporters=[exporter(f"http://127.0.0.1:{port}")], drain_timeout="100ms")
    sidecar = Sidecar(config)
    trace_id = await workflow_sent(await sidecar.start())
    await sidecar.stop()

    async with grpc_backend(port=port) as backend:
        sidecar = Sidecar(config)
        await sidecar.start()

        async def complete() -> bool:
            return len([span for span in spans_of(backend) if span.scope == "test"]) == 4

        await eventually_async(complete)
        await sidecar.stop()

    assert {span.trace_id for span in spans_of(backend)} == {trace_id}


async def test_a_second_sidecar_and_a_taken_port_are_refused_by_their_keys(tmp_path: Path) -> None:
    sidecar = Sidecar(configured(tmp_path / "one"))
    endpoints = await sidecar.start()
    taken = ListenConfig(
        grpc=endpoints.grpc, http=endpoints.http.removeprefix("http://"), page=endpoints.page.removeprefix("http://")
    )
    try:
        with pytest.raises(ConfigError, match=r"^sidecar\.data_dir: .*another sidecar uses it"):
            await Sidecar(configured(tmp_path / "one")).start()
        for key in ("grpc", "http", "page"):
            free = ListenConfig(grpc="127.0.0.1:0", http="127.0.0.1:0", page="127.0.0.1:0")
            listen = free.model_copy(update={key: getattr(taken, key)})
            with pytest.raises(ConfigError, match=rf"^sidecar\.listen\.{key}: .*another port"):
                await Sidecar(configured(tmp_path / key, listen=listen.model_dump())).start()
    finally:
        await sidecar.stop()


async def test_a_data_folder_that_cannot_be_made_is_refused_by_its_key(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ConfigError, match=r"^sidecar\.data_dir: "):
        await Sidecar(configured(tmp_path / "file")).start()


def test_embedded_raises_what_starting_raises(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ConfigError), embedded(configured(tmp_path / "file")):
        pass


async def test_starts_with_a_damaged_store_and_analyses_the_log_again(tmp_path: Path) -> None:
    sidecar = Sidecar(configured(tmp_path))
    url = (await sidecar.start()).http
    assert await asyncio.to_thread(post, url, requests.tree(b"\x0a" * 16, 1)) == 200
    await sidecar.stop()
    (tmp_path / "store.sqlite").write_bytes(b"no database" * 1000)

    sidecar = Sidecar(configured(tmp_path))
    await sidecar.start()
    await sidecar.finish()
    [execution] = sidecar.store.executions()
    await sidecar.stop()

    assert execution["trace_id"] == "0a" * 16
    assert (tmp_path / "store.sqlite.damaged").exists()


def told(trace: int, span: int, operation: str, times_s: tuple[float, float], parent: int | None = None) -> bytes:
    """Build a request of one span of a conversation, by the GenAI conventions."""
    attributes = {"gen_ai.operation.name": operation, "gen_ai.conversation.id": "c"}
    start_ns, end_ns = (10**18 + int(each * 10**9) for each in times_s)
    return protobuf.encode_traces(
        [
            Span(
                trace_id=f"{trace:032x}",
                span_id=f"{span:016x}",
                parent_id=None if parent is None else f"{parent:016x}",
                name=operation,
                start_ns=start_ns,
                end_ns=end_ns,
                attributes=attributes,
            )
        ]
    )


@pytest.mark.parametrize("restart_after", [1, 2, 3])
async def test_a_restart_in_the_middle_of_a_run_of_several_traces_loses_and_doubles_nothing(
    tmp_path: Path, restart_after: int
) -> None:
    parts = [
        told(9, 91, "execute_tool", (0, 1), parent=90),
        told(1, 11, "chat", (1, 2)),
        told(2, 21, "chat", (3, 4)),
        told(9, 90, "invoke_workflow", (0, 9)),
    ]
    config = configured(tmp_path, exporters=[], assembly={"quiet": "1h", "missing_quiet": "1h", "idle_timeout": "2h"})
    for bodies in (parts[:restart_after], parts[restart_after:]):
        sidecar = Sidecar(config)
        endpoints = await sidecar.start()
        for body in bodies:
            assert await asyncio.to_thread(post, endpoints.http, body) == 200
        if bodies[-1] is not parts[-1]:
            await sidecar.stop()
    await sidecar.finish()
    pages = [
        await asyncio.to_thread(fetch_json, f"{endpoints.page}/api/v1/executions/{trace:032x}") for trace in (9, 1, 2)
    ]
    stored = sidecar.store.executions()
    await sidecar.stop()

    assert [(one["span_count"], one["trace_ids"]) for one in stored] == [(4, [f"{each:032x}" for each in (9, 1, 2)])]
    assert [page["executions"] for page in pages] == [stored] * 3


async def test_late_spans_of_a_forgotten_trace_never_replace_it_however_often_they_come(tmp_path: Path) -> None:
    trace_id, quick = b"\x0a" * 16, {"quiet": "100ms", "missing_quiet": "100ms", "idle_timeout": "200ms"}
    for number, body in enumerate([requests.tree(trace_id, 5, with_root=True), requests.tree(trace_id, 1, first=9)]):
        sidecar = Sidecar(configured(tmp_path, assembly=quick))
        url = (await sidecar.start()).http
        assert await asyncio.to_thread(post, url, body) == 200
        if number == 0:
            await sidecar.finish()
            await sidecar.stop()

    async def counted() -> bool:
        return "outdated_execution" in sidecar.metrics.exposition("")[0].decode()

    await eventually_async(counted)
    assert await asyncio.to_thread(post, url, requests.tree(trace_id, 1, first=10)) == 200
    await sidecar.finish()
    [execution] = sidecar.store.executions()
    await sidecar.stop()

    assert execution["span_count"] == 6
