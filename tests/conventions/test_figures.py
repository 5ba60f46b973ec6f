from otel_wfperf.model import OperationKind, ResourceUse
from tests.conventions.spans import understood


def test_cpu_time_and_counts_are_read_in_every_dialect() -> None:
    chat = understood(
        "chat m",
        gen_ai__operation__name="chat",
        gen_ai__request__model="m",
        wfperf__cpu__time=0.25,
        wfperf__event_loop__blocked=0.5,
        wfperf__event_loop__blocked_longest=0.3,
        wfperf__spans__started=7,
        wfperf__spans__dropped=2,
    )
    other = understood("GET", http__request__method="GET", wfperf__spans__started=1)

    assert (chat.kind, chat.dialect) == (OperationKind.LLM, "genai")
    assert chat.resources == ResourceUse(cpu_time_s=0.25, loop_blocked_s=0.5, loop_blocked_longest_s=0.3)
    assert (chat.spans_started, chat.spans_dropped) == (7, 2)
    assert (other.resources, other.spans_started, other.spans_dropped) == (None, 1, None)


def test_spans_without_figures_stay_as_they_are_read() -> None:
    chat = understood("chat m", gen_ai__operation__name="chat", gen_ai__request__model="m")

    assert (chat.resources, chat.spans_started) == (None, None)
