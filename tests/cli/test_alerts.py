from __future__ import annotations

import json
from pathlib import Path

import yaml

from tests.cli.conftest import Wfperf
from tests.processes import eventually, free_ports
from tests.sidecar.alerting.hook import running_hook
from tests.sidecar.alerting.test_end_to_end import running_workflow
from tests.sidecar.running import sidecar_process

TOKEN = "0123456789abcdef0123"
ALERTS = {"execution_time": {"threshold": "1s"}, "memory": {"enabled": False}}


def written(folder: Path, **sidecar: object) -> Path:
    file = folder / "wfperf.yaml"
    file.write_text(yaml.safe_dump({"sidecar": sidecar}))
    return file


def test_lists_what_fires_in_a_sidecar_that_asks_for_a_token(tmp_path: Path, wfperf: Wfperf) -> None:
    [port] = free_ports(1)
    security = {"page": {"tokens": [TOKEN]}}
    listen = {"grpc": "127.0.0.1:0", "http": "127.0.0.1:0", "page": f"127.0.0.1:{port}"}
    config = written(tmp_path, listen=listen, security=security)
    with sidecar_process(tmp_path / "data", alerts=ALERTS, listen=listen, security=security) as sidecar:
        nothing = wfperf("alerts", "--config", config)
        with running_workflow(sidecar.endpoints):
            firing = eventually(lambda: (got := wfperf("alerts", "--config", config)).returncode and got)
        as_json = wfperf("alerts", "--config", config, "--all", "--format", "json")
        refused = wfperf("alerts", "--url", sidecar.endpoints.page)

    assert (nothing.returncode, nothing.stdout) == (0, b"0 alerts firing, 0 other\n")
    assert firing
    lines = firing.stdout.decode().splitlines()
    assert lines[:3] == ["1 alert firing, 0 other", "", "firing: execution_time (high): workflow:notes"]
    assert lines[3].startswith("  an execution of notes has run for ")
    assert lines[5] == "  what to do: open the link: it shows what is running and what has stalled"
    assert lines[6].startswith(f"  http://127.0.0.1:{port}/executions/")
    assert [each["labels"]["workflow"] for each in json.loads(as_json.stdout)["alerts"]] == ["notes"]
    assert refused.returncode == 2
    assert b"answers 401 to /api/v1/alerts" in refused.stderr
    assert b"--config FILE" in refused.stderr


def test_says_when_no_sidecar_runs(wfperf: Wfperf) -> None:
    [port] = free_ports(1)
    result = wfperf("alerts", "--url", f"http://127.0.0.1:{port}")

    assert result.returncode == 2
    assert f"error: http://127.0.0.1:{port}: no sidecar answers".encode() in result.stderr
    assert b"hint: start one with wfperf sidecar" in result.stderr


def test_prints_the_rules_in_effect(tmp_path: Path, wfperf: Wfperf) -> None:
    config = written(tmp_path, alerts={"cpu": {"enabled": False}, "error_rate": {"enabled": False}, **ALERTS})

    assert wfperf("alerts", "--rules", "--config", config).stdout.decode().splitlines() == [
        "execution_time (high)",
        "  fires when an execution runs for 1.00 s",
        "  for 0 s; resolved when over for 1 min 00 s",
    ]
    [rule] = json.loads(wfperf("alerts", "--rules", "--config", config, "--format", "json").stdout)["rules"]
    assert (rule["name"], rule["keep_firing_for_s"]) == ("execution_time", 60.0)
    off = {"OTEL_WFPERF_SIDECAR__ALERTS__ENABLED": "false"}
    assert wfperf("alerts", "--rules", env=off).stdout == b"no rules: sidecar.alerts.enabled is false\n"


async def test_sends_a_test_message(tmp_path: Path, wfperf: Wfperf) -> None:
    import asyncio

    async with running_hook() as hook:
        notifiers = {"webhooks": [{"name": "ops", "url": hook.url}, {"name": "gone", "url": f"{hook.url}/not"}]}
        config = written(tmp_path, alerts={"notifiers": notifiers})

        async def tested(*arguments: str) -> tuple[int, bytes, bytes]:
            result = await asyncio.to_thread(wfperf, "alerts", "test", *arguments, "--config", config)
            return result.returncode, result.stdout, result.stderr

        taken, refused, mistyped, missing = [await tested(*each) for each in (["ops"], ["gone"], ["opps"], [])]

    assert taken == (0, b"ops: the test message was taken\n", b"")
    assert refused == (1, b"gone: not taken: http_404\n", b"")
    assert mistyped[2] == b"error: unknown notifier: opps (did you mean ops?)\nhint: notifiers are log, ops, gone\n"
    assert missing[2] == b"error: test: no notifier given\nhint: notifiers are log, ops, gone\n"
    [body] = hook.bodies
    assert body["alerts"][0]["summary"] == "this is a test message of otel-wfperf"


def test_help_has_examples(wfperf: Wfperf) -> None:
    assert b"wfperf alerts test slack-ops" in wfperf("alerts", "--help").stdout
