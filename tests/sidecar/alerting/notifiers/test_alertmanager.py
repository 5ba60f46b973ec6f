"""The real Alertmanager takes, keeps and ends what it is sent."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import Any

import pytest

from otel_wfperf.alerts import Alert, AlertState
from otel_wfperf.config import AlertmanagerConfig
from otel_wfperf.sidecar.alerting.notifiers import Notice
from otel_wfperf.sidecar.alerting.notifiers.alertmanager import Alertmanager
from tests.alerts.readings import SECOND_NS, firing
from tests.peers import running_alertmanager
from tests.sidecar.running import fetch_json
from tests.waiting import eventually_async

CONFIG = "route: {receiver: none, group_wait: 0s}\nreceivers: [{name: none}]\n"
LINK = "http://127.0.0.1:4319/executions/ab"


def seen(url: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = fetch_json(f"{url}/api/v2/alerts")
    return found


@pytest.mark.peer("alertmanager")
async def test_the_real_alertmanager_shows_what_fires_and_ends_what_is_over() -> None:
    now_ns = time.time_ns()
    cpu, memory = firing(at_ns=now_ns), firing("memory", at_ns=now_ns, workflow=None, subject="service:checkout")
    with running_alertmanager(CONFIG) as peer:
        notifier = Alertmanager(AlertmanagerConfig(name="am", url=peer.url))

        async def send(*alerts: Alert) -> None:
            links = {each.fingerprint: LINK for each in alerts}
            await notifier.send(Notice(alerts=alerts, links=links, sent_ns=now_ns))

        await send(cpu, memory)

        async def both() -> bool:
            return len(seen(peer.url)) == 2

        await eventually_async(both)
        shown = {each["labels"]["alertname"]: each for each in seen(peer.url)}
        await send(replace(cpu, state=AlertState.RESOLVED, resolved_ns=time.time_ns()))

        async def one() -> bool:
            return len(seen(peer.url)) == 1

        await eventually_async(one)
        await notifier.close()

    assert shown["cpu"]["labels"] == cpu.labels
    assert shown["cpu"]["generatorURL"] == LINK
    assert shown["cpu"]["annotations"] == {
        "summary": "it is 0.9",
        "description": "run fewer agents",
        "value": "90 %",
        "threshold": "85 %",
    }
    assert shown["memory"]["labels"] == memory.labels
    lives_ns = _ns(shown["cpu"]["endsAt"]) - now_ns
    assert abs(lives_ns - 240 * SECOND_NS) < SECOND_NS, json.dumps(shown["cpu"])


def _ns(moment: str) -> int:
    from datetime import datetime

    return int(datetime.fromisoformat(moment).timestamp() * 1e9)
