"""The results as a page of documentation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from benchmarks.accuracy.judging import Ratio
from benchmarks.accuracy.results import MAX_DIALECT_GAP, MAX_ERRORS, MIN_COVERAGE, MIN_RATIO, Results
from benchmarks.accuracy.scenario import Kind
from benchmarks.accuracy.seeds import TUNING
from benchmarks.accuracy.service_times import times_of_models
from otel_wfperf.model import Severity

RECORDED = """## Recorded traces

Traces that others published (Langfuse's examples of Agno, AutoGen, BeeAI, Google ADK, LangGraph and OpenAI
Assistants, an evaluation of Inspect, examples of Zipkin and Jaeger) hold one run each. No finding in them is above
`low`; a test keeps it so.

| trace | finding | what the trace shows |
|---|---|---|
| Inspect, evaluation of a browser tool | `low` `context_bloat`, workflow `eval browser` | Five model calls; each \
sends all pages read before once more: 1,124 to 5,915 tokens, 9,394 of them sent again, none from the cache. \
Right, and `low` because reading so few tokens takes no time worth a change. |
"""


def page(results: Results, command: str) -> str:
    """Write the whole page in Markdown."""
    return "\n".join([*_head(command), *tables(results)]) + "\n"


def tables(results: Results) -> Iterator[str]:
    """Write the tables."""
    yield from _summary(results)
    yield from _detectors(results)
    yield from _dialects(results)
    yield from _healthy(results)
    yield from _calibration(results)
    yield from _savings(results)
    yield from _strengths(results)
    yield from _failures(results)
    yield RECORDED


def _head(command: str) -> Iterator[str]:
    yield f"""# How right the findings are

<!-- Made by `{command}`; do not edit. -->

Workflows with one planted fault each are executed by asyncio under a virtual clock, recorded by this package's
instrumentation, encoded, decoded, assembled and analysed by all detectors together, as the sidecar does it. Some cases
of each scenario are also written as other instrumentations would have written them. *Near misses* lie just under a
threshold of the rule; *look-alikes* are what is easily mistaken for the fault. Then the fault is repaired in the
workflow's code, and it is executed again with the same service times.

A positive counts as found when the detector names the right subject, above `info`. A detector's false findings are
those above `info` in its own near misses and look-alikes or with a wrong subject, and those above `low` in all other
cases; where a planted fault makes what another detector says true as well, that is left out of the count (a phase
that is slow also holds the critical path). Intervals are Wilson's, 95 %.

What it cannot show: faults that nobody thought of, and workflows unlike these. Judging seeds draw new times for the
same scenarios, which the authors of the detectors know; several scenarios were corrected after their first results
were seen. The strengths are those listed below; weaker faults are found less often. The repair is the change that the
finding advises (twice the capacity, a stop after the second turn, a phase of half the length): the error of a saving
is that of the prediction for this change, not of the choice of it. With few populations, 1.000 is compatible with
less than {MIN_RATIO}: see the intervals.
"""


def _summary(results: Results) -> Iterator[str]:
    executions = sum(each.case.runs for each in results.native)
    scenarios = len({each.case.scenario.name for each in results.native})
    yield f"{len(results.native):,} populations of {scenarios} scenarios, {executions:,} executions."
    yield f"Times of model calls: {times_of_models()}; of tools: log-normal."
    used, tuned = results.seeds.named(results.most_seeds), TUNING.named(results.most_seeds)
    if results.seeds is TUNING:
        yield f"These are the **{used}**, on which thresholds may be tuned: nothing is proven by them."
    else:
        yield f"Judged on the **{used}**, of which no case can be shown; thresholds were tuned on the {tuned}."
    yield ""


def _strengths(results: Results) -> Iterator[str]:
    """List what was planted, and how strongly."""
    yield "## What was planted"
    yield ""
    yield "| scenario | past the threshold | found |"
    yield "|---|---|---:|"
    positives = [each for each in results.native if each.case.scenario.kind is Kind.POSITIVE]
    for scenario in dict.fromkeys(each.case.scenario for each in positives):
        judged = [each for each in positives if each.case.scenario is scenario]
        found = sum(not each.is_missed for each in judged)
        yield _row([scenario.name, scenario.strength or "-", f"{found} of {len(judged)}"])
    yield ""


def _detectors(results: Results) -> Iterator[str]:
    yield "## Detectors"
    yield ""
    yield "| detector | positives | near misses | look-alikes | missed | false | precision | recall | F1 |"
    yield "|---|---:|---:|---:|---:|---:|---|---|---:|"
    for name, score in results.scores().items():
        kinds = Counter(each.case.scenario.kind for each in results.native if each.case.scenario.detector == name)
        counts = [kinds[Kind.POSITIVE], kinds[Kind.NEAR_MISS], kinds[Kind.LOOK_ALIKE], score.missed, score.false]
        f1 = "-" if score.f1 is None else f"{score.f1:.3f}"
        yield _row([f"`{name}`", *map(str, counts), _ratio(score.precision), _ratio(score.recall), f1])
    yield ""
    short = results.short_of()
    yield f"Below {MIN_RATIO:.2f}: {', '.join(f'`{name}`' for name in short) or 'none'}."
    yield ""


def _dialects(results: Results) -> Iterator[str]:
    yield "## Dialects"
    yield ""
    yield "Precision and recall where the dialect carries the evidence; in brackets our own dialect on the same cases."
    yield ""
    yield "| detector | dialect | positives | precision | recall | greatest difference |"
    yield "|---|---|---:|---|---|---:|"
    for gap in results.gaps():
        precision = f"{_value(gap.theirs.precision)} ({_value(gap.ours.precision)})"
        recall = f"{_value(gap.theirs.recall)} ({_value(gap.ours.recall)})"
        mark = " !" if gap.gap > MAX_DIALECT_GAP else ""
        count = str(gap.theirs.found + gap.theirs.missed)
        yield _row([f"`{gap.detector}`", gap.dialect, count, precision, recall, f"{gap.gap:.3f}{mark}"])
    yield ""


def _healthy(results: Results) -> Iterator[str]:
    shapes = len({each.case.scenario.name for each in results.healthy()})
    counts = ", ".join(f"{results.healthy_at_least(each)} {each} or above" for each in list(Severity)[1:-1])
    yield "## Healthy workflows"
    yield ""
    yield f"{results.healthy_executions():,} executions of {shapes} shapes, in all dialects. Findings: {counts}."
    yield ""


def _calibration(results: Results) -> Iterator[str]:
    yield "## Confidence labels"
    yield ""
    yield "| label | findings | right |"
    yield "|---|---:|---|"
    for label, ratio in results.calibration().items():
        yield _row([label, str(ratio.whole), _ratio(ratio)])
    yield ""


def _savings(results: Results) -> Iterator[str]:
    yield "## Predicted savings against the repaired workflow"
    yield ""
    yield "| label | workflows | median error | promised | 90th percentile | interval holds it |"
    yield "|---|---:|---:|---:|---:|---|"
    for each in results.savings():
        if each.median_error is not None:
            promised = f"{MAX_ERRORS[each.label]:.0%}" if each.label in MAX_ERRORS else "-"
            ninth = sorted(each.errors)[int(0.9 * (len(each.errors) - 1))]
            count = str(len(each.errors))
            yield _row([each.label, count, f"{each.median_error:.1%}", promised, f"{ninth:.1%}", _ratio(each.covered)])
    covered = Ratio(sum(each.is_covered for each in results.predictions), len(results.predictions))
    yield ""
    yield f"Intervals that hold what was saved: {_ratio(covered)}; promised {MIN_COVERAGE:.0%}."
    yield ""
    yield "| detector | workflows | median error | interval holds it |"
    yield "|---|---:|---:|---|"
    for detector in results.detectors:
        found = [each for each in results.predictions if each.detector == detector]
        if found:
            errors = sorted(each.error_ratio for each in found)
            holds = Ratio(sum(each.is_covered for each in found), len(found))
            yield _row([f"`{detector}`", str(len(found)), f"{errors[len(errors) // 2]:.1%}", _ratio(holds)])
    yield ""


def _failures(results: Results) -> Iterator[str]:
    found = list(results.failures())
    if not found:
        return
    yield "## What went wrong"
    yield ""
    lines = Counter((f"{detector}: {verdict.case.scenario.name}", what) for detector, verdict, what in found)
    for (case, what), count in sorted(lines.items()):
        numbers = sorted(
            {
                f"{verdict.case.seed - results.seeds.base} ({verdict.dialect}, {verdict.case.runs} runs)"
                for detector, verdict, each in found
                if (f"{detector}: {verdict.case.scenario.name}", each) == (case, what)
            }
        )
        yield f"- {case}: {what}, {count} times; `--seed` {', '.join(numbers[:4])}"
    yield ""


def _ratio(ratio: Ratio) -> str:
    if ratio.value is None:
        return "-"
    low, high = ratio.interval
    return f"{ratio.value:.3f} ({low:.2f}-{high:.2f})"


def _value(ratio: Ratio) -> str:
    return "-" if ratio.value is None else f"{ratio.value:.3f}"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
