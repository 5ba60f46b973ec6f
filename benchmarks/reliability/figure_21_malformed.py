"""Figure 21: wrong input gets the right answer, and nothing that comes over the wire brings the sidecar down."""

from __future__ import annotations

import asyncio
import re
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from benchmarks.reliability.figure import Figure, Outcome
from benchmarks.reliability.fuzzing import TARGETS, fuzz
from benchmarks.reliability.load import send, workflow_batches
from benchmarks.reliability.rig import SidecarProcess, running_sidecar
from tests.sidecar.judging import judge
from tests.sidecar.malformed import LIMIT_BYTES, cases

_LEAST_CASES: Final = 500
_SHORT_S: Final = 8
_LONG_S: Final = 600


def measure() -> Outcome:
    """Send every case over HTTP and gRPC to one sidecar, then see whether it still does its work; fuzz a little."""
    every = list(cases())
    with tempfile.TemporaryDirectory() as folder:
        with running_sidecar(Path(folder), {"max_request_size": LIMIT_BYTES}) as sidecar:
            pid = sidecar.pid
            wrong = asyncio.run(judge(every, http_url=sidecar.http, grpc_target=sidecar.grpc))
            works = sidecar.pid == pid and _still_works(sidecar)
        said = sidecar.log.read_text()
    fuzzed, failed = _fuzzed(_SHORT_S)
    faults = said.count("Traceback")
    return Outcome(
        got=f"{len(every)} cases over HTTP and gRPC, {len(wrong)} wrong answers, {faults} faults logged, "
        f"{'works' if works else 'does not work'} afterwards; {fuzzed}",
        reached=len(every) >= _LEAST_CASES and not wrong and works and not faults and not failed,
    )


def measure_long() -> Outcome:
    """Fuzz each decoder for ten minutes."""
    fuzzed, failed = _fuzzed(_LONG_S)
    return Outcome(got=fuzzed, reached=not failed)


def _still_works(sidecar: SidecarProcess) -> bool:
    sent = asyncio.run(send(sidecar.grpc, workflow_batches(512, first=10**6)))
    return len(sent.accepted) == 512 and sidecar.fetch("/healthz") == "ok\n"


def _fuzzed(seconds: int) -> tuple[str, bool]:
    """Fuzz all targets one after another; return what happened, and whether it is bad."""
    if find_spec("atheris") is None:
        raise RuntimeError("atheris is not installed; install it with: pip install 'otel-wfperf[fuzz]'")
    runs, failed = 0, []
    for target in TARGETS:
        with tempfile.TemporaryDirectory() as folder:
            done = fuzz(target, seconds=seconds, folder=Path(folder))
            count = re.search(r"Done (\d+) runs", done.stderr)
            runs += int(count[1]) if count else 0
            if done.returncode or count is None:
                failed.append(target)
                print(done.stderr[-4000:])
    crashes = f"crashes in {', '.join(failed)}" if failed else "0 crashes or time-outs"
    return f"atheris {seconds} s on each of {len(TARGETS)} decoders, {runs:,} inputs, {crashes}", bool(failed)


FIGURE: Final = Figure(
    number=21,
    title="malformed requests",
    asked=f"at least {_LEAST_CASES} cases, the right code for each, 0 crashes",
    measure=measure,
)
LONG: Final = Figure(
    number=21,
    title="fuzzing of the decoders",
    asked="10 minutes of atheris on each, 0 crashes or time-outs",
    measure=measure_long,
    long=True,
)
