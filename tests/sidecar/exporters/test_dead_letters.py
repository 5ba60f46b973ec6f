from __future__ import annotations

import json
import stat
from itertools import count
from pathlib import Path

import pytest

from otel_wfperf.errors import DecodeError
from otel_wfperf.log import Signal
from otel_wfperf.otlp.files import read_spans
from otel_wfperf.otlp.json import transcode_logs, transcode_metrics, transcode_traces
from otel_wfperf.sidecar.exporters.dead_letters import DeadLetters
from tests.sidecar import requests

SECOND_NS = 1_000_000_000


def letters(folder: Path, max_size_bytes: int = 10**6) -> DeadLetters:
    """A clock that goes on by a second with each letter."""
    times = count(1_700_000_000 * SECOND_NS, SECOND_NS)
    return DeadLetters(folder / "b", max_size_bytes=max_size_bytes, clock_ns=lambda: next(times))


def lines(folder: Path) -> list[bytes]:
    return [line for file in sorted((folder / "b").iterdir()) for line in file.read_bytes().splitlines()]


def test_keeps_the_whole_request_of_each_signal_as_otlp_json_with_the_reason(tmp_path: Path) -> None:
    for signal in Signal:
        letters(tmp_path).add(signal, requests.REQUESTS[signal], about={"reason": "http_400"})

    decode = {"traces": transcode_traces, "metrics": transcode_metrics, "logs": transcode_logs}
    files = sorted((tmp_path / "b").iterdir())
    assert [file.name.split("-")[1] for file in files] == ["logs.jsonl", "metrics.jsonl", "traces.jsonl"]
    for file in files:
        signal = Signal(file.stem.split("-")[1])
        assert decode[signal](file.read_bytes()) == requests.REQUESTS[signal]
        about = json.loads(file.read_text())["wfperf"]
        assert about == {"time": "2023-11-14T22:13:20.000+00:00", "reason": "http_400"}
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_spans_can_be_analysed(tmp_path: Path) -> None:
    kept = letters(tmp_path)
    for first in (1, 3):
        kept.add(Signal.TRACES, requests.traces(2, first=first), about={})

    [file] = (tmp_path / "b").iterdir()
    contents = read_spans(file.read_bytes(), name=file.name)
    assert (contents.format, len(contents.spans), contents.errors) == ("otlp-json-lines", 4, ())


def test_the_oldest_go_when_there_is_no_more_room(tmp_path: Path) -> None:
    kept = letters(tmp_path, max_size_bytes=20_000)
    evicted = sum(
        kept.add(Signal.TRACES, requests.traces(1, first=number, text="x" * 500), about={}) for number in range(1, 101)
    )

    left = lines(tmp_path)
    assert sum(len(line) + 1 for line in left) <= 20_000
    assert len(left) + evicted == 100
    assert len(left) > 10
    [newest] = read_spans(left[-1], name="newest").spans
    assert newest.span_id == f"{100:016x}"


def test_goes_on_in_the_files_of_a_former_process(tmp_path: Path) -> None:
    for _ in range(2):
        letters(tmp_path).add(Signal.TRACES, requests.traces(), about={})

    assert len(lines(tmp_path)) == 2
    assert len(list((tmp_path / "b").iterdir())) == 1


def test_refuses_what_alone_is_too_large_and_what_is_no_otlp(tmp_path: Path) -> None:
    kept = letters(tmp_path, max_size_bytes=100)

    with pytest.raises(OSError, match=r"bytes are more than dead_letter\.max_size: 100"):
        kept.add(Signal.TRACES, requests.traces(), about={})
    with pytest.raises(DecodeError):
        kept.add(Signal.TRACES, b"\xff", about={})
    assert not (tmp_path / "b").exists()
