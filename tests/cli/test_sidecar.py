import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.conftest import REPOSITORY, Wfperf, command, surroundings

FREE = "127.0.0.1:0"


@contextmanager
def sidecar(*arguments: object) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run ``wfperf sidecar`` and give what it announced; it must end by itself on SIGTERM."""
    process = subprocess.Popen(
        command("sidecar", *arguments),
        cwd=REPOSITORY,
        env=surroundings(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        announced = "".join(process.stderr.readline() for _ in range(3))
        yield process, announced
    finally:
        process.kill()
        process.communicate(timeout=60)


def addresses(data_dir: Path) -> list[object]:
    return ["--grpc", FREE, "--http", FREE, "--page", FREE, "--data-dir", data_dir]


def test_announces_where_it_listens_and_ends_on_sigterm(tmp_path: Path) -> None:
    with sidecar(*addresses(tmp_path / "state")) as (process, announced):
        assert re.search(r"OTLP over gRPC on 127\.0\.0\.1:\d+\n", announced)
        assert re.search(r"OTLP over HTTP on http://127\.0\.0\.1:\d+\n", announced)
        assert re.search(r"findings and metrics on http://127\.0\.0\.1:\d+\n", announced)
        os.kill(process.pid, signal.SIGTERM)
        printed, _ = process.communicate(timeout=60)

    assert process.returncode == 0
    assert printed == ""
    assert (tmp_path / "state" / "log.sqlite").exists()


def test_options_win_over_the_file(tmp_path: Path) -> None:
    config = tmp_path / "wfperf.yaml"
    config.write_text("sidecar:\n  listen:\n    grpc: 192.0.2.1:4317\n")
    with sidecar("--config", config, *addresses(tmp_path / "state")) as (_, announced):
        assert "gRPC on 127.0.0.1:" in announced


def test_doctor_finds_a_sidecar_that_runs(tmp_path: Path, wfperf: Wfperf) -> None:
    with sidecar(*addresses(tmp_path / "state")) as (_, announced):
        grpc, http, page = re.findall(r"127\.0\.0\.1:\d+", announced)
        listen = {"GRPC": grpc, "HTTP": http, "PAGE": page}
        env = {f"OTEL_WFPERF_SIDECAR__LISTEN__{name}": address for name, address in listen.items()}
        result = wfperf("doctor", env=env)

    printed = result.stdout.decode()
    assert result.returncode == 0
    assert f"ok    sidecar: running and ready on http://{page}\n" in printed
    assert f"ok    OTLP over HTTP: {http} answers an empty request with 200\n" in printed
    assert f"ok    OTLP over gRPC: {grpc} answers\n" in printed


@pytest.mark.parametrize("problem", ["missing.yaml", "wfperf.yaml"])
def test_a_configuration_that_cannot_be_used_is_an_error(problem: str, tmp_path: Path, wfperf: Wfperf) -> None:
    (tmp_path / "wfperf.yaml").write_text("sidecar:\n  listne: {}\n")
    result = wfperf("sidecar", "--config", tmp_path / problem)

    assert result.returncode == 2
    assert result.stderr.startswith(b"error: ")
    assert b"\nhint: wfperf config check" in result.stderr
