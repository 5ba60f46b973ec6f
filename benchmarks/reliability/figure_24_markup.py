"""Figure 24: names and values that are markup are text on every page, in a real browser."""

from __future__ import annotations

import asyncio
import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from benchmarks.reliability.figure import Figure, Outcome
from benchmarks.reliability.load import Batch, send
from benchmarks.reliability.rig import SidecarProcess, running_sidecar
from tests.peers import missing_reason, peer_path
from tests.sidecar import hostile

_TEXTS: Final = 200
# Chosen: of what is sent, the pages show names and errors, about one in six.
_SENT: Final = 1_400
_LIMIT_S: Final = 60.0


def measure() -> Outcome:
    """Send hostile names, and look at the page of all executions and at that of each."""
    browser = peer_path("chromium")
    if browser is None:
        raise RuntimeError(missing_reason("chromium"))
    sent = list(hostile.executions(_SENT))
    settings = {"assembly": {"quiet": "100ms", "missing_quiet": "100ms"}}
    with tempfile.TemporaryDirectory() as name, running_sidecar(Path(name), settings) as sidecar:
        asyncio.run(send(sidecar.grpc, (Batch(body, ()) for _, body, _ in sent)))
        _wait_until_analysed(sidecar, len(sent))
        paths = ["/", *(f"/executions/{trace_id}" for trace_id, _, _ in sent)]
        harm, shown = _visit_all(browser, sidecar.page, paths, Path(name) / "profile")
    count = sum(texts for _, _, texts in sent)
    return Outcome(
        got=f"{count} hostile names and values sent, {len(shown)} of them shown as text on {len(paths)} pages, "
        f"{len(harm)} scripts, elements or complaints of the browser{': ' + '; '.join(harm[:3]) if harm else ''}",
        reached=len(shown) >= _TEXTS and not harm,
    )


def _visit_all(browser: Path, base: str, paths: list[str], profile: Path) -> tuple[list[str], set[str]]:
    harm: list[str] = []
    shown: set[str] = set()
    for path in paths:
        found, text = hostile.visit(browser, base + path, profile)
        harm += [f"{path}: {each}" for each in found]
        shown.update(_shown(text))
    return harm, shown


def _shown(text: str) -> Iterator[str]:
    """Find the payloads whose text is all there."""
    for number in re.findall(r"payload-(\d+)-end", text):
        whole = hostile.payload(int(number))
        if " ".join(whole.split()) in " ".join(text.split()):
            yield number


def _wait_until_analysed(sidecar: SidecarProcess, executions: int) -> None:
    deadline_s = time.monotonic() + _LIMIT_S
    while sidecar.metric("wfperf_executions_total") < executions:
        if time.monotonic() > deadline_s:
            raise RuntimeError("the executions were not analysed")
        time.sleep(0.2)


FIGURE: Final = Figure(
    number=24,
    title="markup in names and values",
    asked=f"at least {_TEXTS} rendered inert in Chromium, 0 violations of the content security policy",
    measure=measure,
)
