from otel_wfperf.log import Record, Signal
from otel_wfperf.sidecar.exporters.progress import Progress


def record(offset: int) -> Record:
    return Record(offset=offset, signal=Signal.LOGS, data=b"", items=0, received_ns=1000 + offset)


def test_stands_before_the_first_record_that_is_not_done() -> None:
    progress = Progress(10)
    for offset in (11, 12, 13):
        progress.begin(record(offset))
    progress.end(12)

    assert (progress.position, progress.oldest_ns) == (10, 1011)
    progress.end(11)
    assert (progress.position, progress.oldest_ns) == (12, 1013)
    progress.end(13)
    assert (progress.position, progress.oldest_ns) == (13, None)


def test_a_record_is_done_once_all_its_parts_are() -> None:
    progress = Progress(0)
    for offset in (1, 2, 1, 1):
        progress.begin(record(offset))
    progress.end(1)
    progress.end(2)
    progress.end(1)

    assert progress.position == 0
    progress.end(1)
    assert progress.position == 2
