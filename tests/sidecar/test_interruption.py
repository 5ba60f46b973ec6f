from dataclasses import replace

from otel_wfperf.assembly import Assembler
from otel_wfperf.model import ExecutionStatus
from otel_wfperf.sidecar.analyzer import Analyzer
from otel_wfperf.sidecar.interruption import compared, cut_short
from otel_wfperf.sidecar.live import LiveView
from tests.assembly.operations import assembled, op
from tests.sidecar.test_live import RUN, SECOND_NS

KILLED = "killed by signal 15"


def test_a_run_that_was_only_announced_is_an_incomplete_one() -> None:
    view = LiveView()
    analyzer = Analyzer(Assembler(), window=20, live=view)
    # A start of zero would be no start.
    view.heard([replace(each, start_ns=SECOND_NS) for each in RUN], now_ns=SECOND_NS)

    [one] = analyzer.flush_ended(KILLED, now_ns=4 * SECOND_NS)

    execution = one.execution
    assert (execution.workflow, execution.status, execution.duration_ns) == (
        "w",
        ExecutionStatus.INCOMPLETE,
        3 * SECOND_NS,
    )
    assert execution.cut_short == "killed by signal 15 in llm m"
    assert view.open() == ()


def test_names_a_few_of_what_ran_at_once() -> None:
    run = assembled(op("r", None, 0, None), *(op(f"a{number}", "r", 1, None) for number in range(5)))

    cut = cut_short(run, {each.span_id for each in run.operations}, KILLED)

    assert cut.cut_short is not None
    assert cut.cut_short.startswith(f"{KILLED} in ")
    assert cut.cut_short.endswith(" and 2 more")


def test_says_nothing_of_a_run_whose_root_has_ended() -> None:
    run = assembled(op("r", None, 0, 20), op("a", "r", 1, None))

    assert cut_short(run, {"a"}, KILLED) is run


def test_is_compared_where_there_is_no_whole_run() -> None:
    run = assembled(op("r", None, 0, None), op("a", "r", 1, None))
    cut = replace(run, trace_id="cut", cut_short=KILLED)

    assert compared([run, cut]) == [run]
    assert compared([cut]) == [cut]
