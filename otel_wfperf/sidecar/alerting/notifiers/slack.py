"""A Slack channel, by an incoming webhook."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from otel_wfperf.alerts import Alert, AlertState
from otel_wfperf.alerts.wording import headline, paragraphs
from otel_wfperf.config import SlackConfig
from otel_wfperf.report.units import count
from otel_wfperf.sidecar.alerting.notifiers.notifier import Notice
from otel_wfperf.sidecar.alerting.notifiers.posting import Poster

# Chosen: more in one message nobody reads. Slack takes 50 blocks of 3 000 characters.
_MAX_ALERTS: Final = 20
_MAX_CHARACTERS: Final = 2_900


class Slack:
    """Sends one section for each alert. Source: Slack, "Sending messages using incoming webhooks"."""

    takes_all: ClassVar[bool] = False

    def __init__(self, config: SlackConfig) -> None:
        """Prepare to send there."""
        self.config = config
        self._poster = Poster(config.url, timeout_s=config.timeout_s)

    async def send(self, notice: Notice) -> None:
        """See Notifier."""
        await self._poster.post(body(notice))

    async def close(self) -> None:
        """See Notifier."""
        await self._poster.close()


def body(notice: Notice) -> dict[str, Any]:
    """Write a message; `text` is what notifications show."""
    shown = notice.alerts[:_MAX_ALERTS]
    texts = [_section(each, notice.links.get(each.fingerprint)) for each in shown]
    if len(notice.alerts) > len(shown):
        texts.append(f"and {count(len(notice.alerts) - len(shown), 'more alert')}")
    first = headline(notice.alerts[0])
    more = f" and {len(notice.alerts) - 1} more" if len(notice.alerts) > 1 else ""
    return {
        "text": _escaped(f"{first}{more}"),
        "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": text}} for text in texts],
    }


def _section(alert: Alert, link: str | None) -> str:
    sign = ":red_circle:" if alert.state is AlertState.FIRING else ":large_green_circle:"
    lines = [f"{sign} *{_escaped(headline(alert))}*", *(_escaped(line) for line in paragraphs(alert))]
    text = "\n".join(lines)[:_MAX_CHARACTERS]
    return f"{text}\n<{link}|Show it>" if link else text


def _escaped(text: str) -> str:
    """Escape what Slack gives a meaning. Source: Slack, "Formatting text for app surfaces"."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
