"""The runs that one side of a comparison stands for: recorded traces, or a selection from the store."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from otel_wfperf.analysis.parts import RunFigures, run_figures
from otel_wfperf.assembly import assemble
from otel_wfperf.cli.command import UsageError, unknown
from otel_wfperf.cli.reading import Reading
from otel_wfperf.cli.stores import PREFIX, open_store, store_url
from otel_wfperf.config import parse_duration
from otel_wfperf.errors import InputError
from otel_wfperf.model import Execution, ExecutionStatus
from otel_wfperf.report.document import execution_document
from otel_wfperf.report.figures import figures_of_document

if TYPE_CHECKING:
    from otel_wfperf.store import Store

# Chosen: 10 MB of documents; the newest are taken.
DEFAULT_LIMIT: Final = 5_000
_KEYS: Final = ("workflow", "since", "until", "limit")
_HINT: Final = "write store:FILE?workflow=NAME&since=7d&until=1d; since and until: 7d, 12h, 30m ago, or a moment"


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The runs of one side.

    Attributes:
        name: As the user typed it.
        runs: Those that succeeded.
        failed_runs: Those that failed or are incomplete, and are not compared (count).
        errors: What could not be read; each is on standard error already.
        unusable: Whether the input could not be used at all.
    """

    name: str
    runs: tuple[RunFigures, ...]
    failed_runs: int
    errors: tuple[str, ...] = ()
    unusable: bool = False


def select(names: Sequence[str]) -> list[Selection]:
    """Read the inputs; where one is a store, the others are read with as little detail as a store keeps."""
    coarse = any(name.startswith(PREFIX) for name in names)
    return [_from_store(name) if name.startswith(PREFIX) else _from_traces(name, coarse=coarse) for name in names]


def _from_traces(name: str, *, coarse: bool) -> Selection:
    reading = Reading()
    reading.add(name)
    executions = [each for each in assemble(reading.operations) if each.duration_ns > 0]
    usable = [each for each in executions if each.status is ExecutionStatus.OK]
    return Selection(
        name=name,
        runs=tuple(_figures(each, coarse=coarse) for each in usable),
        failed_runs=len(executions) - len(usable),
        errors=tuple(reading.errors),
        unusable=reading.failed,
    )


def _figures(execution: Execution, *, coarse: bool) -> RunFigures:
    return figures_of_document(execution_document(execution)) if coarse else run_figures(execution)


def _from_store(name: str) -> Selection:
    address, _, query = name.removeprefix(PREFIX).partition("?")
    wanted = _query(name, query)
    now_s = time.time()
    since_ns, until_ns = (_moment_ns(name, key, wanted.get(key), now_s) for key in ("since", "until"))
    limit = _limit(name, wanted.get("limit"))
    store = _open(name, address)
    try:
        documents = store.executions(workflow=wanted.get("workflow"), since_unix_ns=since_ns, limit=limit)
    except Exception as error:
        raise InputError(f"{name}: the store cannot be read: {error}; is it one of this version?") from error
    finally:
        store.close()
    if len(documents) == limit:
        sys.stderr.write(f"warning: {name}: only the newest {limit} runs are read; narrow it with since=, or limit=\n")
    found = [each for each in documents if until_ns is None or each["start_unix_ns"] < until_ns]
    usable = [each for each in found if each["status"] == ExecutionStatus.OK and each["duration_ns"] > 0]
    return Selection(name=name, runs=tuple(map(figures_of_document, usable)), failed_runs=len(found) - len(usable))


def _query(name: str, query: str) -> Mapping[str, str]:
    try:
        wanted = dict(parse_qsl(query, strict_parsing=True, keep_blank_values=True)) if query else {}
    except ValueError as error:
        raise UsageError(f"{name}: {query!r} is no query", hint=_HINT) from error
    for key in wanted:
        if key not in _KEYS:
            raise unknown("store key", key, list(_KEYS))
    return wanted


def _moment_ns(name: str, key: str, text: str | None, now_s: float) -> int | None:
    if text is None:
        return None
    try:
        if text[-1:] in {"s", "m", "h", "d"}:
            return int((now_s - parse_duration(text)) * 1e9)
        return int(datetime.fromisoformat(text).timestamp() * 1e9)
    except (ValueError, OverflowError) as error:
        problem = f"{name}: {key}: {text!r} is neither a time ago (7d) nor a moment (2026-01-31T12:00:00Z)"
        raise UsageError(problem, hint=_HINT) from error


def _limit(name: str, text: str | None) -> int:
    if text is None:
        return DEFAULT_LIMIT
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise UsageError(f"{name}: limit: {text!r} is no number of runs", hint=_HINT)
    return min(int(text), sys.maxsize)


def _open(name: str, address: str) -> Store:
    """Open a store that exists: a file, the data folder of a sidecar, or a SQLAlchemy URL."""
    url = address if "://" in address else store_url(name, Path(address))
    return open_store(name, url, feature="comparing with a store")
