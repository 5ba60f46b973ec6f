"""What a back end will never take, kept in files that a person can look at, analyse and send again.

``FOLDER/1764012345678-traces.jsonl`` holds one OTLP JSON request a line, as the Collector's file exporter writes them,
so ``wfperf analyze`` reads it and any OTLP receiver takes a line as ``application/json``. The additional key ``wfperf``
says why and when; receivers ignore keys they do not know. Source: OTLP specification, "JSON Protobuf Encoding".
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otel_wfperf.log import Signal
from otel_wfperf.otlp.json import encode_message
from otel_wfperf.otlp.protobuf import parse

# Chosen: an eighth of what is kept goes when there is no more room.
_FILES: Final = 8
_REQUESTS: Final[Mapping[Signal, type[Message]]] = {
    Signal.TRACES: ExportTraceServiceRequest,
    Signal.METRICS: ExportMetricsServiceRequest,
    Signal.LOGS: ExportLogsServiceRequest,
}


class DeadLetters:
    """The files of one exporter; the methods block, and may be called from several threads."""

    def __init__(self, folder: Path, *, max_size_bytes: int, clock_ns: Callable[[], int]) -> None:
        """Use a folder, which is created with the first letter.

        Args:
            folder: Where the files are; nothing else may be there.
            max_size_bytes: Size of all files together (bytes).
            clock_ns: Wall clock (nanoseconds since the Unix epoch).
        """
        self._folder = folder
        self._max_size_bytes = max_size_bytes
        self._clock_ns = clock_ns
        self._lock = threading.Lock()

    def add(self, signal: Signal, data: bytes, *, about: Mapping[str, Any]) -> int:
        """Keep an OTLP protobuf request; return how many older ones had to go (count).

        Raises:
            OSError: It cannot be kept: the disk is full, or the request alone is larger than all may be.
            DecodeError: It is no OTLP.
        """
        now_ns = self._clock_ns()
        line = _line(signal, data, {"time": _moment(now_ns), **about})
        if len(line) > self._max_size_bytes:
            raise OSError(f"{len(line)} bytes are more than dead_letter.max_size: {self._max_size_bytes}")
        with self._lock:
            evicted = self._make_room(len(line))
            self._write(signal, line, now_ns)
        return evicted

    def _write(self, signal: Signal, line: bytes, now_ns: int) -> None:
        # Telemetry may hold what users typed: for the owner only.
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        name = f"{now_ns // 1_000_000:013}-{signal.value}.jsonl"
        newest = max((path for path in self._files() if path.name.endswith(f"-{signal.value}.jsonl")), default=None)
        if newest is None or newest.stat().st_size + len(line) > self._max_size_bytes // _FILES:
            newest = self._folder / name
        descriptor = os.open(newest, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "ab") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())

    def _make_room(self, size_bytes: int) -> int:
        """Delete the oldest files until so much more fits in; return how many requests were in them."""
        files = self._files()
        sizes = [path.stat().st_size for path in files]
        excess = sum(sizes) + size_bytes - self._max_size_bytes
        evicted = 0
        for path, size in zip(files, sizes, strict=True):
            if excess <= 0:
                break
            evicted += path.read_bytes().count(b"\n")
            path.unlink()
            excess -= size
        return evicted

    def _files(self) -> list[Path]:
        """List the files, oldest first."""
        return sorted(self._folder.glob("*.jsonl"))


def _line(signal: Signal, data: bytes, about: Mapping[str, Any]) -> bytes:
    document = encode_message(parse(_REQUESTS[signal], data))
    # First, so that a person who looks at a long line sees it.
    reason = json.dumps({"wfperf": about}, ensure_ascii=False, separators=(",", ":")).encode()
    return (reason[:-1] + b"," + document[1:] if document != b"{}" else reason) + b"\n"


def _moment(now_ns: int) -> str:
    return datetime.fromtimestamp(now_ns / 1e9, UTC).isoformat(timespec="milliseconds")
