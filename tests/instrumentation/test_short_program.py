"""A program that ends at once, against the real sidecar."""

from pathlib import Path

import pytest

from otel_wfperf.config import ListenConfig, SidecarConfig
from otel_wfperf.sidecar.embedded import embedded
from tests.instrumentation.programs import run_program

PROGRAM = """
import otel_wfperf.auto
from otel_wfperf import phase, workflow
with workflow("short"), phase("only"):
    pass
"""


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_what_a_short_program_recorded_arrives(protocol: str, tmp_path: Path) -> None:
    free = "127.0.0.1:0"
    listen = ListenConfig(grpc=free, http=free, page=free)
    with embedded(SidecarConfig(listen=listen, data_dir=tmp_path)) as sidecar:
        endpoint = f"http://{sidecar.endpoints.grpc}" if protocol == "grpc" else sidecar.endpoints.http
        done = run_program(PROGRAM, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, OTEL_EXPORTER_OTLP_PROTOCOL=protocol)
        [execution] = sidecar.finish().executions

    assert (done.returncode, done.stderr) == (0, "")
    assert (execution.workflow, len(execution.operations)) == ("short", 2)
