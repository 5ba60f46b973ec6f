"""Read and write results. All methods block: call them from a thread."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, Self

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Select,
    Table,
    create_engine,
    delete,
    event,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.exc import (
    DatabaseError,
    DataError,
    IntegrityError,
    InterfaceError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
)

from otel_wfperf.analysis.sketch import Sketch
from otel_wfperf.errors import WfperfError
from otel_wfperf.model import Execution, Finding
from otel_wfperf.store.analysed import Analysed, Document, Position, Sample
from otel_wfperf.store.connecting import begin, configure, disk_problem, protect
from otel_wfperf.store.endings import Ending, endings
from otel_wfperf.store.migration import migrate
from otel_wfperf.store.retention import Limits, give_back, make_reclaimable, prune, used_bytes
from otel_wfperf.store.tables import AGENTS, CURSORS, EXECUTIONS, FINDINGS, SKETCHES, TRACES
from otel_wfperf.store.verdicts import Verdict, verdicts

_HOUR_NS: Final = 3_600_000_000_000
# Chosen: well within the 999 of the oldest SQLite.
_MAX_PARAMETERS: Final = 500
_AGENT_COLUMNS: Final = ("name", "calls", "busy_s", "wait_s", "input_tokens", "output_tokens", "errors")
# Errors of the database that are the fault of what it is asked to do; the others may pass. Source: PEP 249.
_REFUSALS: Final = (DataError, IntegrityError, NotSupportedError, ProgrammingError)


class StoreDamagedError(WfperfError):
    """What should be a database is none."""


class StoreUnavailableError(WfperfError):
    """The database cannot be used now; the same may succeed later."""


class Store:
    """Results in a relational database; safe to use from several threads."""

    def __init__(self, engine: Engine) -> None:
        """Use a database whose schema is current."""
        self._engine = engine

    @classmethod
    def open(cls, url: str, *, fsync: bool = True) -> Self:
        """Connect and apply the migrations that are missing.

        Args:
            url: SQLAlchemy URL, such as ``sqlite:////var/lib/otel-wfperf/store.sqlite``.
            fsync: Force commits to the disk, where the database leaves the choice to its clients.

        Raises:
            StoreDamagedError: It is no database.
            ConfigError: Its disk has no room or cannot be written.
        """
        engine = create_engine(url)
        if engine.dialect.name == "sqlite":
            protect(engine.url)
            event.listen(engine, "connect", partial(configure, fsync))
            event.listen(engine, "begin", begin)
        try:
            migrate(engine)
            make_reclaimable(engine)
        except BaseException as error:
            engine.dispose()
            if isinstance(error, DatabaseError) and not isinstance(error, OperationalError | ProgrammingError):
                raise StoreDamagedError(f"the store is no database any more: {error.orig}") from error
            if isinstance(error, DatabaseError) and (problem := disk_problem(engine.url, error)):
                raise problem from error
            raise
        return cls(engine)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        """Open a transaction; raise StoreUnavailableError when the database is the reason that it fails."""
        try:
            with self._engine.begin() as connection:
                yield connection
        except _REFUSALS:
            raise
        except (DatabaseError, InterfaceError) as error:
            raise StoreUnavailableError(f"the store cannot be used: {error.orig}; it is tried again") from error

    # -- writing ---------------------------------------------------------------------------------------------------

    def outdated(self, executions: Iterable[Execution]) -> frozenset[str]:
        """Return the trace ids for which something better is stored: a newer version or more spans.

        A restart may see only the late spans of a trace; they must not replace the whole, be it that of another trace.
        """
        offered = {each.trace_id: each for each in executions}
        with self._connected() as connection:
            homes = _homes(connection, _trace_ids(offered.values()))
            stored = _stored_versions(connection, {*offered, *homes.values()})
        return frozenset(trace_id for trace_id, each in offered.items() if _is_outdated(each, stored, homes))

    def save(self, analysed: Iterable[Analysed], *, consumer: str, position: Position, now_unix_ns: int) -> None:
        """Store executions, replacing those of the same traces, and how far the log is analysed; all or nothing."""
        rows = {one.execution.trace_id: one for one in analysed}
        with self._connected() as connection:
            # Parts of a run may have been stored as executions of their own.
            stored = _stored_versions(connection, _trace_ids(one.execution for one in rows.values()))
            _replace(connection, rows.values(), stored, now_unix_ns)
            # A late span re-opens an execution; its durations are in the sketches already.
            new = [one for one in rows.values() if stored.keys().isdisjoint(one.execution.trace_ids)]
            _add_samples(connection, [(one.execution, sample) for one in new for sample in one.samples], now_unix_ns)
            _set_position(connection, consumer, position)

    def position(self, consumer: str) -> Position | None:
        """Return how far a consumer has come; None when it never stored that."""
        statement = select(CURSORS.c.log_id, CURSORS.c.position).where(CURSORS.c.consumer == consumer)
        with self._connected() as connection:
            row = connection.execute(statement).one_or_none()
        return Position(log_id=row.log_id, offset=row.position) if row else None

    def analysed_after(self, offset: int) -> dict[str, int]:
        """Return the last record of executions that hold records after an offset, by the ids of all their traces."""
        columns = EXECUTIONS.c.trace_id, EXECUTIONS.c.last_offset, EXECUTIONS.c.document["trace_ids"]
        statement = select(*columns).where(EXECUTIONS.c.last_offset > offset)
        with self._connected() as connection:
            return {
                each: last_offset
                for trace_id, last_offset, trace_ids in connection.execute(statement)
                for each in trace_ids or (trace_id,)
            }

    def forget_offsets(self) -> None:
        """Detach the executions from their log, whose offsets no longer mean anything."""
        with self._connected() as connection:
            connection.execute(update(EXECUTIONS).values(last_offset=0))

    def trim(self, limits: Limits) -> int:
        """Delete one batch of what must go and give its room back; return how many executions, 0 at the end."""
        with self._connected() as connection:
            deleted = prune(connection, limits)
        give_back(self._engine)
        return deleted

    @property
    def size_bytes(self) -> int:
        """How much of the file holds data (bytes); 0 for a database that is no file of ours."""
        with self._connected() as connection:
            return used_bytes(connection)

    # -- reading ---------------------------------------------------------------------------------------------------

    def executions(
        self,
        *,
        workflow: str | None = None,
        status: str | None = None,
        since_unix_ns: int | None = None,
        limit: int = 50,
    ) -> list[Document]:
        """Return the documents of executions, newest first."""
        statement = select(EXECUTIONS.c.document).order_by(EXECUTIONS.c.start_unix_ns.desc()).limit(limit)
        statement = _where(statement, EXECUTIONS, workflow=workflow, status=status, since_unix_ns=since_unix_ns)
        return self._documents(statement)

    def execution(self, trace_id: str) -> Document | None:
        """Return the document of the execution that a trace is part of; None when it is not known."""
        home = select(TRACES.c.execution_id).where(TRACES.c.trace_id == trace_id).scalar_subquery()
        statement = select(EXECUTIONS.c.document).where(EXECUTIONS.c.trace_id == func.coalesce(home, trace_id))
        found = self._documents(statement)
        return found[0] if found else None

    def findings(
        self,
        *,
        trace_id: str | None = None,
        detector: str | None = None,
        workflow: str | None = None,
        severity: str | None = None,
        since_unix_ns: int | None = None,
        limit: int = 100,
    ) -> list[Document]:
        """Return the documents of findings, worst first; each cause once, from the newest execution that has it."""
        rank = func.row_number().over(
            partition_by=FINDINGS.c.fingerprint, order_by=(FINDINGS.c.start_unix_ns.desc(), FINDINGS.c.trace_id)
        )
        wanted = _where(
            select(FINDINGS.c.document, FINDINGS.c.severity_rank, FINDINGS.c.saving_median_s, rank.label("age")),
            FINDINGS,
            trace_id=trace_id,
            detector=detector,
            workflow=workflow,
            severity=severity,
            since_unix_ns=since_unix_ns,
        ).subquery()
        order = (wanted.c.severity_rank, func.coalesce(wanted.c.saving_median_s, 0).desc())
        return self._documents(select(wanted.c.document).where(wanted.c.age == 1).order_by(*order).limit(limit))

    def endings(self, since_unix_ns: int) -> list[Ending]:
        """Return how the executions ended that were stored since a moment, oldest first."""
        with self._connected() as connection:
            return list(endings(connection, since_unix_ns))

    def verdicts(self, trace_ids: Iterable[str]) -> dict[str, Verdict]:
        """Return what came out of the analysis of traces; those of which nothing is stored are left out."""
        with self._connected() as connection:
            return {k: v for some in _chunks(trace_ids) for k, v in verdicts(connection, some).items()}

    def agents(self, *, workflow: str | None = None, since_unix_ns: int | None = None) -> list[dict[str, Any]]:
        """Sum up what each agent did, busiest first."""
        sums = [
            func.sum(AGENTS.c[name]).label(name)
            for name in ("calls", "busy_s", "wait_s", "input_tokens", "output_tokens", "errors")
        ]
        columns = [AGENTS.c.name, *sums, func.count().label("executions")]
        statement = _where(select(*columns), AGENTS, workflow=workflow, since_unix_ns=since_unix_ns)
        with self._engine.connect() as connection:
            rows = connection.execute(statement.group_by(AGENTS.c.name).order_by(func.sum(AGENTS.c.busy_s).desc()))
            return [dict(row._mapping) for row in rows]  # noqa: SLF001 - SQLAlchemy's public name for it

    def sketch(self, workflow: str, *, kind: str, name: str, since_unix_ns: int = 0) -> Sketch:
        """Merge the hourly sketches of the durations (seconds) of one phase, agent, tool or model."""
        statement = select(SKETCHES.c.sketch).where(
            SKETCHES.c.workflow == workflow,
            SKETCHES.c.kind == kind,
            SKETCHES.c.name == name,
            SKETCHES.c.hour_unix_s >= _hour_unix_s(since_unix_ns),
        )
        merged = Sketch()
        with self._engine.connect() as connection:
            for stored in connection.execute(statement).scalars():
                merged = merged.merge(Sketch.from_dict(stored))
        return merged

    def sketches(self, *, kind: str, workflow: str | None = None) -> dict[str, Sketch]:
        """Merge the sketches of the durations (seconds) of everything of one kind, by its name."""
        statement = select(SKETCHES.c.name, SKETCHES.c.sketch).where(SKETCHES.c.kind == kind)
        if workflow:
            statement = statement.where(SKETCHES.c.workflow == workflow)
        merged: dict[str, Sketch] = {}
        with self._engine.connect() as connection:
            for name, stored in connection.execute(statement):
                merged[name] = merged.get(name, Sketch()).merge(Sketch.from_dict(stored))
        return merged

    def _documents(self, statement: Select[Any]) -> list[Document]:
        with self._engine.connect() as connection:
            return list(connection.execute(statement).scalars())


def _where(statement: Select[Any], table: Table, *, since_unix_ns: int | None, **equal: str | None) -> Select[Any]:
    conditions: list[ColumnElement[bool]] = [table.c[name] == value for name, value in equal.items() if value]
    if since_unix_ns is not None:
        conditions.append(table.c.start_unix_ns >= since_unix_ns)
    return statement.where(*conditions)


def _stored_versions(connection: Connection, trace_ids: Iterable[str]) -> dict[str, tuple[int, int]]:
    """Return version and number of spans of those that are stored."""
    stored: dict[str, tuple[int, int]] = {}
    for some in _chunks(trace_ids):
        statement = select(EXECUTIONS.c.trace_id, EXECUTIONS.c.version, EXECUTIONS.c.span_count)
        for row in connection.execute(statement.where(EXECUTIONS.c.trace_id.in_(some))):
            stored[row.trace_id] = (row.version, row.span_count)
    return stored


def _homes(connection: Connection, trace_ids: Iterable[str]) -> dict[str, str]:
    """Return which executions traces are part of, of those that are known by another trace."""
    homes: dict[str, str] = {}
    for some in _chunks(trace_ids):
        found = connection.execute(select(TRACES.c.trace_id, TRACES.c.execution_id).where(TRACES.c.trace_id.in_(some)))
        homes.update((row.trace_id, row.execution_id) for row in found)
    return homes


def _is_outdated(execution: Execution, stored: Mapping[str, tuple[int, int]], homes: Mapping[str, str]) -> bool:
    offered = (execution.version, len(execution.operations))
    home = homes.get(execution.trace_id)
    return max(stored.get(execution.trace_id, (0, 0)), stored.get(home or "", (0, 0))) > offered


def _trace_ids(executions: Iterable[Execution]) -> set[str]:
    return {trace_id for execution in executions for trace_id in execution.trace_ids}


def _chunks(trace_ids: Iterable[str]) -> Iterator[Sequence[str]]:
    ordered = list(trace_ids)
    return (ordered[start : start + _MAX_PARAMETERS] for start in range(0, len(ordered), _MAX_PARAMETERS))


def _replace(connection: Connection, rows: Collection[Analysed], stored: Iterable[str], now_unix_ns: int) -> None:
    # Findings, agents and traces go with the execution: ON DELETE CASCADE.
    for some in _chunks(stored):
        connection.execute(delete(EXECUTIONS).where(EXECUTIONS.c.trace_id.in_(some)))
    others = {each: one.execution.trace_id for one in rows for each in one.execution.trace_ids[1:]}
    for some in _chunks(others):
        connection.execute(delete(TRACES).where(TRACES.c.trace_id.in_(some)))
    executions, findings, agents = [], [], []
    for one in rows:
        of_trace = _of_trace(one.execution)
        executions.append({**of_trace, **_execution_row(one), "stored_unix_ns": now_unix_ns})
        findings += [{**of_trace, **_finding_row(finding, document)} for finding, document in one.findings]
        agents += [{**of_trace, **{name: getattr(agent, name) for name in _AGENT_COLUMNS}} for agent in one.agents]
    traces = [{"trace_id": each, "execution_id": home} for each, home in others.items()]
    for table, values in ((EXECUTIONS, executions), (TRACES, traces), (FINDINGS, findings), (AGENTS, agents)):
        if values:
            connection.execute(insert(table), values)


def _of_trace(execution: Execution) -> dict[str, Any]:
    return {"trace_id": execution.trace_id, "workflow": execution.workflow, "start_unix_ns": execution.start_ns}


def _execution_row(analysed: Analysed) -> dict[str, Any]:
    execution = analysed.execution
    return {
        "version": execution.version,
        "status": execution.status.value,
        "duration_ns": execution.duration_ns,
        "span_count": len(execution.operations),
        "finding_count": len(analysed.findings),
        "last_offset": analysed.last_offset,
        "document": analysed.document,
    }


def _finding_row(finding: Finding, document: Document) -> dict[str, Any]:
    return {
        "fingerprint": finding.fingerprint,
        "detector": finding.detector,
        "severity": finding.severity.value,
        "severity_rank": finding.severity.rank,
        "subject_kind": finding.subject.kind.value,
        "subject_name": finding.subject.name,
        "saving_median_s": finding.saving.median_s if finding.saving else None,
        "document": document,
    }


def _add_samples(connection: Connection, samples: Sequence[tuple[Execution, Sample]], now_unix_ns: int) -> None:
    durations: dict[tuple[str, str, str, int], list[float]] = defaultdict(list)
    for execution, sample in samples:
        key = (execution.workflow, sample.kind, sample.name, _hour_unix_s(execution.start_ns))
        durations[key].append(sample.duration_s)
    for (workflow, kind, name, hour_unix_s), values in durations.items():
        row = {"workflow": workflow, "kind": kind, "name": name, "hour_unix_s": hour_unix_s}
        same = [SKETCHES.c[column] == value for column, value in row.items()]
        stored = connection.execute(select(SKETCHES.c.sketch).where(*same)).scalar_one_or_none()
        sketch = Sketch.from_dict(stored) if stored else Sketch()
        for value in values:
            sketch.add(value)
        changed = {"sketch": sketch.to_dict(), "stored_unix_ns": now_unix_ns}
        if stored:
            connection.execute(update(SKETCHES).where(*same).values(**changed))
        else:
            connection.execute(insert(SKETCHES).values(**row, **changed))


def _set_position(connection: Connection, consumer: str, position: Position) -> None:
    values = {"log_id": position.log_id, "position": position.offset}
    changed = connection.execute(update(CURSORS).where(CURSORS.c.consumer == consumer).values(**values)).rowcount
    if not changed:
        connection.execute(insert(CURSORS).values(consumer=consumer, **values))


def _hour_unix_s(moment_unix_ns: int) -> int:
    return moment_unix_ns // _HOUR_NS * 3600
