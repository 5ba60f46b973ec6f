from itertools import islice

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from benchmarks.reliability.endless import digest, endless_batches


def test_batches_are_whole_executions_that_never_come_again() -> None:
    seen: set[bytes] = set()
    digests: set[bytes] = set()
    for batch in islice(endless_batches(), 0, 401, 100):
        request = ExportTraceServiceRequest.FromString(batch.data)
        spans = request.resource_spans[0].scope_spans[0].spans
        ids = [span.trace_id for span in spans]

        assert len(spans) == 512
        assert len(set(ids)) == 32
        assert seen.isdisjoint(ids)
        seen |= set(ids)
        digests.add(digest(batch.data))
    assert len(digests) == 5
