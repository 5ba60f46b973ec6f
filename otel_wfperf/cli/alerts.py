"""``wfperf alerts``: what fires in a sidecar that runs, which rules there are, and whether people can be told."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

from otel_wfperf.alerts import Alert, AlertState, Reading, Rule, Terms
from otel_wfperf.cli.command import Parser, UsageError, unknown
from otel_wfperf.cli.output import write_standard_output
from otel_wfperf.cli.sidecar_page import ask, page_url
from otel_wfperf.config import AlertsConfig, SidecarConfig, load
from otel_wfperf.errors import MissingExtraError
from otel_wfperf.model import Severity
from otel_wfperf.report.units import count, duration_s

_SHOWN: Final = (AlertState.FIRING.value, AlertState.PENDING.value)


class Alerts:
    """Asks a sidecar, or works on the configuration alone."""

    name: ClassVar[str] = "alerts"
    summary: ClassVar[str] = "list the alerts of a running sidecar, print the rules, or send a test message"
    details: ClassVar[str] = """\
Without an action it lists what fires and what is about to. The sidecar is the one of the configuration, whose token is
used; --url names another. test sends a message to one of sidecar.alerts.notifiers, without a sidecar.

exit status:
  0  nothing fires; the test message was taken
  1  something fires; the test message was not taken
  2  there is no sidecar, or something is wrong with the configuration

examples:
  wfperf alerts
  wfperf alerts --all --format json | jq '.alerts[].summary'
  wfperf alerts --rules --config wfperf.yaml
  wfperf alerts test slack-ops --config wfperf.yaml"""

    def add_arguments(self, parser: Parser) -> None:
        """See Command."""
        parser.add_argument("action", nargs="?", choices=("test",), help="test: send a test message (default: list)")
        parser.add_argument("notifier", nargs="?", metavar="NOTIFIER", help="whom to send it to, by name")
        parser.add_argument("--config", type=Path, metavar="FILE", help="configuration, such as wfperf.yaml")
        parser.add_argument(
            "--url", metavar="URL", help="page of the sidecar (default: sidecar.listen.page, http://127.0.0.1:4319)"
        )
        parser.add_argument("--rules", action="store_true", help="print the rules in effect instead")
        parser.add_argument("--all", action="store_true", help="list alerts that were resolved lately, too")
        parser.add_argument(
            "--format", choices=("text", "json"), default="text", help="form of the result (default text)"
        )

    def run(self, arguments: argparse.Namespace) -> int:
        """See Command."""
        config = load(arguments.config, os.environ).sidecar
        if arguments.action == "test":
            return _test(config, arguments.notifier)
        if arguments.rules:
            return _print_rules(config.alerts, arguments.format)
        return _list(config, arguments)


def _list(config: SidecarConfig, arguments: argparse.Namespace) -> int:
    url = (arguments.url or page_url(config)).rstrip("/")
    found = [
        alert for alert in ask(config, url, "/api/v1/alerts")["alerts"] if arguments.all or alert["state"] in _SHOWN
    ]
    if arguments.format == "json":
        write_standard_output(json.dumps({"alerts": found}, indent=2) + "\n")
    else:
        write_standard_output("\n".join(_lines(found)) + "\n")
    return int(any(alert["state"] == AlertState.FIRING.value for alert in found))


def _lines(alerts: list[Mapping[str, Any]]) -> Iterator[str]:
    firing = sum(alert["state"] == AlertState.FIRING.value for alert in alerts)
    yield f"{count(firing, 'alert')} firing, {len(alerts) - firing} other"
    for alert in alerts:
        labels = alert["labels"]
        silenced = " (silenced)" if alert["silenced_by"] else ""
        yield ""
        yield f"{alert['state']}{silenced}: {labels['alertname']} ({labels['severity']}): {labels['subject']}"
        yield f"  {alert['summary']}"
        until = f", resolved {alert['resolved_at']}" if alert["resolved_at"] else ""
        yield f"  since {alert['since']}{until}"
        yield f"  what to do: {alert['advice']}"
        if alert["link"]:
            yield f"  {alert['link']}"


def _print_rules(config: AlertsConfig, form: str) -> int:
    rules = [_rule_document(rule) for rule in config.rules()]
    if form == "json":
        write_standard_output(json.dumps({"rules": rules}, indent=2) + "\n")
        return 0
    lines = [] if rules else ["no rules: sidecar.alerts.enabled is false"]
    for rule in rules:
        lasts, over = duration_s(rule["for_s"]), duration_s(rule["keep_firing_for_s"])
        lines += [
            f"{rule['name']} ({rule['severity']})",
            f"  fires when {rule['when']}",
            f"  for {lasts}; resolved when over for {over}",
        ]
    write_standard_output("\n".join(lines) + "\n")
    return 0


def _rule_document(rule: Rule) -> dict[str, Any]:
    terms = rule.terms
    return {
        "name": terms.name,
        "severity": terms.severity.value,
        "when": rule.described(),
        "for_s": terms.for_ns / 1e9,
        "keep_firing_for_s": terms.keep_firing_ns / 1e9,
        "advice": terms.advice,
    }


def _test(config: SidecarConfig, name: str | None) -> int:
    try:
        from otel_wfperf.sidecar.alerting.notifiers import (  # noqa: PLC0415 - comes with the sidecar extra
            Notice,
            NotSentError,
            notifiers,
        )
    except ModuleNotFoundError as error:
        raise MissingExtraError("wfperf alerts test", "sidecar") from error
    known = {each.config.name: each for each in notifiers(config.alerts.notifiers)}
    if name is None:
        hint = f"notifiers are {', '.join(known)}" if known else "add one to sidecar.alerts.notifiers"
        raise UsageError("test: no notifier given", hint=hint)
    if name not in known:
        raise unknown("notifier", name, list(known))
    alert = _test_alert(time.time_ns())
    link = config.alerts.page_url or page_url(config)
    notice = Notice(alerts=(alert,), links={alert.fingerprint: f"{link}/"}, sent_ns=time.time_ns())

    async def send() -> str | None:
        try:
            await known[name].send(notice)
        except NotSentError as error:
            return error.reason
        finally:
            await known[name].close()
        return None

    reason = asyncio.run(send())
    write_standard_output(f"{name}: {'the test message was taken' if reason is None else f'not taken: {reason}'}\n")
    return int(reason is not None)


def _test_alert(now_ns: int) -> Alert:
    """Make an alert that says what it is."""
    terms = Terms(name="wfperf_test", severity=Severity.INFO, advice="nothing: it works")
    reading = Reading(
        workflow=None,
        subject="wfperf:test",
        value=1.0,
        threshold=1.0,
        resolve_below=1.0,
        unit="",
        summary="this is a test message of otel-wfperf",
    )
    return Alert(
        terms=terms, reading=reading, state=AlertState.FIRING, since_ns=now_ns, held_ns=now_ns, fired_ns=now_ns
    )
