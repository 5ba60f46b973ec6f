from typing import Any

import pytest

from otel_wfperf.analysis.attempts import MAX_PAUSE_NS, Identity, Request, requests, retried
from otel_wfperf.model import Execution
from tests.detectors.builders import MS, Run


def tools(*outcomes: str | None, gap_ms: float = 100, **fields: Any) -> Execution:
    """Build calls of one tool, one after another; an outcome is its error, None = success."""
    run = Run()
    for at, error in enumerate(outcomes):
        run.tool("fetch", at * (400 + gap_ms), 400, error=error, **fields)
    return run.build()


def shape(found: tuple[Request, ...]) -> list[tuple[int, bool]]:
    return [(each.tries, each.is_made_good) for each in found]


@pytest.mark.parametrize(
    ("fields", "identity"),
    [
        ({"task": "fetch:1", "input_hash": "x"}, Identity.TASK),
        ({"input_hash": "x"}, Identity.INPUT),
        ({}, Identity.ORDER),
    ],
)
def test_tries_end_with_the_first_success(fields: dict[str, Any], identity: Identity) -> None:
    found = requests(tools("Reset", "Reset", None, None, "Reset", **fields))

    assert shape(found) == [(3, True), (1, True), (1, False)]
    assert {each.identity for each in found} == {identity}


def test_numbers_tell_where_a_new_request_begins() -> None:
    run = Run()
    for at, attempt in enumerate((1, 2, 1, 2, 3)):
        run.tool("fetch", 500 * at, 400, error="Reset", attempt=attempt)

    found = requests(run.build())
    assert shape(found) == [(2, False), (3, False)]
    assert {each.identity for each in found} == {Identity.NUMBER}


def test_names_alone_need_nothing_between() -> None:
    run = Run()
    for at, name in enumerate(("fetch", "parse", "fetch")):
        run.tool(name, 500 * at, 400, error="Reset")

    assert shape(requests(run.build())) == [(1, False)] * 3


def test_known_inputs_find_each_other_among_other_calls() -> None:
    run = Run()
    for at, given in enumerate(("a", "b", "a", "b")):
        run.tool("fetch", 500 * at, 400, input_hash=given, error="Reset" if at < 2 else None)

    assert shape(requests(run.build())) == [(2, True), (2, True)]


def test_pauses_between_tries_belong_to_them() -> None:
    run = Run()
    run.tool("fetch", 0, 400, error="Reset", input_hash="x")
    run.wait("retry_backoff", 400, 100)
    run.wait("queue", 420, 50)
    run.tool("fetch", 500, 400, input_hash="x")

    [found] = requests(run.build())
    assert [each.name for each in found.waits] == ["retry_backoff"]


def test_tries_that_lie_too_far_apart_are_not_of_one_request() -> None:
    longest_ms = MAX_PAUSE_NS / MS

    assert shape(requests(tools("Reset", None, gap_ms=longest_ms, input_hash="x"))) == [(2, True)]
    assert shape(requests(tools("Reset", None, gap_ms=longest_ms + 1, input_hash="x"))) == [(1, False), (1, True)]


def test_an_answer_of_a_model_between_makes_it_another_request() -> None:
    run = Run()
    run.tool("fetch", 0, 400, error="Reset", input_hash="x")
    run.llm(400, 100)
    run.tool("fetch", 500, 400, input_hash="x")

    assert [each.tries for each in requests(run.build())] == [1, 1, 1]


def test_spans_of_the_user_are_tried_like_steps_and_parts_of_frameworks_are_not() -> None:
    run = Run()
    run.add_other("load", 0, 400, outside=True, error="Reset")
    run.add_other("load", 500, 400, outside=True)
    run.add_other("turn", 1000, 400, error="Reset")

    assert shape(requests(run.build())) == [(2, True)]


def test_many_calls_at_once_that_all_fail_cost_linear_time() -> None:
    run = Run()
    for at in range(5_000):
        run.tool("fetch", at * 0.001, 1000, error="Reset", input_hash="x")

    assert len(requests(run.build())) == 5_000


def test_only_what_was_tried_again_is_retried() -> None:
    assert [each.tries for each in retried(tools("Reset", None, None))] == [2]


def test_a_failure_alone_is_not_retried() -> None:
    assert retried(tools(None, "Reset")) == ()
    assert retried(tools(None, None)) == ()
