import json
from pathlib import Path

import pytest
from pydantic import BaseModel

from otel_wfperf.assembly import AssemblySettings
from otel_wfperf.config import SidecarConfig, WfperfConfig, load, parse_duration, parse_size, schema, split_address
from otel_wfperf.config.loading import model_in
from otel_wfperf.errors import ConfigError


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "wfperf.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def problems(tmp_path: Path, text: str, **environ: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        load(written(tmp_path, text), environ)
    return caught.value.problems


def test_defaults_listen_on_loopback_and_need_no_file() -> None:
    sidecar = load(None, {"XDG_STATE_HOME": "/var/state"}).sidecar

    assert (sidecar.listen.grpc, sidecar.listen.http) == ("127.0.0.1:4317", "127.0.0.1:4318")
    assert sidecar.listen.page == "127.0.0.1:4319"
    assert sidecar.data_dir == Path("/var/state/otel-wfperf")
    assert sidecar.max_request_size_bytes == 64 * 1024**2
    assert sidecar.annotate


def test_reads_units_and_nested_sections(tmp_path: Path) -> None:
    text = """
    sidecar:
      listen: {grpc: "[::1]:0"}
      log: {max_size: 64MiB, max_age: 2h, fsync: false}
      exporters:
        - {name: jaeger, endpoint: "http://127.0.0.1:14317/", timeout: 500ms, headers: {authorization: secret}}
    """

    sidecar = load(written(tmp_path, text), {}).sidecar

    assert (sidecar.log.max_size_bytes, sidecar.log.max_age_s, sidecar.log.fsync) == (64 * 1024**2, 7200.0, "never")
    assert sidecar.exporters[0].endpoint == "http://127.0.0.1:14317"
    assert sidecar.exporters[0].timeout_s == 0.5
    assert "secret" not in repr(sidecar)


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    file = written(tmp_path, "sidecar: {listen: {grpc: '127.0.0.1:1'}, annotate: true}")
    environ = {
        "OTEL_WFPERF_SIDECAR__LISTEN__GRPC": "127.0.0.1:2",
        "OTEL_WFPERF_SIDECAR__ANNOTATE": "false",
        "OTEL_WFPERF_SIDECAR__EXPORTERS": '[{"name": "a", "endpoint": "http://h:1"}]',
        "OTEL_WFPERF_CAPTURE_CONTENT": "true",
    }

    sidecar = load(file, environ).sidecar

    assert (sidecar.listen.grpc, sidecar.annotate) == ("127.0.0.1:2", False)
    assert [exporter.name for exporter in sidecar.exporters] == ["a"]


def test_names_every_problem_at_once_by_the_key_that_was_typed(tmp_path: Path) -> None:
    text = """
    sidecar:
      lissen: {grpc: x}
      listen: {http: "4318"}
      log: {max_size: lots, max_age: 0s}
      exporters: [{name: "a b", endpoint: "collector:4317"}]
    """

    assert problems(tmp_path, text, OTEL_WFPERF_SIDECAR__READ_TIMEOUT="soon") == (
        "sidecar.listen.http: '4318': write host:port, such as 127.0.0.1:4317 or [::1]:4317 (port 0: any free one)",
        "sidecar.log.max_size: 'lots': write a size such as 64MiB, 10kB or a number of bytes",
        "sidecar.log.max_age: '0s': input should be greater than 0",
        (
            "sidecar.read_timeout (OTEL_WFPERF_SIDECAR__READ_TIMEOUT): 'soon': "
            "write a duration such as 500ms, 2s, 10m, 1h or a number of seconds"
        ),
        "sidecar.exporters.0.name: 'a b': string should match pattern '^[A-Za-z0-9_-][A-Za-z0-9_.-]*$'",
        "sidecar.exporters.0.endpoint: 'collector:4317': write http://host:port (plain) or https://host:port (TLS)",
        "sidecar.lissen: unknown key (did you mean listen?)",
    )


def test_suggests_keys_inside_lists_and_says_what_is_missing(tmp_path: Path) -> None:
    text = "sidecar: {exporters: [{name: a, endpont: 'http://h:1'}]}"

    assert problems(tmp_path, text) == (
        "sidecar.exporters.0.endpoint: is missing; set it",
        "sidecar.exporters.0.endpont: unknown key (did you mean endpoint?)",
    )


def test_refuses_two_exporters_of_one_name(tmp_path: Path) -> None:
    text = "sidecar: {exporters: [{name: a, endpoint: 'http://h:1'}, {name: a, endpoint: 'http://h:2'}]}"

    [problem] = problems(tmp_path, text)

    assert problem.endswith("each exporter needs its own name; used more than once: a")


def test_assembly_settings_are_those_of_the_assembler(tmp_path: Path) -> None:
    assert SidecarConfig().assembly.settings() == AssemblySettings()
    changed = load(written(tmp_path, "sidecar: {assembly: {quiet: 500ms, max_open_spans: 60000}}"), {}).sidecar
    assert changed.assembly.settings() == AssemblySettings(quiet_ns=500_000_000, max_open_spans=60_000)

    [problem] = problems(tmp_path, "sidecar: {assembly: {max_open_spans: 10}}")
    assert problem.startswith("sidecar.assembly: a dict: assembly settings: 1 <= max_trace_spans <= max_open_spans")


def test_never_repeats_a_header(tmp_path: Path) -> None:
    text = "sidecar: {exporters: [{name: a, endpoint: 'http://h:1', headers: {authorization: [hunter2]}}]}"

    [problem] = problems(tmp_path, text)

    assert problem.startswith("sidecar.exporters.0.headers.authorization: (hidden):")
    assert "hunter2" not in problem


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a: [", "is not YAML"), ("- a", "holds a list"), ("sidecar: 3", "sidecar: 3: "), ("\x00", "is not YAML")],
)
def test_refuses_what_is_no_mapping(tmp_path: Path, text: str, expected: str) -> None:
    [problem] = problems(tmp_path, text)

    assert expected in problem


def test_says_when_the_file_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.yaml: cannot be read"):
        load(tmp_path / "gone.yaml", {})


@pytest.mark.parametrize(
    ("text", "seconds"), [("2s", 2), ("500ms", 0.5), ("10m", 600), ("1.5h", 5400), (3, 3), ("7d", 604800)]
)
def test_durations(text: str | int, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "2 weeks", "-1s", True, None, [], "1e3"])
def test_refuses_what_is_no_duration(text: object) -> None:
    with pytest.raises(ValueError, match="write a duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "size"), [("64MiB", 67108864), ("10kB", 10000), ("1 GiB", 1073741824), (5, 5), ("7", 7)]
)
def test_sizes(text: str | int, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "x", "1ib", True, None, 1.5])
def test_refuses_what_is_no_size(text: object) -> None:
    with pytest.raises(ValueError, match="write a size"):
        parse_size(text)


@pytest.mark.parametrize("address", ["", "4317", ":1", "h:", "h:x", "h:65536", "::1:4317", "h:²"])
def test_refuses_what_is_no_address(address: str) -> None:
    with pytest.raises(ValueError, match="write"):
        split_address(address)


@pytest.mark.parametrize(
    "headers", [{"a b": "x"}, {"": "x"}, {":path": "x"}, {"key-bin": "x"}, {"key": "s3cret\n"}, {"key": "é"}]
)
def test_refuses_headers_that_cannot_be_sent_without_repeating_them(headers: dict[str, str]) -> None:
    """At the start, and not at each try of each request."""
    exporters = json.dumps([{"name": "b", "endpoint": "http://b:1", "headers": headers}])

    with pytest.raises(ConfigError, match=r"^sidecar\.exporters\.0\.headers(\.key)?: \(hidden\): ") as caught:
        load(None, {"OTEL_WFPERF_SIDECAR__EXPORTERS": exporters})

    assert "s3cret" not in str(caught.value)


def sections(model: type[BaseModel] = WfperfConfig) -> list[type[BaseModel]]:
    inner = [model_in(field.annotation) for field in model.model_fields.values()]
    return [model, *(found for one in inner if one is not None for found in sections(one))]


@pytest.mark.parametrize("section", sections(), ids=lambda section: section.__name__)
def test_every_key_is_documented(section: type[BaseModel]) -> None:
    assert section.__doc__
    assert [name for name, field in section.model_fields.items() if not field.description] == []


def test_the_schema_has_the_keys_that_users_type() -> None:
    keys = schema()["$defs"]["LogConfig"]["properties"]

    assert sorted(keys) == ["fsync", "fsync_interval", "max_age", "max_size"]
    assert keys["max_size"]["description"].startswith("Data kept for slow consumers")


@pytest.mark.parametrize(
    "endpoint", ["http://127.0.0.1:4317", "http://localhost:4318", "http://[::1]:4317/", "http://localhost:4319"]
)
def test_an_exporter_that_leads_back_to_the_sidecar_is_refused(endpoint: str, tmp_path: Path) -> None:
    file = tmp_path / "wfperf.yaml"
    file.write_text(f"sidecar: {{exporters: [{{name: jaeger, endpoint: '{endpoint}'}}]}}")

    with pytest.raises(ConfigError, match="exporter jaeger would send to this sidecar itself"):
        load(file, {})


def test_another_host_or_a_moved_sidecar_is_no_circle(tmp_path: Path) -> None:
    file = tmp_path / "wfperf.yaml"
    exporters = "exporters: [{name: a, endpoint: 'http://jaeger:4317'}, {name: b, endpoint: 'http://127.0.0.1:4317'}]"
    file.write_text(f"sidecar: {{listen: {{grpc: '127.0.0.1:14317'}}, {exporters}}}")

    assert len(load(file, {}).sidecar.exporters) == 2


def test_a_path_that_would_be_appended_twice_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "wfperf.yaml"
    file.write_text("sidecar: {exporters: [{name: a, endpoint: 'http://h:4318/v1/traces'}]}")

    with pytest.raises(ConfigError, match="leave /v1/traces and the like out"):
        load(file, {})
