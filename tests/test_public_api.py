import otel_wfperf


def test_the_public_names_are_these() -> None:
    assert sorted(otel_wfperf.__all__) == [
        "Call",
        "Recording",
        "agent",
        "attach",
        "configure",
        "context",
        "current_operation",
        "failure_counts",
        "instrument",
        "llm",
        "phase",
        "tool",
        "uninstrument",
        "wait",
        "workflow",
    ]


def test_each_public_name_can_be_used_and_has_a_docstring() -> None:
    for name in otel_wfperf.__all__:
        value = getattr(otel_wfperf, name)
        assert value.__doc__, name
        assert name in dir(otel_wfperf)


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(otel_wfperf, "nothing_of_that_name")
