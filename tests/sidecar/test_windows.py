from dataclasses import replace

from otel_wfperf.sidecar.windows import Windows
from tests.sidecar.executions import execution


def test_keeps_the_newest_executions_of_each_workflow() -> None:
    windows = Windows(2)
    for trace in (1, 2, 3):
        windows.add(execution(trace))
    windows.add(execution(4, workflow="other"))

    assert [int(one.trace_id, 16) for one in windows.of("research")] == [2, 3]
    assert [int(one.trace_id, 16) for one in windows.of("other")] == [4]
    assert windows.of("unknown") == ()
    assert windows.find(f"{1:032x}") is None
    assert windows.find(f"{4:032x}") == execution(4, workflow="other")


def test_a_newer_version_replaces_the_older_and_becomes_the_newest() -> None:
    windows = Windows(3)
    for trace in (1, 2):
        windows.add(execution(trace))
    windows.add(replace(execution(1), version=2))

    assert [(int(one.trace_id, 16), one.version) for one in windows.of("research")] == [(2, 1), (1, 2)]


def test_the_workflow_that_has_not_run_for_longest_makes_room() -> None:
    windows = Windows(10, max_operations=10)
    windows.add(execution(1, workflow="old", operations=4))
    windows.add(execution(2, operations=4))
    windows.add(execution(3, operations=4))
    assert windows.of("old") == ()

    windows.add(execution(4, operations=4))
    assert [int(one.trace_id, 16) for one in windows.of("research")] == [3, 4]


def test_an_execution_beyond_the_bound_is_kept_alone() -> None:
    windows = Windows(10, max_operations=10)
    windows.add(execution(1))
    windows.add(execution(2, operations=50))

    assert [int(one.trace_id, 16) for one in windows.of("research")] == [2]


def test_an_execution_is_found_by_each_of_its_traces_and_replaces_its_parts() -> None:
    windows = Windows(3)
    windows.add(execution(1, workflow="part"))
    windows.add(execution(2, workflow="another part"))
    ids = tuple(f"{trace:032x}" for trace in (2, 1, 7))
    whole = replace(execution(2), trace_ids=ids, version=2)
    windows.add(whole)

    assert [windows.find(trace_id) for trace_id in ids] == [whole] * 3
    assert windows.of("part") == windows.of("another part") == ()
    assert windows.of("research") == (whole,)
    for trace in (3, 4, 5):
        windows.add(execution(trace))
    assert [windows.find(trace_id) for trace_id in ids] == [None] * 3
