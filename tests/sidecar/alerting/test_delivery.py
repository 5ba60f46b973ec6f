from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

import pytest
from starlette.responses import Response

from otel_wfperf.alerts import Alert, AlertState
from otel_wfperf.config import Secret, WebhookConfig
from otel_wfperf.model import Severity
from otel_wfperf.sidecar.alerting.delivery import Delivery
from otel_wfperf.sidecar.alerting.notifiers.webhook import Webhook
from tests.alerts.readings import SECOND_NS, START_NS, firing
from tests.sidecar.alerting.hook import Counted, Hook, running_hook
from tests.waiting import eventually_async


class World:
    """A delivery to a real web hook, by a clock of its own."""

    def __init__(self, hook: Hook, told: dict[str, int] | None, **config: Any) -> None:
        self.hook = hook
        self.counted = Counted()
        self.now_ns = START_NS
        settings = WebhookConfig(name="hook", url=Secret.literal(hook.url), **config)
        self.delivery = Delivery(
            Webhook(settings),
            counts=self.counted,
            group_by=["workflow"],
            link=lambda _: None,
            clock_ns=lambda: self.now_ns,
            random=lambda: 0.5,
            told=told,
        )

    def update(self, *alerts: Alert, silenced: tuple[Alert, ...] = ()) -> None:
        self.delivery.update(alerts, {each.fingerprint for each in silenced}, now_ns=self.now_ns)

    async def told(self, *expected: tuple[str, str]) -> None:
        """Wait until these were told, and the answers are here; nothing else was."""

        async def all_told() -> bool:
            answered = self.counted.notified_by.get(("hook", "sent"), 0)
            return len(self.hook.told) >= len(expected) and answered == len(self.hook.bodies)

        await eventually_async(all_told)
        assert self.hook.told == list(expected)


@asynccontextmanager
async def world(told: dict[str, int] | None = None, **config: Any) -> AsyncIterator[World]:
    async with running_hook() as hook:
        made = World(hook, told, **config)
        running = asyncio.create_task(made.delivery.run())
        try:
            yield made
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
            await made.delivery.close()


def resolved(alert: Alert, *, after_s: int = 60) -> Alert:
    return replace(alert, state=AlertState.RESOLVED, resolved_ns=alert.since_ns + after_s * SECOND_NS)


async def test_tells_once_that_it_fires_and_once_that_it_is_over() -> None:
    alert = firing()
    async with world() as here:
        here.update(alert)
        await here.told(("firing", "cpu"))
        here.update(replace(alert, held_ns=START_NS + 1))
        here.update(resolved(alert))
        await here.told(("firing", "cpu"), ("resolved", "cpu"))
        here.update(resolved(alert))
        here.update(firing("memory"))
        await here.told(("firing", "cpu"), ("resolved", "cpu"), ("firing", "memory"))

    assert here.counted.notified_by == {("hook", "sent"): 3}


async def test_tells_again_what_goes_on_for_long() -> None:
    async with world(repeat_s=100) as here:
        here.update(firing())
        await here.told(("firing", "cpu"))
        here.now_ns += 99 * SECOND_NS
        here.update(firing())
        here.now_ns += SECOND_NS
        here.update(firing())
        await here.told(("firing", "cpu"), ("firing", "cpu"))


async def test_a_restart_tells_nothing_again_and_the_end_all_the_same() -> None:
    alert = firing()
    async with world(told={alert.fingerprint: START_NS}) as here:
        here.update(alert)
        here.update(alert, firing("memory"))
        await here.told(("firing", "memory"))
        here.update(resolved(alert), firing("memory"))
        await here.told(("firing", "memory"), ("resolved", "cpu"))


async def test_groups_what_begins_together() -> None:
    alerts = [firing("cpu"), firing("memory"), firing("slow", workflow="other")]
    async with world() as here:
        here.update(*alerts)
        await here.told(("firing", "cpu"), ("firing", "memory"), ("firing", "slow"))

    assert [body["group"] for body in here.hook.bodies] == [{"workflow": "research"}, {"workflow": "other"}]


async def test_silenced_alerts_are_told_when_the_silence_is_over() -> None:
    alert = firing()
    async with world() as here:
        here.update(alert, firing("memory"), silenced=(alert,))
        await here.told(("firing", "memory"))
        here.update(alert, firing("memory"))
        await here.told(("firing", "memory"), ("firing", "cpu"))
        here.update(resolved(alert), firing("memory"), silenced=(alert,))
        await here.told(("firing", "memory"), ("firing", "cpu"), ("resolved", "cpu"))


async def test_leaves_out_what_is_not_severe_enough() -> None:
    alert = firing()
    mild = replace(firing("mild"), terms=replace(alert.terms, name="mild", severity=Severity.LOW))
    async with world(min_severity="high") as here:
        here.update(mild, alert)
        await here.told(("firing", "cpu"))


async def test_tries_again_until_it_is_taken_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with world() as here:
        here.hook.answer = lambda number: Response(status_code=503 if number == 1 else 200)
        here.update(firing())
        await here.told(("firing", "cpu"))

    assert here.counted.notified_by == {("hook", "http_503"): 1, ("hook", "sent"): 1}
    assert [record.getMessage() for record in caplog.records if record.name.startswith("otel_wfperf")] == [
        "notifier hook: http_503; it is tried again, and hears the latest state; wfperf alerts test hook tries it",
        "notifier hook: takes messages again",
    ]


async def test_what_is_over_before_it_could_be_told_is_told_in_one_message() -> None:
    alert = firing()
    async with world() as here:
        here.hook.answer = lambda number: Response(status_code=503 if number == 1 else 200)
        here.update(alert)

        async def tried() -> int:
            return here.hook.tries

        await eventually_async(tried)
        here.update(resolved(alert))
        await here.told(("resolved", "cpu"))

    assert here.counted.suppressed_by == {("hook", "superseded"): 1}


async def test_what_is_refused_for_good_is_said_counted_and_not_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    async with world() as here:
        here.hook.answer = lambda number: Response(status_code=404 if number == 1 else 200)
        here.update(firing())

        async def refused() -> int:
            return here.counted.notified_by.get(("hook", "http_404"), 0)

        await eventually_async(refused)
        here.update(firing(), firing("memory"))
        await here.told(("firing", "memory"))

    assert here.counted.notified_by == {("hook", "http_404"): 1, ("hook", "sent"): 1}
    assert "notifier hook refused a message (http_404): firing: cpu (high)" in caplog.text


async def test_sends_no_more_than_the_rate_and_only_the_latest_of_the_rest() -> None:
    first, second = firing("cpu", workflow="a"), firing("cpu", workflow="b")
    async with world(max_messages=1, per_s=0.3) as here:
        here.update(first, second)
        await here.told(("firing", "cpu"))
        here.update(first, resolved(second))
        await here.told(("firing", "cpu"), ("resolved", "cpu"))

    assert here.counted.suppressed_by == {("hook", "rate_limited"): 1, ("hook", "superseded"): 1}
    assert here.hook.tries == 2


async def test_forgets_what_nobody_knows_any_more() -> None:
    alert = firing()
    async with world(told={alert.fingerprint: START_NS}) as here:
        here.update()

        assert here.delivery.told == {}
