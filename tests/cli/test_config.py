import json
from pathlib import Path

import pytest
import yaml

from otel_wfperf.cli import main


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "wfperf.yaml"
    path.write_text("sidecar:\n  window: 7\n")
    return path


def test_check_is_fine_with_a_good_file(config: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "check", "--config", str(config)]) == 0
    assert capfd.readouterr().out == f"{config}: fine\n"


def test_check_lists_all_problems_at_once(config: Path, capfd: pytest.CaptureFixture[str]) -> None:
    config.write_text("sidecar:\n  widnow: 7\n  listen:\n    grpc: 4317\n")
    assert main(["config", "check", "--config", str(config)]) == 2

    printed = capfd.readouterr().err
    assert "error: sidecar.widnow: unknown key (did you mean window?)\n" in printed
    assert "error: sidecar.listen.grpc: " in printed
    assert "\nhint: " in printed


def test_print_shows_file_environment_and_defaults_together(
    config: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OTEL_WFPERF_SIDECAR__LISTEN__GRPC", "127.0.0.1:9999")
    assert main(["config", "print", "--config", str(config)]) == 0

    printed = capfd.readouterr().out
    content = yaml.safe_load(printed)["sidecar"]
    assert (content["window"], content["listen"]["grpc"], content["listen"]["http"]) == (
        7,
        "127.0.0.1:9999",
        "127.0.0.1:4318",
    )


def test_what_is_printed_can_be_read_again(config: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "print", "--config", str(config)]) == 0
    first = capfd.readouterr().out
    config.write_text(first)
    assert main(["config", "print", "--config", str(config)]) == 0
    assert capfd.readouterr().out == first


def test_schema_is_json(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "schema"]) == 0
    assert "sidecar" in json.loads(capfd.readouterr().out)["properties"]


def test_the_file_may_simply_follow(config: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "check", str(config)]) == 0
    assert capfd.readouterr().out == f"{config}: fine\n"
