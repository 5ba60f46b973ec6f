"""What notifiers send, and how they take answers."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.responses import Response

from otel_wfperf.alerts import Alert, AlertBook, AlertState, ExecutionTime, Facts, Running
from otel_wfperf.config import AlertsConfig, NotifiersConfig, Secret, SlackConfig, WebhookConfig
from otel_wfperf.sidecar.alerting.notifiers import NOTIFIERS, Notice, Notifier, NotSentError, notifiers
from otel_wfperf.sidecar.alerting.notifiers.log import Log
from otel_wfperf.sidecar.alerting.notifiers.slack import Slack
from otel_wfperf.sidecar.alerting.notifiers.slack import body as slack_body
from otel_wfperf.sidecar.alerting.notifiers.webhook import Webhook
from otel_wfperf.sidecar.alerting.notifiers.webhook import body as webhook_body
from tests.alerts.readings import SECOND_NS, START_NS, firing
from tests.peers import REPOSITORY
from tests.processes import free_ports
from tests.sidecar.alerting.hook import running_hook

CPU = firing()
OVER = replace(CPU, state=AlertState.RESOLVED, resolved_ns=START_NS + 90 * SECOND_NS)
LINK = "http://page/executions/ab"


def notice(*alerts: Alert) -> Notice:
    links = {each.fingerprint: LINK for each in alerts}
    return Notice(alerts=alerts, links=links, group={"workflow": "research"}, sent_ns=START_NS)


def webhook(url: str, **options: object) -> Webhook:
    return Webhook(WebhookConfig.model_validate({"name": "hook", "url": url, **options}))


def test_all_that_are_configured_are_there() -> None:
    config = NotifiersConfig.model_validate(
        {
            "webhooks": [{"name": "a", "url": "http://127.0.0.1:1"}, {"name": "b", "url": "http://127.0.0.1:1"}],
            "slack": [{"name": "c", "url": "http://127.0.0.1:1"}],
            "alertmanagers": [{"name": "d", "url": "http://127.0.0.1:1"}],
        }
    )

    assert [each.config.name for each in notifiers(config)] == ["log", "a", "b", "c", "d"]
    assert len(NOTIFIERS) == 4
    assert notifiers(NotifiersConfig.model_validate({"log": {"enabled": False}})) == ()


async def test_a_webhook_gets_everything_with_its_headers() -> None:
    async with running_hook() as hook:
        notifier = webhook(hook.url, headers={"authorization": "Bearer t"})
        await notifier.send(notice(CPU))
        await notifier.send(notice(OVER))
        await notifier.close()

    fired, over = hook.bodies
    assert (fired["version"], fired["status"], fired["group"]) == ("1", "firing", {"workflow": "research"})
    assert (fired["alerts"][0]["summary"], fired["alerts"][0]["link"]) == ("it is 0.9", LINK)
    assert (over["status"], over["alerts"][0]["resolved_at"]) == ("resolved", "2027-01-15T08:01:30.000Z")
    assert hook.headers["authorization"] == "Bearer t"


@pytest.mark.parametrize(
    ("answer", "reason", "is_final", "after_s"),
    [
        (Response(status_code=500), "http_500", False, 0),
        (Response(status_code=429, headers={"retry-after": "7"}), "http_429", False, 7),
        (Response(status_code=408), "http_408", False, 0),
        (Response(status_code=401), "http_401", True, 0),
        (Response(status_code=302, headers={"location": "http://elsewhere/"}), "http_302", True, 0),
    ],
)
async def test_answers_say_whether_to_try_again(
    answer: Response, reason: str, *, is_final: bool, after_s: float
) -> None:
    async with running_hook() as hook:
        hook.answer = lambda _: answer
        notifier = webhook(hook.url)
        with pytest.raises(NotSentError) as raised:
            await notifier.send(notice(CPU))
        await notifier.close()

    assert (raised.value.reason, raised.value.is_final, raised.value.after_s) == (reason, is_final, after_s)


async def test_what_does_not_answer_is_tried_again(tmp_path: Path) -> None:
    [port] = free_ports(1)
    secret = tmp_path / "url"
    secret.write_text(f"http://127.0.0.1:{port}/token-in-path")
    notifier = Webhook(WebhookConfig.model_validate({"name": "hook", "url": {"file": str(secret)}}))
    with pytest.raises(NotSentError) as connection:
        await notifier.send(notice(CPU))
    secret.unlink()
    with pytest.raises(NotSentError) as unreadable:
        await notifier.send(notice(CPU))
    await notifier.close()

    assert [(str(each.value), each.value.is_final) for each in (connection, unreadable)] == [
        ("connection", False),
        ("secret", False),
    ]


async def test_slack_gets_escaped_sections_with_a_link() -> None:
    hostile = firing(subject="tool:<!channel> & *co*")
    async with running_hook() as hook:
        notifier = Slack(SlackConfig(name="chat", url=Secret.literal(hook.url)))
        await notifier.send(notice(hostile, OVER))
        await notifier.close()

    [sent] = hook.bodies
    assert sent["text"] == "firing: cpu (high): tool:&lt;!channel&gt; &amp; *co* of research and 1 more"
    first, second = (block["text"]["text"] for block in sent["blocks"])
    assert first == (
        ":red_circle: *firing: cpu (high): tool:&lt;!channel&gt; &amp; *co* of research*\nit is 0.9\n"
        f"since 2027-01-15T08:00:00.000Z\nwhat to do: run fewer agents\n<{LINK}|Show it>"
    )
    assert second.startswith(":large_green_circle: *resolved: cpu (high): workflow:research*\nlast: it is 0.9\n")


def test_slack_takes_only_so_much() -> None:
    many = [firing(subject=f"tool:{number}" + "x" * 5_000) for number in range(30)]
    blocks = slack_body(notice(*many))["blocks"]

    assert len(blocks) == 21
    assert blocks[-1]["text"]["text"] == "and 10 more alerts"
    assert all(len(block["text"]["text"]) <= 3_000 for block in blocks)


async def test_the_log_gets_one_line_and_everything_as_a_field(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    notifier = Log()
    await notifier.send(notice(CPU, OVER))
    await notifier.close()

    fired, over = caplog.records
    assert (fired.levelname, over.levelname) == ("WARNING", "INFO")
    assert fired.getMessage() == (
        "firing: cpu (high): workflow:research; it is 0.9; since 2027-01-15T08:00:00.000Z; "
        f"what to do: run fewer agents; {LINK}"
    )
    assert json.loads(json.dumps(fired.__dict__["alert"]))["fingerprint"] == CPU.fingerprint


def test_each_notifier_says_who_it_is() -> None:
    kinds: list[Notifier] = [Log(), webhook("http://127.0.0.1:1")]

    assert [each.config.name for each in kinds] == ["log", "hook"]


def test_the_page_shows_a_body_as_it_is_sent() -> None:
    rule = ExecutionTime(terms=AlertsConfig().execution_time.rule().terms, threshold_ns=300 * SECOND_NS, by_workflow={})
    running = Running(trace_id="0af7651916cd43dd8448eb211c80319c", workflow="research", start_ns=START_NS)
    [alert] = AlertBook().apply(rule, Facts(running=[running]), now_ns=START_NS + 300 * SECOND_NS)
    links = {alert.fingerprint: f"https://wfperf.example.com/executions/{running.trace_id}"}
    body = webhook_body(Notice(alerts=(alert,), links=links, group={"workflow": "research"}, sent_ns=START_NS))

    page = (REPOSITORY / "docs" / "alerts.md").read_text(encoding="utf-8")
    assert json.loads(page.split("```json\n")[1].split("```")[0]) == body
