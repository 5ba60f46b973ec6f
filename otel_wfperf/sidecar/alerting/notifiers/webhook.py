"""A POST of JSON to any address."""

from __future__ import annotations

from typing import Any, ClassVar

from otel_wfperf.alerts import AlertState
from otel_wfperf.alerts.documents import alert_document
from otel_wfperf.config import WebhookConfig
from otel_wfperf.sidecar.alerting.notifiers.notifier import Notice
from otel_wfperf.sidecar.alerting.notifiers.posting import Poster


class Webhook:
    """Sends everything that is known of the alerts; the body is described in docs/alerts.md."""

    takes_all: ClassVar[bool] = False

    def __init__(self, config: WebhookConfig) -> None:
        """Prepare to send there."""
        self.config = config
        self._poster = Poster(config.url, timeout_s=config.timeout_s, headers=config.headers)

    async def send(self, notice: Notice) -> None:
        """See Notifier."""
        await self._poster.post(body(notice))

    async def close(self) -> None:
        """See Notifier."""
        await self._poster.close()


def body(notice: Notice) -> dict[str, Any]:
    """Describe a message."""
    return {
        "version": "1",
        "status": AlertState.FIRING.value if notice.of(AlertState.FIRING) else AlertState.RESOLVED.value,
        "group": dict(notice.group),
        "alerts": [alert_document(each, link=notice.links.get(each.fingerprint)) for each in notice.alerts],
    }
