from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from otel_wfperf.alerts import ExecutionTime
from otel_wfperf.config import AlertsConfig, load
from otel_wfperf.errors import ConfigError
from tests.peers import REPOSITORY

PAGE = REPOSITORY / "docs" / "alerts.md"

FULL = """
sidecar:
  alerts:
    page_url: https://wfperf.example.com/
    execution_time:
      threshold: 10m
      workflows: {research: 2s, "nightly-*": 2h}
    memory: {threshold: 0.8, for: 2m}
    cpu: {enabled: false}
    metrics:
      - {name: queue, metric: wfperf.agent.queued, threshold: 50, resolve_below: 20}
    findings:
      - {name: waste, detectors: [n_plus_one, loop], min_severity: high, min_saving: 1s}
    objectives:
      - {name: research_slo, objective: 0.99, latency: 60s, workflows: [research]}
    notifiers:
      log: {enabled: false}
      webhooks: [{name: hook, url: "http://127.0.0.1:1/x", headers: {authorization: "Bearer hidden-token"}}]
      slack: [{name: chat, url: "https://hooks.slack.com/services/hidden-path"}]
      alertmanagers: [{name: am, url: "http://127.0.0.1:9093/"}]
"""


def described(config: AlertsConfig) -> dict[str, str]:
    return {rule.terms.name: rule.described() for rule in config.rules()}


def test_the_default_rules_have_the_promised_thresholds() -> None:
    assert described(AlertsConfig()) == {
        "execution_time": "an execution runs for 5 min 00 s",
        "memory": "wfperf.process.memory.utilization is at 0.9 or more, until it is below 0.81",
        "cpu": "wfperf.process.cpu.utilization is at 0.85 or more, until it is below 0.765",
        "error_rate": "5 % or more of 20 or more executions in 1 h 00 min fail, until it is below 4.5 %",
    }
    assert AlertsConfig(enabled=False).rules() == ()


def test_a_file_can_set_everything(tmp_path: Path) -> None:
    file = tmp_path / "wfperf.yaml"
    file.write_text(FULL)
    alerts = load(file, {}).sidecar.alerts

    assert described(alerts) == {
        "execution_time": "an execution runs for 10 min 00 s; research: 2.00 s; nightly-*: 2 h 00 min",
        "memory": "wfperf.process.memory.utilization is at 0.8 or more, until it is below 0.72",
        "error_rate": "5 % or more of 20 or more executions in 1 h 00 min fail, until it is below 4.5 %",
        "queue": "wfperf.agent.queued is at 50 or more, until it is below 20",
        "waste": "n_plus_one, loop finds something of severity high or worse and a gain of 1.00 s, "
        "until no execution has had it for 1 h 00 min",
        "research_slo": "of 99 % that must succeed within 1 min 00 s, the error budget burns 14.4 x over 1 h 00 min "
        "and 5 min 00 s or 6 x over 6 h 00 min and 30 min 00 s",
    }
    assert alerts.page_url == "https://wfperf.example.com"
    assert alerts.notifiers.alertmanagers[0].repeat_s == 60
    assert "hidden" not in repr(alerts).replace("(hidden)", "")
    assert "hidden" not in alerts.model_dump_json().replace("(hidden)", "")


def test_the_environment_sets_thresholds() -> None:
    alerts = load(None, {"OTEL_WFPERF_SIDECAR__ALERTS__EXECUTION_TIME__THRESHOLD": "2s"}).sidecar.alerts

    [rule] = [each for each in alerts.rules() if isinstance(each, ExecutionTime)]
    assert rule.threshold_ns == 2_000_000_000


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"memory": {"threshold": 1.5}}, "sidecar.alerts.memory.threshold: 1.5: input should be less than or equal"),
        ({"memory": {"resolve_below": 0.95}}, "resolve_below (0.95) is above threshold (0.9); lower it"),
        ({"memory": {"treshold": 0.5}}, "sidecar.alerts.memory.treshold: unknown key (did you mean threshold?)"),
        ({"objectives": [{"name": "slo", "objective": 1}]}, "sidecar.alerts.objectives.0.objective: 1: "),
        ({"findings": [{"name": "cpu"}]}, "each rule needs its own name; used more than once: cpu"),
        ({"findings": [{"name": "a", "detectors": []}]}, "write names or patterns such as research-*"),
        ({"group_by": ["color"]}, "group_by: 'color' is no label; labels are alertname, severity, workflow, subject"),
        ({"page_url": "wfperf"}, "page_url: 'wfperf': write http://host:port or https://host/path"),
        (
            {"notifiers": {"slack": [{"name": "chat", "url": "hidden-url"}]}},
            "sidecar.alerts.notifiers.slack.0.url: (hidden): write http://host/path or https://host/path",
        ),
        (
            {"notifiers": {"slack": [{"name": "log", "url": "https://host/x"}]}},
            "each notifier needs its own name, and log is taken; used twice: log",
        ),
        (
            {"notifiers": {"webhooks": [{"name": "a", "url": "https://host/x", "headers": {"a b": "c"}}]}},
            "'a b' is not the name of a header",
        ),
    ],
)
def test_what_is_wrong_is_named(given: dict[str, Any], problem: str, tmp_path: Path) -> None:
    import json

    file = tmp_path / "wfperf.yaml"
    file.write_text(json.dumps({"sidecar": {"alerts": given}}))
    with pytest.raises(ConfigError) as raised:
        load(file, {})

    assert problem in str(raised.value)
    assert "hidden-url" not in str(raised.value)


def test_a_secret_may_come_from_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "url"
    secret.write_text("https://hooks.slack.com/services/x\n")
    notifiers = {"slack": [{"name": "chat", "url": {"file": str(secret)}}]}

    assert AlertsConfig.model_validate({"notifiers": notifiers}).notifiers.slack[0].url.get().endswith("/x")
    secret.unlink()
    with pytest.raises(ValidationError, match="cannot be read"):
        AlertsConfig.model_validate({"notifiers": notifiers})


@pytest.mark.parametrize("block", PAGE.read_text(encoding="utf-8").split("```yaml\n")[1:])
def test_the_examples_of_the_page_are_configurations(
    block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLACK_URL", "https://hooks.slack.com/services/x")
    secret = tmp_path / "pager"
    secret.write_text("Bearer t")
    file = tmp_path / "wfperf.yaml"
    file.write_text(block.split("```", maxsplit=1)[0].replace("/run/secrets/pager", str(secret)))

    assert load(file, {}).sidecar.alerts != AlertsConfig()
