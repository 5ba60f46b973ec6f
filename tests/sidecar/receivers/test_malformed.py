from tests.sidecar.judging import judge
from tests.sidecar.malformed import LIMIT_BYTES, cases
from tests.sidecar.receiving import Start, samples


async def test_every_malformed_request_gets_the_right_answer_over_http_and_grpc(start_receivers: Start) -> None:
    # The others are sent by the figure of reliability.
    every = list(cases())[::4]
    receivers = await start_receivers(max_request_bytes=LIMIT_BYTES)

    assert len(every) >= 500
    assert await judge(every, http_url=receivers.http, grpc_target=receivers.grpc) == []
    refused = samples(receivers.metrics, "wfperf_receiver_refused_requests_total")
    wrong = sum(case.status != 200 for case in every)
    over_grpc = sum(case.status != 200 for case in every if not case.json)
    # gRPC itself refuses a message over the limit, before the sidecar sees it.
    too_large = sum(len(case.body) > LIMIT_BYTES for case in every)
    assert sum(refused.values()) == wrong + over_grpc - too_large
