"""Events of the sidecar itself."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from otel_wfperf.sidecar.diagnostics import write_events


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("otel_wfperf")
    handlers, level = list(root.handlers), ours.level
    yield
    root.handlers[:] = handlers
    ours.setLevel(level)


def test_an_event_is_one_json_object_on_one_line_with_what_it_was_given() -> None:
    stream = io.StringIO()
    write_events(level="info", style="json", stream=stream)

    logging.getLogger("otel_wfperf.sidecar").info("reloaded\n%d keys", 2, extra={"keys": ["a", "b"]})

    (line,) = stream.getvalue().splitlines()
    event = json.loads(line)
    assert event.pop("time").endswith("+00:00")
    assert event == {
        "level": "info",
        "logger": "otel_wfperf.sidecar",
        "message": "reloaded\n2 keys",
        "keys": ["a", "b"],
    }


def test_a_fault_keeps_its_traceback_on_the_same_line() -> None:
    stream = io.StringIO()
    write_events(level="info", style="json", stream=stream)

    try:
        int("no number")
    except ValueError:
        logging.getLogger("otel_wfperf.sidecar").exception("exporter jaeger failed")

    (line,) = stream.getvalue().splitlines()
    assert json.loads(line)["exception"].endswith("with base 10: 'no number'\n")


@pytest.mark.parametrize("style", ["text", "json"])
def test_events_below_the_level_and_chatter_of_libraries_are_left_out(style: str) -> None:
    stream = io.StringIO()
    write_events(level="warning", style=style, stream=stream)

    logging.getLogger("otel_wfperf.log").info("trimmed")
    logging.getLogger("httpx").info("GET /")
    logging.getLogger("otel_wfperf.log").warning("disk is full")

    assert "disk is full" in stream.getvalue()
    assert len(stream.getvalue().splitlines()) == 1
