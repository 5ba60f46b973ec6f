"""Throw mutated bytes at a decoder with atheris, guided by coverage, until something that should not happen does.

Examples:
  python -m benchmarks.reliability.fuzzing protobuf --seconds 600
  python -m benchmarks.reliability.fuzzing json --replay crash-1234

Targets are what reads bytes of others: protobuf, json, wire, start_events, gzip, files. Each reads them as the sidecar
or `wfperf analyze` would, spans up to their operations, and compares with another implementation where there is one.
atheris comes with the `fuzz` extra.
"""

from __future__ import annotations

import argparse
import gzip
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from otel_wfperf.conventions import normalize
from otel_wfperf.errors import DecodeError, InputError
from otel_wfperf.log import Signal
from otel_wfperf.model import Span
from otel_wfperf.otlp import files, logs, protobuf, traces
from otel_wfperf.otlp.batch import TraceBatch
from otel_wfperf.otlp.limits import SpanLimits
from otel_wfperf.otlp.requests import Checked, check, check_json
from otel_wfperf.sidecar.receivers.gzip_body import TooLargeError, gunzip
from tests.sidecar.otlp_documents import DOCUMENTS, good

PROGRAM: Final = "python -m benchmarks.reliability.fuzzing"
# Only what is imported within is instrumented.
_LAUNCHER: Final = """
import sys
from pathlib import Path
import atheris
with atheris.instrument_imports(include=["otel_wfperf"]):
    from benchmarks.reliability import fuzzing
fuzzing.fuzz_here(sys.argv[1], seconds=int(sys.argv[2]), folder=Path(sys.argv[3]))
"""
# Chosen: room for some spans with everything; larger inputs are only slower.
_MAX_INPUT_BYTES: Final = 16 * 1024
_LIMITS: Final = SpanLimits(
    attribute_count=8, event_count=4, link_count=4, value_length=64, value_depth=4, name_length=32
)
_GZIP_LIMIT_BYTES: Final = 64 * 1024
_CAPTURES: Final = Path("tests/fixtures/captures")


def protobuf_request(data: bytes) -> None:
    """Receive a protobuf request of each signal, and analyse spans."""
    for signal in Signal:
        with suppress(DecodeError):
            _spans_of(check(signal, data), signal)


def json_request(data: bytes) -> None:
    """Receive a JSON request of each signal, and analyse spans."""
    for signal in Signal:
        with suppress(DecodeError):
            _spans_of(check_json(signal, data), signal)


def start_events(data: bytes) -> None:
    """Read what a log request says about open spans."""
    with suppress(DecodeError):
        check(Signal.LOGS, data)
        _normalize(logs.decode_open_spans(data, now_ns=1_800_000_000_000_000_000).spans)


def wire_reader(data: bytes) -> None:
    """Decode traces with the reader that is compiled, and compare with the official decoder."""
    assert _decoded(traces.decode_traces, data) == _decoded(protobuf.decode_traces, data)  # noqa: S101 - what it is for


def _decoded(decode: Callable[[bytes], TraceBatch], data: bytes) -> str | None:
    """Return what came out, as text: a number that is none differs from itself."""
    try:
        batch = decode(data)
    except DecodeError:
        return None
    return repr((batch.spans, sorted(batch.rejected.items())))


def gzip_body(data: bytes) -> None:
    """Unpack, and compare with the standard library."""
    try:
        unpacked = gunzip(data, _GZIP_LIMIT_BYTES)
    except (DecodeError, TooLargeError):
        return
    assert unpacked == gzip.decompress(data)  # noqa: S101 - what fuzzing is for


def file_of_traces(data: bytes) -> None:
    """Read a file of any form that `wfperf analyze` knows."""
    with suppress(InputError):
        _normalize(files.read_spans(data, name="fuzz").spans)


TARGETS: Final[Mapping[str, Callable[[bytes], None]]] = {
    "protobuf": protobuf_request,
    "json": json_request,
    "wire": wire_reader,
    "start_events": start_events,
    "gzip": gzip_body,
    "files": file_of_traces,
}


def _spans_of(checked: Checked, signal: Signal) -> None:
    if signal is not Signal.TRACES:
        return
    batch = protobuf.decode_traces(checked.data)
    # What was accepted is analysed; what was rejected is gone.
    assert len(batch.spans) == checked.items  # noqa: S101 - what fuzzing is for
    assert not batch.rejected  # noqa: S101
    _normalize(batch.spans)


def _normalize(spans: Iterable[Span]) -> None:
    dropped: Counter[str] = Counter()
    for span in spans:
        operation = normalize(_LIMITS.cut_span(span, dropped))
        if operation is not None:
            _LIMITS.cut_names(operation, dropped)


def seeds() -> Iterator[bytes]:
    """Return inputs to begin with: every kind of field, and recordings of real programs."""
    for signal in Signal:
        whole = good(signal)
        yield from (whole, gzip.compress(whole), json.dumps(DOCUMENTS[signal]).encode())
    for capture in sorted(_CAPTURES.glob("*.jsonl")):
        for line in capture.read_text(encoding="utf-8").splitlines()[:2]:
            yield line.encode()
            yield check_json(Signal.TRACES, line.encode()).data


def fuzz(target: str, *, seconds: int, folder: Path) -> subprocess.CompletedProcess[str]:
    """Fuzz a target in a process of its own; inputs that fail are left in the folder, as ``crash-…``."""
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(each for each in seeds() if len(each) <= _MAX_INPUT_BYTES):
        (corpus / f"seed-{number}").write_bytes(seed)
    command = [sys.executable, "-c", _LAUNCHER, target, str(seconds), str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def fuzz_here(target: str, *, seconds: int, folder: Path) -> None:
    """Fuzz a target in this process, which ends with it."""
    # A wheel for Linux; there are no types.
    import atheris  # type: ignore[import-not-found,import-untyped,unused-ignore]  # noqa: PLC0415

    # Chosen: a request that takes 5 s to read would hold up the others; memory as of a sidecar with a full batch.
    options = [f"-max_total_time={seconds}", "-timeout=5", "-rss_limit_mb=1024", f"-max_len={_MAX_INPUT_BYTES}"]
    atheris.Setup([PROGRAM, *options, f"-artifact_prefix={folder}/", str(folder / "corpus")], TARGETS[target])
    atheris.Fuzz()


def main() -> int:
    """Fuzz one target, or replay one input."""
    parser = argparse.ArgumentParser(prog=PROGRAM, description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("target", choices=TARGETS, help="what to fuzz")
    parser.add_argument("--seconds", type=int, default=60, help="how long (default 60)")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="give the target this input only")
    options: Any = parser.parse_args()
    if options.replay:
        TARGETS[options.target](options.replay.read_bytes())
        return 0
    folder = Path(tempfile.mkdtemp(prefix=f"wfperf-fuzz-{options.target}-"))
    done = fuzz(options.target, seconds=options.seconds, folder=folder)
    print(done.stdout + done.stderr[-4000:], f"inputs: {folder}", sep="\n")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
