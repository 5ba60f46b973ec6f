"""A Prometheus Alertmanager, by its API v2."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from otel_wfperf.alerts import Alert, AlertState
from otel_wfperf.alerts.wording import moment, quantity
from otel_wfperf.config import AlertmanagerConfig, Secret
from otel_wfperf.sidecar.alerting.notifiers.notifier import Notice
from otel_wfperf.sidecar.alerting.notifiers.posting import Poster

# Source: Prometheus rules/manager.go, which ends an alert four resend delays after it has last sent it.
_LIVES_FOR: Final = 4


class Alertmanager:
    """Sends what fires again and again, because Alertmanager takes what it no longer hears of for resolved."""

    takes_all: ClassVar[bool] = True

    def __init__(self, config: AlertmanagerConfig) -> None:
        """Prepare to send there."""
        self.config = config
        url = Secret.literal(f"{config.url}/api/v2/alerts")
        self._poster = Poster(url, timeout_s=config.timeout_s, headers=config.headers)

    async def send(self, notice: Notice) -> None:
        """See Notifier."""
        ends_ns = notice.sent_ns + int(_LIVES_FOR * self.config.repeat_s * 1e9)
        await self._poster.post([_alert(each, notice.links.get(each.fingerprint), ends_ns) for each in notice.alerts])

    async def close(self) -> None:
        """See Notifier."""
        await self._poster.close()


def _alert(alert: Alert, link: str | None, ends_ns: int) -> dict[str, Any]:
    """Write an alert. Source: prometheus/alertmanager api/v2/openapi.yaml, postableAlert."""
    reading = alert.reading
    if alert.state is AlertState.RESOLVED and alert.resolved_ns is not None:
        ends_ns = alert.resolved_ns
    return {
        "labels": {key: value for key, value in alert.labels.items() if value},
        "annotations": {
            "summary": reading.summary,
            "description": reading.advice or alert.terms.advice,
            "value": quantity(reading.value, reading.unit),
            "threshold": quantity(reading.threshold, reading.unit),
        },
        "startsAt": moment(alert.since_ns),
        # It may not lie before the start, and the two are cut to milliseconds.
        "endsAt": moment(max(ends_ns, alert.since_ns + 1_000_000)),
        **({"generatorURL": link} if link else {}),
    }
