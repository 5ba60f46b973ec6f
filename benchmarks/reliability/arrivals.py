"""What arrived at a real Collector, by the ids in the file that it writes."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final

from benchmarks.reliability.load import SpanKey

_LOOK_AGAIN_S: Final = 0.5


def arrived(output: Path) -> Counter[SpanKey]:
    """Count how often each span is in the file."""
    found: Counter[SpanKey] = Counter()
    with output.open(encoding="utf-8") as lines:
        for line in lines:
            # The Collector may be in the middle of the last one.
            if line.endswith("\n"):
                found.update(
                    (span["traceId"], span["spanId"])
                    for resource in json.loads(line).get("resourceSpans", ())
                    for scope in resource["scopeSpans"]
                    for span in scope["spans"]
                )
    return found


def arrived_once_all_are(output: Path, expected: Collection[SpanKey], *, limit_s: float) -> Counter[SpanKey]:
    """Wait until all of these have arrived, or the time has passed; return what has."""
    deadline_s = time.monotonic() + limit_s
    while True:
        found = arrived(output)
        if time.monotonic() > deadline_s or found.keys() >= set(expected):
            return found
        time.sleep(_LOOK_AGAIN_S)


def wait_until(holds: Callable[[], bool], *, limit_s: float, pause_s: float = 0.1) -> float:
    """Wait until something holds and return how long that took (seconds); infinity when the time has passed."""
    started_s = time.monotonic()
    while not holds():
        if time.monotonic() - started_s > limit_s:
            return float("inf")
        time.sleep(pause_s)
    return time.monotonic() - started_s
