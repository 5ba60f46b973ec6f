from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from otel_wfperf.model import ExecutionStatus, Severity
from otel_wfperf.store import Store, Verdict
from tests.store.test_store import analysed, execution, finding, save


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(f"sqlite:///{tmp_path / 'store.sqlite'}", fsync=False)
    yield opened
    opened.close()


def test_tells_the_status_and_the_worst_finding_of_an_execution(store: Store) -> None:
    low, high = (finding(severity=severity, name=severity) for severity in (Severity.LOW, Severity.HIGH))
    save(store, analysed(execution(1), low, high), analysed(execution(2, status="error")))

    assert store.verdicts(f"{number:032x}" for number in (1, 2, 3)) == {
        f"{1:032x}": Verdict(status=ExecutionStatus.OK, severity=Severity.HIGH),
        f"{2:032x}": Verdict(status=ExecutionStatus.ERROR, severity=None),
    }


def test_every_trace_of_an_execution_leads_to_its_verdict(store: Store) -> None:
    other = f"{9:032x}"
    whole = replace(execution(1), trace_ids=(f"{1:032x}", other))
    save(store, analysed(whole, finding()))

    verdicts = store.verdicts([f"{1:032x}", other])

    assert verdicts[other] == verdicts[f"{1:032x}"] == Verdict(status=ExecutionStatus.OK, severity=Severity.HIGH)


def test_many_traces_are_looked_up_at_once(store: Store) -> None:
    save(store, *(analysed(execution(number)) for number in range(1, 1301)))

    assert len(store.verdicts(f"{number:032x}" for number in range(1, 2000))) == 1300


def test_tells_which_executions_no_detector_looked_at(store: Store) -> None:
    documents = {1: {"compared": True}, 2: {"compared": False}, 3: {}}
    save(store, *(replace(analysed(execution(number)), document=each) for number, each in documents.items()))

    verdicts = store.verdicts(f"{number:032x}" for number in documents)

    assert [verdict.compared for verdict in verdicts.values()] == [True, False, True]
