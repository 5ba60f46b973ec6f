"""The shared cases of an OTLP receiver against a whole sidecar, from the request to the stored execution."""

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from otel_wfperf.log import Signal
from otel_wfperf.sidecar.receivers.grpc import SERVICES
from tests.processes import eventually
from tests.sidecar.running import fetch_json, sidecar_process


def send(client: httpx.Client, case: dict[str, Any]) -> httpx.Response:
    return client.request(
        case["method"], case["path"], headers=case["headers"], content=base64.b64decode(case["body_b64"])
    )


async def over_grpc(target: str, body: bytes) -> bytes:
    async with grpc.aio.insecure_channel(target, options=[("grpc.enable_http_proxy", 0)]) as channel:
        method = f"/{SERVICES[Signal.TRACES]}/Export"
        call = channel.unary_unary(method, request_serializer=bytes, response_deserializer=bytes)
        answer: bytes = await call(body, timeout=30)
        return answer


@pytest.mark.shared
def test_a_sidecar_answers_the_shared_cases_and_stores_their_trace_once(shared: Path, tmp_path: Path) -> None:
    cases = json.loads((shared / "data/cases/otlp_receiver_cases.json").read_text())["cases"]
    with sidecar_process(tmp_path / "sidecar") as sidecar:
        with httpx.Client(base_url=sidecar.endpoints.http, trust_env=False, timeout=30) as client:
            for case in cases:
                expected = case["expected"]
                response = send(client, case)
                assert response.status_code in expected["status"], case["id"]
                if expected["response_content_type"] != "any":
                    assert response.headers["content-type"] == expected["response_content_type"], case["id"]
                if case["headers"]["Content-Type"] == "application/x-protobuf":
                    assert asyncio.run(over_grpc(sidecar.endpoints.grpc, base64.b64decode(case["body_b64"]))) == b""

        stored = eventually(lambda: fetch_json(f"{sidecar.endpoints.page}/api/v1/executions")["executions"])
        assert [one["trace_id"] for one in stored] == ["5b8efff798038103d269b633813fc60c"]
