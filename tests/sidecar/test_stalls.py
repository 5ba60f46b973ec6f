from typing import Any

import pytest

from otel_wfperf.model import Operation, OperationKind
from otel_wfperf.sidecar.stalls import StallRule

SECOND_NS = 1_000_000_000
RULE = StallRule()


def reason(age_s: float, *, usual_s: float | None = None, still_s: float | None = None, **fields: Any) -> str | None:
    operation = Operation(
        trace_id="t", span_id="s", start_ns=0, end_ns=0, ended=False, name="m", **{"kind": OperationKind.LLM, **fields}
    )
    return RULE.reason(
        operation,
        lambda *_: None if usual_s is None else int(usual_s * SECOND_NS),
        workflow="w",
        age_ns=int(age_s * SECOND_NS),
        still_ns=None if still_s is None else int(still_s * SECOND_NS),
    )


def test_much_longer_than_usual_is_stalled() -> None:
    assert reason(91, usual_s=30) == "open for 1 min 31 s; 95 of 100 take at most 30.0 s"
    assert reason(89, usual_s=30, still_s=89) is None


def test_nothing_short_is_stalled_however_quick_it_usually_is() -> None:
    assert reason(29, usual_s=0.1) is None
    assert reason(31, usual_s=0.1) is not None


def test_where_nobody_knows_what_is_usual_standing_still_for_long_counts() -> None:
    assert reason(121, still_s=121) == "nothing in it has begun or ended for 2 min 01 s"
    assert reason(500, still_s=119) is None


def test_something_open_below_explains_why_nothing_changes() -> None:
    assert reason(500, still_s=None) is None


def test_waiting_for_a_person_takes_as_long_as_it_takes() -> None:
    wait = OperationKind.WAIT
    assert reason(9999, usual_s=1, kind=wait, wait_kind="human") is None
    assert reason(9999, usual_s=1, kind=wait, wait_kind="queue") is not None


@pytest.mark.parametrize(("silent_s", "is_lost"), [(29, False), (31, True)])
def test_a_process_that_says_nothing_more_is_lost(silent_s: int, *, is_lost: bool) -> None:
    assert (RULE.silence(silent_s * SECOND_NS) is not None) is is_lost
