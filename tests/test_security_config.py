from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from otel_wfperf.config import SidecarConfig, is_loopback, load
from otel_wfperf.errors import ConfigError
from otel_wfperf.sidecar.service import Sidecar

TOKEN = "0123456789abcdef"


def problems(sidecar: dict[str, Any], tmp_path: Path) -> tuple[str, ...]:
    import yaml

    path = tmp_path / "wfperf.yaml"
    path.write_text(yaml.safe_dump({"sidecar": sidecar}))
    try:
        load(path, {}).sidecar.refuse_exposure()
    except ConfigError as error:
        return error.problems
    return ()


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1:1", True),
        ("127.9.9.9:1", True),
        ("[::1]:1", True),
        ("localhost:1", True),
        ("0.0.0.0:1", False),
        ("[::]:1", False),
        ("10.0.0.1:1", False),
        ("sidecar.local:1", False),
    ],
)
def test_knows_what_only_this_machine_reaches(address: str, expected: bool) -> None:  # noqa: FBT001
    assert is_loopback(address) is expected


def test_refuses_to_be_open_to_the_network_unless_told_so(tmp_path: Path) -> None:
    everywhere = {"grpc": "0.0.0.0:4317", "http": "[::]:4318", "page": "10.1.2.3:4319"}

    found = problems({"listen": everywhere}, tmp_path)

    assert [each.partition(": would be open to everybody in the network; ")[0] for each in found] == [
        "sidecar.listen.grpc: '0.0.0.0:4317'",
        "sidecar.listen.http: '[::]:4318'",
        "sidecar.listen.page: '10.1.2.3:4319'",
    ]
    assert found[2].endswith(
        "set sidecar.security.page.tokens or sidecar.security.page.tls.client_ca, listen on 127.0.0.1, or set "
        "sidecar.security.allow_unauthenticated: true"
    )
    assert problems({"listen": everywhere, "security": {"allow_unauthenticated": True}}, tmp_path) == ()


@pytest.mark.parametrize(
    "authentication",
    [{"tokens": [TOKEN]}, {"tls": {"certificate": "c.pem", "key": "k.pem", "client_ca": "ca.pem"}}],
)
def test_listens_to_the_network_with_authentication(tmp_path: Path, authentication: dict[str, Any]) -> None:
    listen = {"grpc": "0.0.0.0:4317"}

    assert problems({"listen": listen, "security": {"otlp": authentication}}, tmp_path) == ()
    # TLS alone lets everybody in, and authentication of one port says nothing about another.
    tls = {"certificate": "c.pem", "key": "k.pem"}
    assert problems({"listen": listen, "security": {"otlp": {"tls": tls}}}, tmp_path)
    assert problems({"listen": {"page": "0.0.0.0:1"}, "security": {"otlp": authentication}}, tmp_path)


async def test_addresses_of_the_command_line_are_refused_when_it_starts(tmp_path: Path) -> None:
    config = SidecarConfig(data_dir=tmp_path)
    opened = config.model_copy(update={"listen": config.listen.model_copy(update={"page": "0.0.0.0:0"})})

    with pytest.raises(ConfigError, match=r"^sidecar\.listen\.page: '0\.0\.0\.0:0': would be open to everybody"):
        await Sidecar(opened).start()


@pytest.mark.parametrize(
    ("security", "problem"),
    [
        ({"otlp": {"tokens": ["short"]}}, "otlp.tokens.0: (hidden): a token needs at least 16 characters"),
        ({"page": {"tokens": ["0123456789 abcdef"]}}, "page.tokens.0: (hidden): a token is printable ASCII"),
        ({"otlp": {"tokens": [TOKEN, {"env": "NOT_SET_HERE"}]}}, "otlp.tokens.1: (hidden): environment variable"),
        ({"otlp": {"cors": {"allowed_origins": ["*"]}}}, "otlp.cors.allowed_origins.0: '*': write an origin"),
        ({"page": {"allowed_hosts": ["host:80"]}}, "page.allowed_hosts.0: 'host:80': write a host name without"),
        ({"page": {"token": [TOKEN]}}, "page.token: unknown key (did you mean tokens?)"),
    ],
)
def test_names_the_key_of_what_is_wrong_and_shows_no_secret(
    tmp_path: Path, security: dict[str, Any], problem: str
) -> None:
    [found] = problems({"security": security}, tmp_path)

    assert found.startswith(f"sidecar.security.{problem}")
    assert TOKEN not in found


def test_what_may_be_in_flight_holds_the_largest_request(tmp_path: Path) -> None:
    [found] = problems({"limits": {"in_flight_size": "1MiB"}}, tmp_path)

    assert "limits.in_flight_size: 1048576: is less than max_request_size: 67108864" in found
