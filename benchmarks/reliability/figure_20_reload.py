"""Figure 20: a configuration that is wrong changes nothing, and the message names the key."""

from __future__ import annotations

import asyncio
import random
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from benchmarks.reliability.figure import Figure, Outcome
from benchmarks.reliability.load import Batch, send, workflow_batches
from benchmarks.reliability.rig import SidecarProcess, running_sidecar

CONFIGURATIONS: Final = 1_000
_ANSWER_LIMIT_S: Final = 30.0
_REFUSED: Final = "configuration not reloaded, the old one stays: "
# Each with values that it cannot have.
_WRONG: Final[Mapping[str, tuple[object, ...]]] = {
    "log.max_size": ("much", -1, "5 parsecs", [], {}),
    "log.max_age": ("soon", -3, "1 fortnight", None),
    "retention.max_age": ("0s", "for ever", []),
    "retention.max_executions": (0, -5, "all", 1.5),
    "assembly.quiet": ("a while", -1, {}),
    "assembly.max_open_spans": (0, "many", None),
    "max_request_size": ("0", "huge", -1),
    "drain_timeout": ("-1s", "later"),
    "window": (0, 1001, "wide", None),
    "listen.grpc": ("here", "127.0.0.1", "127.0.0.1:99999", 4317),
    "listen.page": ("::1:80", "", "localhost:http"),
    "events.level": ("loud", 3),
    "events.style": ("xml", None),
    "annotate": ("perhaps", 7),
    "exporters": ("jaeger", 5, {"name": "b"}),
}


def wrong_configurations(count: int, seed: int = 20) -> Iterator[tuple[str, dict[str, Any]]]:
    """Make configurations with one mistake each, and the key that a message about it must name."""
    draw = random.Random(seed)
    for number in range(count):
        if number % 4 == 0:
            parent = draw.choice(["", "log", "listen", "assembly", "retention", "events"])
            key = ".".join(filter(None, [parent, f"no_such_key_{number}"]))
            yield key, _nested(key, number)
        else:
            key = draw.choice(list(_WRONG))
            yield key, _nested(key, draw.choice(_WRONG[key]))


def _nested(key: str, value: object) -> dict[str, Any]:
    for part in reversed(key.split(".")):
        value = {part: value}
    if not isinstance(value, dict):
        raise TypeError(key)
    return value


def measure() -> Outcome:
    """Send spans all the while, ask for a reload of each wrong configuration, and look for its key."""
    with tempfile.TemporaryDirectory() as folder, running_sidecar(Path(folder)) as sidecar:
        named, accepted, refused = asyncio.run(_reload_under_load(sidecar))
        alive = sidecar.metric("wfperf_config_last_reload_successful") == 0
        analysed = sidecar.metric("wfperf_receiver_accepted_items_total")
    reached = named == CONFIGURATIONS and alive and not refused and analysed == accepted
    return Outcome(
        got=f"{named} of {CONFIGURATIONS} refused with their key named, {accepted} spans accepted meanwhile, "
        f"{refused} requests refused",
        reached=reached,
    )


async def _reload_under_load(sidecar: SidecarProcess) -> tuple[int, int, int]:
    """Return how many messages named their key, the spans accepted meanwhile, and the requests refused."""
    ended = asyncio.Event()

    def batches() -> Iterator[Batch]:
        for batch in workflow_batches(10_000_000):
            if ended.is_set():
                return
            yield batch

    sending = asyncio.create_task(send(sidecar.grpc, batches(), spans_per_s=1_000, concurrency=2))
    named = 0
    with sidecar.log.open(encoding="utf-8") as log:
        for key, settings in wrong_configurations(CONFIGURATIONS):
            sidecar.configure(settings)
            sidecar.signal(signal.SIGHUP)
            named += f"sidecar.{key}" in await _next_refusal(log)
    ended.set()
    sent = await sending
    return named, len(sent.accepted), sum(sent.refused.values())


async def _next_refusal(log: Any) -> str:
    deadline_s = time.monotonic() + _ANSWER_LIMIT_S
    while time.monotonic() < deadline_s:
        line: str = log.readline()
        if _REFUSED in line:
            return line
        if not line:
            await asyncio.sleep(0.002)
    return ""


FIGURE: Final = Figure(
    number=20,
    title="Reload, and 1,000 wrong configurations",
    asked="the old one keeps running, the error names the key",
    measure=measure,
)
