"""Figure 8: with a back end that never answers, memory and disk stay within the limit and senders are told to wait."""

from __future__ import annotations

import asyncio
import socket
import tempfile
import threading
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchmarks.reliability.figure import Figure, Outcome
from benchmarks.reliability.load import Batch, send, workflow_batches
from benchmarks.reliability.rig import SidecarProcess, running_sidecar

LIMIT_BYTES: Final = 256 * 1024**2
SPANS_PER_S: Final = 10_000
# 256 MiB are full after 55 s; the rest is refused.
SPANS: Final = 700_000
_ALLOWED_RATIO: Final = 1.1
_HTTP_REQUESTS: Final = 50
_LOOK_EVERY_S: Final = 0.25
_DIRECT: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def measure() -> Outcome:
    """Send at the rate until long after the log is full, over gRPC and then over HTTP."""
    with tempfile.TemporaryDirectory(prefix="wfperf-") as folder, silent_backend() as backend:
        settings = {
            "log": {"max_size": LIMIT_BYTES},
            "exporters": [{"name": "silent", "endpoint": backend}],
            "drain_timeout": "1s",
        }
        with running_sidecar(Path(folder), settings) as sidecar, watched(sidecar) as peak:
            batches = workflow_batches(SPANS)
            sent = asyncio.run(send(sidecar.grpc, batches, spans_per_s=SPANS_PER_S, concurrency=64))
            http = http_answers(sidecar, next(iter(workflow_batches(512, first=10**9))))
    disk, memory = peak["disk"] / LIMIT_BYTES, peak["memory"] / LIMIT_BYTES
    refused = sum(sent.refused.values())
    untimed = sum(sent.untimed.values())
    told = refused > 0 and untimed == 0 and set(sent.refused) == {"UNAVAILABLE"}
    return Outcome(
        got=f"at {SPANS / sent.spent_s:.0f} spans/s: log on disk at most {disk:.2f} x, resident memory at most "
        f"{memory:.2f} x the limit; {refused} refusals over gRPC ({dict(sent.refused)}, {untimed} without RetryInfo), "
        f"over HTTP {dict(http)}",
        reached=disk <= _ALLOWED_RATIO
        and memory <= _ALLOWED_RATIO
        and told
        and http == {"503 with Retry-After": _HTTP_REQUESTS},
    )


@contextmanager
def silent_backend() -> Iterator[str]:
    """Listen, take connections and everything that comes, and never say a word; yield the URL."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@contextmanager
def watched(sidecar: SidecarProcess) -> Iterator[Counter[str]]:
    """Note the largest size of the log's files and of the resident memory (bytes)."""
    peak: Counter[str] = Counter()
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(_LOOK_EVERY_S):
            peak["disk"] = max(peak["disk"], log_bytes(sidecar.folder / "data"))
            peak["memory"] = max(peak["memory"], sidecar.rss_bytes())

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield peak
    finally:
        ended.set()
        thread.join()


def log_bytes(data: Path) -> int:
    """Return the size of the log's files, the write-ahead log included (bytes)."""
    return sum(file.stat().st_size for file in data.glob("log.*") if file.exists())


def http_answers(sidecar: SidecarProcess, batch: Batch) -> Counter[str]:
    """Post a batch some times and count the answers."""
    answers: Counter[str] = Counter()
    headers = {"content-type": "application/x-protobuf"}
    request = urllib.request.Request(f"{sidecar.http}/v1/traces", batch.data, headers)  # noqa: S310 - always http
    for _ in range(_HTTP_REQUESTS):
        try:
            with _DIRECT.open(request, timeout=30) as answer:
                answers[str(answer.status)] += 1
        except urllib.error.HTTPError as error:
            answers[f"{error.code}{' with Retry-After' if error.headers.get('retry-after') else ''}"] += 1
            error.close()
    return answers


FIGURE: Final = Figure(
    number=8,
    title="a back end that never answers, 10 000 spans/s, limit 256 MiB",
    asked="peak at most 1.1 x the limit; every refusal UNAVAILABLE + RetryInfo or 503 + Retry-After",
    measure=measure,
)
