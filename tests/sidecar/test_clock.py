from otel_wfperf.sidecar.clock import steady_clock


def test_goes_on_steadily_whatever_happens_to_the_wall_clock() -> None:
    wall, monotonic = iter([10**18, 0]), iter([100, 105, 130])
    clock = steady_clock(lambda: next(wall), lambda: next(monotonic))

    assert [clock(), clock()] == [10**18 + 5, 10**18 + 30]
