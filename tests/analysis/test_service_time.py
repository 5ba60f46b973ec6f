from random import Random

import pytest

from otel_wfperf.analysis.service_time import (
    CONVERGED_ROUNDS,
    input_limits,
    least_expected_ns,
    service_time,
    uncached_tokens,
)
from otel_wfperf.model import OperationKind
from tests.detectors.builders import MS, Run


def test_recovers_the_time_for_each_token() -> None:
    run, random = Run(), Random(1)
    for at in range(40):
        tokens_in, tokens_out = random.randrange(100, 5000), random.randrange(5, 300)
        run.llm(at * 1000, 250 + 12 * tokens_out + 0.12 * tokens_in, tokens=(tokens_in, tokens_out))

    fit = service_time(run.build().of_kind(OperationKind.LLM))

    assert fit is not None
    assert fit.output_ns == pytest.approx(12 * MS, rel=0.1)
    assert fit.input_ns == pytest.approx(0.12 * MS, rel=0.1)


def test_cached_input_takes_no_time() -> None:
    run = Run()
    run.llm(0, 100, tokens=(5000, 10, 4900))

    assert uncached_tokens(run.operations[0]) == 100


def test_does_not_fit_a_handful_of_calls() -> None:
    run = Run()
    for at in range(7):
        run.llm(at * 1000, 500)

    assert service_time(run.build().of_kind(OperationKind.LLM)) is None


def test_the_limits_of_a_fit_hold_the_time_for_an_input_token() -> None:
    run, random = Run(), Random(2)
    for at in range(40):
        tokens_in = random.randrange(100, 5000)
        run.llm(at * 1000, (250 + 0.12 * tokens_in) * random.uniform(0.8, 1.2), tokens=(tokens_in, 20))
    calls = run.build().of_kind(OperationKind.LLM)
    fit = service_time(calls, rounds=CONVERGED_ROUNDS)

    assert fit is not None
    low, high = input_limits(calls, fit)
    assert 0 < low.input_ns < fit.input_ns < high.input_ns
    assert low.input_ns < 0.12 * MS < high.input_ns
    assert low.output_ns == high.output_ns == fit.output_ns


def test_no_fit_predicts_less_than_the_least_that_is_known_without_it() -> None:
    run, random = Run(), Random(2)
    for at in range(60):
        run.llm(at * 1000, random.randrange(50, 900), tokens=(random.randrange(5000), random.randrange(300)))
    calls = run.build().of_kind(OperationKind.LLM)

    fit = service_time(calls)

    assert fit is not None
    assert fit.floor_ns == least_expected_ns(calls)
    assert min(map(fit.expected_ns, calls)) >= least_expected_ns(calls)
