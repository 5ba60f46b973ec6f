import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from otel_wfperf.cli.checks import Check, Health, environment, exporters, frameworks, network, software
from otel_wfperf.cli.checks.connection import answers
from otel_wfperf.cli.doctor import as_text, examine
from otel_wfperf.config import ExporterConfig, ListenConfig, SidecarConfig
from otel_wfperf.otlp.protobuf import IS_COMPILED
from otel_wfperf.sidecar.embedded import embedded
from tests.cli.conftest import Wfperf
from tests.processes import free_ports
from tests.sidecar.authority import Authority


@pytest.fixture
def taken() -> Iterator[int]:
    """Listen on a port without ever answering."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def listen(*, grpc: int, http: int, page: int) -> ListenConfig:
    return ListenConfig(grpc=f"127.0.0.1:{grpc}", http=f"127.0.0.1:{http}", page=f"127.0.0.1:{page}")


def test_free_ports_are_fine() -> None:
    grpc, http, page = free_ports(3)
    checks = list(network.checks(SidecarConfig(listen=listen(grpc=grpc, http=http, page=page))))

    assert [check.health for check in checks] == [Health.OK] * 3
    assert checks[0].detail == f"127.0.0.1:{grpc} is free"


def test_a_port_in_use_names_its_owner(taken: int) -> None:
    http, page = free_ports(2)
    first, *_ = network.checks(SidecarConfig(listen=listen(grpc=taken, http=http, page=page)))

    assert first.health is Health.WARN
    assert "in use by" in first.detail
    assert "another port" in first.next_step


def running(folder: Path, security: dict[str, Any]) -> list[Check]:
    """Examine a sidecar that runs with what protects it."""
    grpc, http, page = free_ports(3)
    config = SidecarConfig.model_validate(
        {"listen": listen(grpc=grpc, http=http, page=page), "data_dir": folder / "data", "security": security}
    )
    with embedded(config):
        return list(network.checks(config))


@pytest.mark.parametrize("client_ca", [False, True])
def test_a_protected_sidecar_is_examined_with_what_the_configuration_has(tmp_path: Path, *, client_ca: bool) -> None:
    authority = Authority(tmp_path / "authority")
    (tmp_path / "token").write_text("0123456789abcdef\n")
    tls = authority.server(clients=authority if client_ca else None)
    protection = {"tls": tls, "tokens": [{"file": str(tmp_path / "token")}]}

    checks = running(tmp_path, {"otlp": protection, "page": protection})

    assert [(check.subject, check.health) for check in checks] == [
        ("sidecar", Health.OK),
        ("OTLP over HTTP", Health.OK),
        ("OTLP over gRPC", Health.OK),
    ]
    assert ("to clients with a certificate only" in checks[0].detail) == client_ca
    assert ("to clients with a certificate only" in checks[1].detail) == client_ca


def test_any_free_port_needs_no_check() -> None:
    checks = network.checks(SidecarConfig(listen=listen(grpc=0, http=0, page=0)))
    assert all(check.health is Health.OK for check in checks)


def back_end(name: str, endpoint: str, protocol: Literal["grpc", "http/protobuf"] = "grpc") -> ExporterConfig:
    return ExporterConfig(name=name, endpoint=endpoint, protocol=protocol)


def test_exporters_are_tried_in_their_own_protocol(tmp_path: Path) -> None:
    free = "127.0.0.1:0"
    receiving = SidecarConfig(listen=ListenConfig(grpc=free, http=free, page=free), data_dir=tmp_path)
    [silent] = free_ports(1)
    with embedded(receiving) as sidecar:
        grpc, http = f"http://{sidecar.endpoints.grpc}", sidecar.endpoints.http
        config = SidecarConfig(
            listen=listen(grpc=0, http=0, page=0),
            exporters=(
                back_end("good", grpc),
                back_end("also_good", http, "http/protobuf"),
                back_end("crossed", http),
                back_end("gone", f"http://127.0.0.1:{silent}"),
            ),
        )
        found = list(exporters.checks(config))

    assert [check.health for check in found] == [Health.OK, Health.OK, Health.FAIL, Health.FAIL]
    assert found[0].detail == f"{grpc} takes traces, metrics, logs over grpc"
    assert "refuses traces" in found[2].detail
    assert "sidecar.exporters" in found[3].next_step


def test_points_to_what_a_back_end_refused_for_ever(tmp_path: Path) -> None:
    letters = tmp_path / "dead-letters" / "jaeger"
    letters.mkdir(parents=True)
    (letters / "1764012345678-traces.jsonl").write_text("{}\n")
    config = SidecarConfig(data_dir=tmp_path, exporters=(back_end("jaeger", "http://127.0.0.1:1"),))

    _, found = exporters.checks(config)

    assert (found.subject, found.health) == ("dead letters of jaeger", Health.WARN)
    assert found.detail == f"1 files with 3 bytes in {letters} that the back end refused for ever"
    assert "head -c 300" in found.next_step


def test_certificates_that_cannot_be_used_are_a_problem_of_the_exporter(tmp_path: Path, taken: int) -> None:
    settings = {"name": "b", "endpoint": f"https://127.0.0.1:{taken}", "tls": {"ca": str(tmp_path / "gone.pem")}}
    config = SidecarConfig(data_dir=tmp_path, exporters=(ExporterConfig.model_validate(settings),))

    [found] = exporters.checks(config)

    assert found.health is Health.FAIL
    assert "tls.ca" in found.detail
    assert "cannot be read" in found.detail


@pytest.mark.parametrize("url", ["", "localhost", "http://", "ftp://localhost", "http://[::1", "http://h:99999"])
def test_what_is_no_url_is_said_so(url: str) -> None:
    assert "is not a URL" in answers(url)


def test_environment_that_silences_is_a_warning() -> None:
    checks = list(environment.checks({"OTEL_SDK_DISABLED": "true", "OTEL_TRACES_EXPORTER": "none"}))
    assert [check.health for check in checks] == [Health.WARN, Health.WARN]
    assert list(environment.checks({})) == []


def test_an_endpoint_of_the_environment_is_tried(taken: int) -> None:
    [silent] = free_ports(1)
    there = f"http://127.0.0.1:{taken}"
    gone = f"http://127.0.0.1:{silent}"
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": there, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": gone}
    first, second = environment.checks(variables)

    assert (first.subject, first.health) == ("OTEL_EXPORTER_OTLP_ENDPOINT", Health.OK)
    assert (second.subject, second.health) == ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", Health.FAIL)


def test_the_development_installation_has_what_it_needs() -> None:
    checks = {check.subject: check for check in software.checks()}

    assert checks["hot path"].detail.startswith("compiled" if IS_COMPILED else "interpreted")
    assert checks["Python"].health is Health.OK
    assert checks["core packages"].health is Health.OK
    assert checks["sidecar extra"].health is Health.OK


def test_names_each_integration_and_its_state(monkeypatch: pytest.MonkeyPatch) -> None:
    checks = {check.subject: check for check in frameworks.checks()}
    assert checks["integration langgraph"].health is Health.OK

    monkeypatch.setenv("OTEL_WFPERF_INTEGRATIONS", "crewai")
    checks = {check.subject: check for check in frameworks.checks()}
    langgraph = checks["integration langgraph"]
    assert "OTEL_WFPERF_INTEGRATIONS" in langgraph.detail or "is not installed here" in langgraph.detail


def test_a_wrong_configuration_fails_and_the_rest_is_still_examined(tmp_path: Path) -> None:
    config = tmp_path / "wfperf.yaml"
    config.write_text("sidecar:\n  widnow: 3\n")
    checks = list(examine(config, {}))

    [failed] = [check for check in checks if check.subject == "configuration"]
    assert failed.health is Health.FAIL
    assert "did you mean window?" in failed.detail
    assert len([check for check in checks if check.subject.startswith(("port", "sidecar", "OTLP"))]) >= 3


def test_text_gives_each_check_a_line_and_its_next_step() -> None:
    checks = (Check("a", Health.OK, "fine"), Check("b", Health.FAIL, "broken", "repair it"))
    assert as_text(checks) == (
        "ok    a: fine\nfail  b: broken\n      next: repair it\n2 checks, 1 failed, 0 with a warning\n"
    )


def test_json_and_exit_status(wfperf: Wfperf) -> None:
    [silent] = free_ports(1)
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{silent}"}
    result = wfperf("doctor", "--format", "json", env=env)

    checks = json.loads(result.stdout)["checks"]
    [endpoint] = [check for check in checks if check["subject"] == "OTEL_EXPORTER_OTLP_ENDPOINT"]
    assert result.returncode == 1
    assert (endpoint["health"], set(endpoint)) == ("fail", {"subject", "health", "detail", "next_step"})
