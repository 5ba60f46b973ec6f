"""Figure 22: partial success, as the sidecar says it and as it is told."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from random import Random
from typing import Final

import grpc
import grpc.aio
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from benchmarks.reliability.backend import Backend, running_backend
from benchmarks.reliability.figure import Figure, Outcome
from benchmarks.reliability.load import METHOD, workflow_batches
from benchmarks.reliability.rig import SidecarProcess, running_sidecar

_BATCHES: Final = 100
_SPANS: Final = 64


def measure() -> Outcome:
    """Send mixed batches; a back end behind the sidecar refuses a part of each of what is left."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_measure(Path(folder)))


async def _measure(folder: Path) -> Outcome:
    random = Random(22)
    refused: list[int] = []

    def answer(data: bytes) -> bytes:
        spans = sum(
            len(s.spans) for r in ExportTraceServiceRequest.FromString(data).resource_spans for s in r.scope_spans
        )
        response = ExportTraceServiceResponse()
        response.partial_success.rejected_spans = random.randint(0, spans)
        refused.append(response.partial_success.rejected_spans)
        return response.SerializeToString()

    async with running_backend(Backend(port=0, answer=answer)) as backend:
        exporters = [{"name": "b", "endpoint": f"http://127.0.0.1:{backend.port}"}]
        running = running_sidecar(folder, {"exporters": exporters, "annotate": False})
        sidecar = await asyncio.to_thread(running.__enter__)
        try:
            exact, valid = await _send_mixed(sidecar.grpc, random)
            await backend.until(valid, timeout_s=30)
            taken, lost = await asyncio.to_thread(_counted, sidecar)
        finally:
            await asyncio.to_thread(running.__exit__, None, None, None)
    received = backend.spans()
    twice = sum(count - 1 for count in received.values())
    matches = (taken, lost) == (valid - sum(refused), sum(refused))
    got = (
        f"receiver: {exact} of {_BATCHES} counts exact; exporter: {backend.tries} requests for {_BATCHES} batches, "
        f"{twice} spans sent twice, counted {taken:.0f} taken and {lost:.0f} refused "
        f"({'as the back end did' if matches else f'the back end: {valid - sum(refused)} and {sum(refused)}'})"
    )
    reached = exact == _BATCHES and backend.tries == _BATCHES and not twice and matches and len(received) == valid
    return Outcome(got=got, reached=reached)


async def _send_mixed(target: str, random: Random) -> tuple[int, int]:
    """Send batches in which some spans are invalid; return how many answers were exact, and the valid spans."""
    exact = valid = 0
    async with grpc.aio.insecure_channel(target) as channel:
        call = channel.unary_unary(METHOD, request_serializer=bytes, response_deserializer=bytes)
        for batch in workflow_batches(_BATCHES * _SPANS, batch_spans=_SPANS):
            request = ExportTraceServiceRequest.FromString(batch.data)
            spans = request.resource_spans[0].scope_spans[0].spans
            # One at least stays valid, so that each batch goes on to the back end.
            bad = random.sample(range(len(spans)), random.randint(0, len(spans) - 1))
            for at in bad:
                spans[at].trace_id, spans[at].span_id = random.choice(
                    [(bytes(16), spans[at].span_id), (spans[at].trace_id, bytes(8)), (b"\x01", b"\x02"), (b"", b"")]
                )
            response = ExportTraceServiceResponse.FromString(await call(request.SerializeToString(), timeout=30))
            said = response.partial_success.rejected_spans
            exact += said == len(bad) and bool(response.partial_success.error_message) == bool(bad)
            valid += len(spans) - len(bad)
    return exact, valid


def _counted(sidecar: SidecarProcess) -> tuple[float, float]:
    """Return how many spans the sidecar counts as taken, and as refused by a partial success."""
    taken = sidecar.metric("wfperf_exporter_sent_items_total", exporter="b")
    return taken, sidecar.metric("wfperf_exporter_failed_items_total", exporter="b", reason="partial_success")


FIGURE: Final = Figure(
    number=22,
    title="partial success",
    asked="counts exact for 100 mixed batches; never sent again",
    measure=measure,
)
