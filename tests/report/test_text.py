from dataclasses import replace

import pytest

from otel_wfperf.model import Adjustment, OperationKind, Remove, Severity
from otel_wfperf.report.columns import width
from otel_wfperf.report.text import ASCII, MAX_ROWS, UNICODE, Page, render
from tests.report.runs import TRACE_ID, blocking, execution, finding, operation, research, skewed


def test_a_report_reads_like_this() -> None:
    assert render([research()], [finding()]) == (
        "research: 1 run, ok, 6.00 s\n"
        "  2 LLM calls, 590 tokens in, 79 tokens out, 1 operation failed\n"
        "  Not recorded, so not judged: content of calls\n"
        "\n"
        "  The run, trace 5f5f5f5f                     0 s                                 6.00 s\n"
        "  research                          workflow │██████████████████████████████████████████│    6.00 s\n"
        "    planner                         phase    │███████                                   │    1.00 s\n"
        "      small                         llm      │███████                                   │    1.00 s\n"
        "    fetch                           phase    │       █████████████████                  │    2.50 s\n"
        f"      load {UNICODE.times}3 !                     tool     │       █████████████████                  │"
        "    2.40 s\n"
        "    aside                           phase    │       ░░░                                │    500 ms\n"
        "    slots                           wait     │                        ~~~~              │    500 ms\n"
        "    writer                          phase    │                            ██████████████│    2.00 s\n"
        "      large                         llm      │                            █████████████ │    1.90 s\n"
        "  █ critical path: the run waited for it; ░ in parallel; ~ waiting\n"
        "\n"
        "  1 finding\n"
        "  1. HIGH missed_parallelism, phase fetch\n"
        "     3 independent calls of 'load' run one after another\n"
        "     saves about 1.60 s per run, 27 % of it (90 % interval: 1.50 s to 1.70 s); confidence: proven\n"
        "     → Run them at once.\n"
    )


def test_says_so_when_there_is_nothing() -> None:
    assert render([], []) == "No workflow executions found.\n"
    assert "No findings: no detector has evidence" in render([research()], [])
    assert "Most of the time: fetch 42 %, writer 33 %, planner 17 %." in render([research()], [])


def test_names_what_could_not_be_read() -> None:
    assert render([], [], ["a.json: is not JSON"]).endswith("not read: a.json: is not JSON\n")


def test_one_finding_too_many_is_shown_rather_than_announced() -> None:
    shown = render([research()], [finding(detector=f"rule_{number}") for number in range(4)])

    assert "4. HIGH rule_3" in shown
    assert "more finding" not in shown


def test_shows_three_findings_and_names_the_others() -> None:
    findings = [finding(detector=f"rule_{number}") for number in range(5)]
    written = render([research()], findings)

    assert "  3. HIGH rule_2, phase fetch" in written
    assert "  4. HIGH" not in written
    assert "... and 2 more findings in the JSON or HTML report: rule_3, phase fetch; rule_4, phase fetch" in written


@pytest.mark.parametrize("columns", [60, 80, 100, 160])
@pytest.mark.parametrize("name", ["plain", "x" * 300, "検索エージェント" * 20, "\x1b[2J\nnew\tline"])
def test_no_line_is_longer_than_the_page(columns: int, name: str) -> None:
    deep = [operation(f"d{n}", f"d{n - 1}" if n else "run", 0, 1000, name=name) for n in range(40)]
    run = execution(
        operation("run", None, 0, 1000, name=name),
        *deep,
        workflow=name,
        adjustments=(Adjustment(adjuster="clock_skew", span_ids=(), detail=name),),
    )
    found = finding(workflow=name, summary=f"{name} " * 9, recommendation=name)
    written = render([run, run], [found], [name], page=Page(columns=columns))

    assert max(width(line) for line in written.splitlines()) <= columns
    assert not any(ord(character) < 32 for character in written.replace("\n", ""))


def test_a_large_run_is_cut_to_the_most_important_rows() -> None:
    calls = [operation(f"c{n}", "run", n, n + 1, name=f"c{n}", kind=OperationKind.TOOL) for n in range(100)]
    written = render([execution(operation("run", None, 0, 100), *calls)], [])

    assert sum("│" in line for line in written.splitlines()) == MAX_ROWS
    assert f"... and {101 - MAX_ROWS} more operations in the HTML report" in written


def test_ascii_is_enough() -> None:
    written = render([research()], [finding()], page=Page(columns=72, marks=ASCII))

    assert written.isascii()
    assert "  research                 workflow |#######################|    6.00 s\n" in written
    assert "     -> Run them at once.\n" in written


def test_shows_three_workflows_and_counts_the_others() -> None:
    runs = [execution(operation("run", None, 0, 10), workflow=f"workflow {number}") for number in range(5)]
    written = render(runs, [finding(workflow="workflow 4", severity=Severity.CRITICAL)])

    assert written.startswith("workflow 4: 1 run")
    assert "... and 2 more workflows in the JSON or HTML report" in written


def test_notes_come_last() -> None:
    written = render([skewed()], [finding()])
    assert written.endswith(
        "\n  Notes\n"
        "  - clock_skew: moved the spans of host b by 12 ms\n"
        "  - 1 run with missing spans; least complete: 90 %\n"
    )


def test_says_who_used_the_cpu_and_blocked_the_event_loop() -> None:
    assert render([blocking()], []).splitlines()[:3] == [
        "research: 1 run, ok, 1.00 s",
        "  no LLM calls recorded",
        "  CPU time: writer 100 ms; the event loop was blocked by writer for 300 ms",
    ]


def test_says_what_all_findings_save_together() -> None:
    found = [
        finding(detector=f"rule_{number}", changes={TRACE_ID: (Remove(frozenset(span_ids)),)})
        for number, span_ids in enumerate((("t1", "t2"), ("t2", "t3")))
    ]
    said = "  all findings together: saves about 2.00 s of 6.00 s per run, 33 %\n"

    assert said in render([research()], found)
    assert said.replace("all", "2 of 3") in render([research()], [*found, finding()])
    assert "together" not in render([research()], found[:1])
    assert "together" not in render([research()], [finding(), finding()])


def test_one_operation_more_than_fits_is_shown() -> None:
    def lines(steps: int) -> list[str]:
        tools = (operation(f"t{number}", "run", number, number + 1, kind=OperationKind.TOOL) for number in range(steps))
        run = execution(operation("run", None, 0, steps, kind=OperationKind.WORKFLOW), *tools)
        return render([run], []).splitlines()

    assert not any("more operation" in line for line in lines(MAX_ROWS))
    assert "  ... and 2 more operations in the HTML report" in lines(MAX_ROWS + 1)


def test_short_times_have_the_micro_sign_where_it_can_be_shown() -> None:
    run = execution(operation("run", None, 0, 1))
    short = execution(replace(run.root, end_ns=run.root.start_ns + 850_000))

    assert ", 850 \N{MICRO SIGN}s\n" in render([short], [])
    assert ", 850 us\n" in render([short], [], page=Page(marks=ASCII))
