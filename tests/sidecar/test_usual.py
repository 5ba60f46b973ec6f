from otel_wfperf.analysis.sketch import Sketch
from otel_wfperf.model import OperationKind
from otel_wfperf.sidecar.usual import UsualDurations

LLM = OperationKind.LLM


class Stored:
    """Distributions, and how often they were asked for."""

    def __init__(self, *durations_s: float) -> None:
        self.sketch = Sketch()
        for duration_s in durations_s:
            self.sketch.add(duration_s)
        self.questions: list[tuple[str, str, str]] = []
        self.now_s = 0.0

    def look_up(self, workflow: str, kind: str, name: str) -> Sketch:
        self.questions.append((workflow, kind, name))
        return self.sketch

    def clock(self) -> float:
        return self.now_s


def test_is_the_95th_percentile_of_what_is_stored() -> None:
    stored = Stored(*range(1, 101))
    usual = UsualDurations(stored.look_up, stored.clock)("w", LLM, "m")

    assert usual is not None
    assert 93e9 < usual < 97e9
    assert stored.questions == [("w", "llm", "m")]


def test_a_handful_says_nothing() -> None:
    stored = Stored(*range(1, 20))

    assert UsualDurations(stored.look_up, stored.clock)("w", LLM, "m") is None


def test_the_answer_is_remembered_for_a_minute() -> None:
    stored = Stored()
    usual = UsualDurations(stored.look_up, stored.clock)
    for now_s, questions in ((0.0, 1), (59.0, 1), (61.0, 2)):
        stored.now_s = now_s
        usual("w", LLM, "m")
        assert len(stored.questions) == questions


def test_a_store_that_cannot_be_read_knows_nothing() -> None:
    def broken(*_: str) -> Sketch:
        raise OSError("no disk")

    assert UsualDurations(broken, lambda: 0.0)("w", LLM, "m") is None
