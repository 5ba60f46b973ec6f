from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from otel_wfperf.config import ExporterConfig, Secret, SecretUnavailableError, load
from otel_wfperf.errors import ConfigError

SECRET = TypeAdapter(Secret)


def exporter(headers: object) -> str:
    return json.dumps([{"name": "b", "endpoint": "http://b:1", "headers": headers}])


def problems(headers: object) -> str:
    with pytest.raises(ConfigError) as caught:
        load(None, {"OTEL_WFPERF_SIDECAR__EXPORTERS": exporter(headers)})
    return str(caught.value)


def test_a_value_is_got_and_never_shown() -> None:
    secret = SECRET.validate_python("hunter2")

    assert secret.get() == "hunter2"
    shown = (repr(secret), str(secret), f"{secret}", SECRET.dump_json(secret).decode(), str(SECRET.dump_python(secret)))
    assert "hunter2" not in " ".join(shown)


def test_a_file_is_read_at_each_use_without_the_line_end(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")
    secret = SECRET.validate_python({"file": str(file)})

    assert secret.get() == "first"
    file.write_text("second\r\n")
    assert secret.get() == "second"
    assert SECRET.dump_python(secret) == {"file": str(file)}


def test_a_variable_is_read_at_each_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN_OF_TEST", "first")
    secret = SECRET.validate_python({"env": "TOKEN_OF_TEST"})

    assert secret.get() == "first"
    monkeypatch.setenv("TOKEN_OF_TEST", "second")
    assert secret.get() == "second"


def test_says_where_a_secret_should_be_once_it_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "token"
    file.write_text("x")
    monkeypatch.setenv("TOKEN_OF_TEST", "x")
    in_file, in_environment = (
        SECRET.validate_python({"file": str(file)}),
        SECRET.validate_python({"env": "TOKEN_OF_TEST"}),
    )
    file.unlink()
    monkeypatch.delenv("TOKEN_OF_TEST")

    with pytest.raises(SecretUnavailableError, match=r"token': cannot be read \(No such file or directory\); write"):
        in_file.get()
    with pytest.raises(SecretUnavailableError, match="environment variable 'TOKEN_OF_TEST': is not set; set it"):
        in_environment.get()


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe", b"x" * 70_000])
def test_refuses_a_file_that_holds_no_secret(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)

    assert problems({"authorization": {"file": str(file)}}).startswith(
        f"sidecar.exporters.0.headers.authorization: (hidden): file {str(file)!r}: "
    )


@pytest.mark.parametrize("given", ["", 123456, ["hunter2"], {"file": "/a", "env": "B"}, {"value": "hunter2"}, None])
def test_refuses_what_is_no_secret_without_repeating_it(given: object) -> None:
    message = problems({"authorization": given})

    assert message == (
        "sidecar.exporters.0.headers.authorization: (hidden): write the value, {file: /path} or {env: NAME}"
    )


def test_a_broken_file_or_variable_does_not_show_the_line_with_the_secret(tmp_path: Path) -> None:
    file = tmp_path / "wfperf.yaml"
    file.write_text("sidecar: {exporters: [{headers: {authorization: hunter2, ]}]}")

    with pytest.raises(ConfigError, match=r"wfperf\.yaml: is not YAML at line 1, column 58") as in_file:
        load(file, {})
    with pytest.raises(ConfigError, match="OTEL_WFPERF_SIDECAR__EXPORTERS: is not JSON") as in_variable:
        load(None, {"OTEL_WFPERF_SIDECAR__EXPORTERS": '[{"headers": {"authorization": "hunter2"'})

    assert "hunter2" not in f"{in_file.value} {in_variable.value}"


def test_the_schema_lists_the_three_ways() -> None:
    assert [sorted(way) for way in SECRET.json_schema()["anyOf"]] == [
        ["format", "type"],
        ["additionalProperties", "properties", "required", "type"],
        ["additionalProperties", "properties", "required", "type"],
    ]


def test_the_whole_configuration_is_printed_without_secrets() -> None:
    config = ExporterConfig.model_validate({"name": "b", "endpoint": "http://b:1", "headers": {"x": "hunter2"}})

    assert "hunter2" not in f"{config!r} {config.model_dump_json()} {config.model_dump()}"
