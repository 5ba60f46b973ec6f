from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import create_engine, inspect, text

from otel_wfperf.model import (
    Confidence,
    Execution,
    ExecutionStatus,
    Finding,
    Operation,
    OperationKind,
    Saving,
    Severity,
    Subject,
    SubjectKind,
)
from otel_wfperf.store import (
    AgentRow,
    Analysed,
    Limits,
    Position,
    Sample,
    Store,
    StoreDamagedError,
    StoreUnavailableError,
)
from otel_wfperf.store.migration import migrate
from otel_wfperf.store.tables import METADATA

HOUR_NS = 3_600_000_000_000
HERE = Position(log_id="a" * 32, offset=1)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(f"sqlite:///{tmp_path / 'store.sqlite'}")
    yield opened
    opened.close()


def execution(
    trace: int, *, workflow: str = "research", version: int = 1, spans: int = 1, status: str = "ok", start_ns: int = 0
) -> Execution:
    trace_id = f"{trace:032x}"
    operations = tuple(
        Operation(
            trace_id=trace_id,
            span_id=f"{span:016x}",
            parent_id="0" * 15 + "1" if span > 1 else None,
            kind=OperationKind.WORKFLOW,
            start_ns=start_ns,
            end_ns=start_ns + 2_000_000_000,
        )
        for span in range(1, spans + 1)
    )
    return Execution(
        trace_id=trace_id,
        workflow=workflow,
        root_id=operations[0].span_id,
        operations=operations,
        status=ExecutionStatus(status),
        version=version,
    )


def finding(
    *,
    detector: str = "n_plus_one",
    severity: Severity = Severity.HIGH,
    saving_s: float | None = 1.0,
    name: str = "search",
) -> Finding:
    return Finding(
        detector=detector,
        severity=severity,
        confidence=Confidence.OBSERVED,
        workflow="research",
        subject=Subject(kind=SubjectKind.TOOL, name=name),
        trace_ids=(),
        span_ids=(),
        summary="s",
        recommendation="r",
        saving=None if saving_s is None else Saving(median_s=saving_s, low_s=saving_s, high_s=saving_s),
    )


def analysed(of: Execution, *findings: Finding, last_offset: int = 1, agents: tuple[AgentRow, ...] = ()) -> Analysed:
    return Analysed(
        execution=of,
        last_offset=last_offset,
        document={"trace_id": of.trace_id, "version": of.version},
        findings=tuple((one, {"trace_id": of.trace_id, "detector": one.detector}) for one in findings),
        agents=agents,
        samples=(Sample(kind="workflow", name=of.workflow, duration_s=of.duration_ns / 1e9),),
    )


def save(store: Store, *rows: Analysed, position: Position = HERE, now_unix_ns: int = 0) -> None:
    store.save(rows, consumer="analyzer", position=position, now_unix_ns=now_unix_ns)


def trace_ids(store: Store, **wanted: str) -> list[int]:
    return [int(document["trace_id"], 16) for document in store.executions(**wanted)]  # type: ignore[arg-type]


def test_migrations_make_the_tables_from_nothing_and_are_repeatable(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'store.sqlite'}")
    migrate(engine)
    migrate(engine)

    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
        assert set(inspect(connection).get_table_names()) == {*METADATA.tables, "alembic_version"}
    engine.dispose()


def test_a_migration_that_was_cut_short_is_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As by a kill at the first start: DDL must be part of the transaction."""
    url = f"sqlite:///{tmp_path / 'store.sqlite'}"
    create_index = Operations.create_index

    def cut_short(*_arguments: object, **_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Operations, "create_index", cut_short)
    with pytest.raises(KeyboardInterrupt):
        Store.open(url)
    monkeypatch.setattr(Operations, "create_index", create_index)

    Store.open(url).close()


def test_says_when_the_file_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "store.sqlite").write_bytes(b"no database" * 1000)

    with pytest.raises(StoreDamagedError, match="no database any more"):
        Store.open(f"sqlite:///{tmp_path / 'store.sqlite'}")


def test_tells_a_database_that_fails_from_a_row_that_it_refuses(store: Store, tmp_path: Path) -> None:
    with pytest.raises(OverflowError):
        save(store, analysed(execution(1, start_ns=2**64)))
    with create_engine(f"sqlite:///{tmp_path / 'store.sqlite'}").begin() as connection:
        connection.execute(text("DROP TABLE cursors"))

    with pytest.raises(StoreUnavailableError, match="no such table"):
        save(store, analysed(execution(1)))


def test_lists_executions_newest_first_and_filters_them(store: Store) -> None:
    save(
        store,
        analysed(execution(1, start_ns=1)),
        analysed(execution(2, start_ns=2, status="error")),
        analysed(execution(3, start_ns=3, workflow="other")),
    )

    assert trace_ids(store) == [3, 2, 1]
    assert trace_ids(store, workflow="research") == [2, 1]
    assert trace_ids(store, status="error") == [2]
    assert [d["trace_id"] for d in store.executions(since_unix_ns=2, limit=1)] == [f"{3:032x}"]


def test_shows_one_execution(store: Store) -> None:
    save(store, analysed(execution(1)))

    assert store.execution(f"{1:032x}") == {"trace_id": f"{1:032x}", "version": 1}
    assert store.execution("unknown") is None


def test_a_newer_version_replaces_the_execution_and_its_findings(store: Store) -> None:
    agent = AgentRow(name="writer", calls=1, busy_s=1, wait_s=0, input_tokens=1, output_tokens=1, errors=0)
    save(store, analysed(execution(1), finding(), agents=(agent,)))
    save(store, analysed(execution(1, version=2), finding(detector="other"), agents=(agent,)))

    assert store.executions() == [{"trace_id": f"{1:032x}", "version": 2}]
    assert [document["detector"] for document in store.findings()] == ["other"]
    assert store.agents()[0]["calls"] == 1
    assert store.sketch("research", kind="workflow", name="research").count == 1


def test_saving_the_same_again_changes_nothing(store: Store) -> None:
    for _ in range(2):
        save(store, analysed(execution(1), finding()))

    assert (len(store.executions()), len(store.findings())) == (1, 1)
    assert store.sketch("research", kind="workflow", name="research").count == 1


def test_knows_what_would_replace_something_better(store: Store) -> None:
    save(store, analysed(execution(1, version=2, spans=3)))

    worse = [execution(1, version=1, spans=9), execution(1, version=2, spans=2)]
    better = [execution(1, version=2, spans=3), execution(1, version=3), execution(2)]
    assert [bool(store.outdated([one])) for one in worse + better] == [True, True, False, False, False]


def test_stores_results_and_position_together_or_not_at_all(store: Store) -> None:
    save(store, analysed(execution(1)), position=Position(log_id="log", offset=5))
    broken = analysed(execution(2), finding(), finding())
    with pytest.raises(Exception, match="UNIQUE"):
        save(store, broken, position=Position(log_id="log", offset=9))

    assert store.position("analyzer") == Position(log_id="log", offset=5)
    assert trace_ids(store) == [1]
    assert store.position("nobody") is None


def test_lists_each_cause_once_worst_first(store: Store) -> None:
    save(
        store,
        analysed(execution(1, start_ns=1), finding(), finding(detector="small", severity=Severity.LOW, saving_s=None)),
        analysed(execution(2, start_ns=2), finding(), finding(detector="large", saving_s=9)),
    )

    found = [(document["detector"], int(document["trace_id"], 16)) for document in store.findings()]
    assert found == [("large", 2), ("n_plus_one", 2), ("small", 1)]
    assert [document["detector"] for document in store.findings(severity="low")] == ["small"]
    assert [document["detector"] for document in store.findings(detector="large", workflow="research")] == ["large"]
    assert len(store.findings(trace_id=f"{1:032x}")) == 2
    assert len(store.findings(limit=1)) == 1


def test_sums_up_agents_busiest_first(store: Store) -> None:
    writer = AgentRow(name="writer", calls=2, busy_s=1, wait_s=0.5, input_tokens=10, output_tokens=5, errors=1)
    critic = AgentRow(name="critic", calls=1, busy_s=9, wait_s=0, input_tokens=1, output_tokens=1, errors=0)
    save(store, analysed(execution(1), agents=(writer,)), analysed(execution(2), agents=(writer, critic)))

    assert store.agents()[1] == {
        "name": "writer",
        "calls": 4,
        "busy_s": 2.0,
        "wait_s": 1.0,
        "input_tokens": 20,
        "output_tokens": 10,
        "errors": 2,
        "executions": 2,
    }
    assert [agent["name"] for agent in store.agents(workflow="research")] == ["critic", "writer"]


def test_merges_hourly_sketches(store: Store) -> None:
    save(store, *(analysed(execution(trace, start_ns=trace * HOUR_NS)) for trace in range(4)))

    assert store.sketch("research", kind="workflow", name="research").quantile(0.5) == pytest.approx(2.0, rel=0.01)
    assert store.sketch("research", kind="workflow", name="research", since_unix_ns=3 * HOUR_NS).count == 1


def test_trims_by_age_in_the_store_and_by_count(store: Store) -> None:
    for trace in range(6):
        save(store, analysed(execution(trace, start_ns=trace * HOUR_NS), finding()), now_unix_ns=trace)

    assert store.trim(Limits(oldest_unix_ns=2, max_executions=100)) == 2
    assert store.trim(Limits(oldest_unix_ns=0, max_executions=3)) == 1
    assert trace_ids(store) == [5, 4, 3]
    assert store.findings(trace_id=f"{0:032x}") == []
    assert store.sketch("research", kind="workflow", name="research").count == 4


def test_remembers_which_executions_hold_records_past_an_offset(store: Store) -> None:
    save(store, analysed(execution(1), last_offset=3), analysed(execution(2), last_offset=8))

    assert store.analysed_after(3) == {f"{2:032x}": 8}
    store.forget_offsets()
    assert store.analysed_after(0) == {}


def test_remembers_all_traces_of_an_execution_and_reads_those_of_before_there_were_several(store: Store) -> None:
    trace_ids = [f"{1:032x}", f"{7:032x}"]
    stitched = replace(analysed(execution(1), last_offset=3), document={"trace_ids": trace_ids})
    save(store, stitched, analysed(execution(2), last_offset=5))

    assert store.analysed_after(0) == {**dict.fromkeys(trace_ids, 3), f"{2:032x}": 5}


def stitched(*traces: int, version: int = 1, spans: int = 1) -> Execution:
    """Build an execution that came in several traces."""
    trace_ids = tuple(f"{trace:032x}" for trace in traces)
    return replace(execution(traces[0], version=version, spans=spans), trace_ids=trace_ids)


def home(store: Store, trace: int) -> int | None:
    document = store.execution(f"{trace:032x}")
    return None if document is None else int(document["trace_id"], 16)


def test_each_trace_of_an_execution_leads_to_it(store: Store) -> None:
    save(store, analysed(stitched(1, 5, 6), finding()), analysed(execution(2)))

    assert [home(store, trace) for trace in (1, 2, 5, 6, 7)] == [1, 2, 1, 1, None]
    store.trim(Limits(oldest_unix_ns=1, max_executions=100))
    assert [home(store, trace) for trace in (1, 5, 6)] == [None, None, None]


def test_an_execution_takes_the_place_of_its_parts(store: Store) -> None:
    save(store, analysed(execution(1)), analysed(execution(5), finding()), analysed(execution(2)))
    save(store, analysed(stitched(1, 5, 9, version=2)))

    assert sorted(trace_ids(store)) == [1, 2]
    assert store.findings() == []
    assert [home(store, trace) for trace in (1, 5, 9)] == [1, 1, 1]
    assert store.sketch("research", kind="workflow", name="research").count == 3
    save(store, analysed(stitched(8, 9)))  # whatever made it so: it is not refused
    assert [home(store, trace) for trace in (5, 9)] == [1, 8]


def test_late_spans_of_one_trace_do_not_take_the_place_of_the_whole(store: Store) -> None:
    save(store, analysed(stitched(1, 5, version=2, spans=4)))

    late, merged = execution(5, spans=2), stitched(5, 1, version=3, spans=9)
    assert (store.outdated([late]), store.outdated([merged])) == (frozenset({late.trace_id}), frozenset())


def test_what_was_stored_before_is_found_by_each_trace_after_the_migration(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'store.sqlite'}"
    store = Store.open(url)
    ids = [f"{trace:032x}" for trace in (1, 5)]
    save(
        store, replace(analysed(execution(1)), document={"trace_id": ids[0], "trace_ids": ids}), analysed(execution(2))
    )
    store.close()
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE traces"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    engine.dispose()

    store = Store.open(url)
    assert [home(store, trace) for trace in (1, 2, 5)] == [1, 2, 1]
    store.close()
