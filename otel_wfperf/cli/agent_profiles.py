"""Measured profiles of agents, from a store or from traces."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import unquote_plus

from otel_wfperf.analysis.sketch import Sketch
from otel_wfperf.assembly import assemble
from otel_wfperf.cli.reading import Reading
from otel_wfperf.cli.stores import PREFIX, open_store, store_url
from otel_wfperf.definitions.profiles import Profile, ProfileSource, measured
from otel_wfperf.errors import InputError
from otel_wfperf.model import OperationKind

# A node of a graph is recorded as a phase; an agent of the same name says more.
_KINDS: Final = (OperationKind.PHASE, OperationKind.AGENT)
# Chosen: the shape of a distribution with a long tail, at the resolution of the sketches.
_STEPS: Final = 100


def live_profiles(name: str) -> Mapping[str, Profile]:
    """Return the profiles by agent; raise InputError when there are none.

    Args:
        name: ``store:PATH`` or ``store:PATH?workflow=NAME`` of a sidecar's store, or a file or directory of traces.
    """
    profiles = _stored(name) if name.startswith(PREFIX) else _recorded(name)
    if not profiles:
        raise InputError(f"{name}: holds no agent that ran; name a store or traces of a workflow with agents")
    return profiles


def _recorded(name: str) -> Mapping[str, Profile]:
    reading = Reading()
    reading.add(name)
    if reading.failed:
        raise InputError(f"{name}: gives no profiles; name a file or directory of traces, or store:PATH")
    durations_s: dict[OperationKind, dict[str, list[float]]] = {kind: {} for kind in _KINDS}
    for execution in assemble(reading.operations):
        for operation in execution.of_kind(*_KINDS):
            if operation.ended and not operation.synthetic:
                durations_s[operation.kind].setdefault(operation.name, []).append(operation.duration_ns / 1e9)
    return {name: measured(found) for kind in _KINDS for name, found in durations_s[kind].items()}


def _stored(name: str) -> Mapping[str, Profile]:
    address, _, query = name.removeprefix(PREFIX).partition("?")
    key, _, workflow = query.partition("=")
    if query and (key != "workflow" or not workflow or "&" in workflow):
        raise InputError(f"{name}: {query!r} is not understood; write store:PATH or store:PATH?workflow=NAME")
    url = store_url(name, Path(address).expanduser())
    store = open_store(name, url, feature=f"--profiles {name}")
    try:
        found = {kind: store.sketches(kind=kind.value, workflow=unquote_plus(workflow)) for kind in _KINDS}
    finally:
        store.close()
    return {name: _of_sketch(sketch) for kind in _KINDS for name, sketch in found[kind].items() if sketch.count}


def _of_sketch(sketch: Sketch) -> Profile:
    quantiles_s = tuple(sketch.quantile(step / _STEPS) for step in range(_STEPS + 1))
    return Profile(quantiles_s=quantiles_s, source=ProfileSource.LIVE, count=sketch.count)
