from otel_wfperf.config import RetryConfig
from otel_wfperf.sidecar.exporters.stubbornness import Stubbornness


def failures(taken: list[int], *, every_s: float) -> list[bool]:
    stubborn = Stubbornness(RetryConfig())
    return [stubborn.failed(taken=each, now_s=number * every_s) for number, each in enumerate(taken)]


def test_a_request_that_fails_while_others_are_taken_is_set_aside_in_the_end() -> None:
    answers = failures(list(range(400)), every_s=1.0)

    assert answers.index(True) == 300


def test_a_back_end_that_takes_nothing_is_waited_for() -> None:
    assert not any(failures([7] * 10_000, every_s=30.0))


def test_some_bad_luck_is_not_enough() -> None:
    assert not any(failures([0, 1, 1, 2, 3, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15], every_s=60.0))
