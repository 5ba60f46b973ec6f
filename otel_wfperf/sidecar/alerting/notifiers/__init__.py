"""Those who are told. To add a kind: its file, its line here, what is configured of it, its test."""

from collections.abc import Callable, Iterator
from typing import Final

from otel_wfperf.config import NotifiersConfig
from otel_wfperf.sidecar.alerting.notifiers.alertmanager import Alertmanager
from otel_wfperf.sidecar.alerting.notifiers.log import Log
from otel_wfperf.sidecar.alerting.notifiers.notifier import Notice, Notifier, NotSentError
from otel_wfperf.sidecar.alerting.notifiers.slack import Slack
from otel_wfperf.sidecar.alerting.notifiers.webhook import Webhook

NOTIFIERS: Final[tuple[Callable[[NotifiersConfig], Iterator[Notifier]], ...]] = (
    lambda config: iter([Log()] if config.log.enabled else []),
    lambda config: (Webhook(each) for each in config.webhooks),
    lambda config: (Slack(each) for each in config.slack),
    lambda config: (Alertmanager(each) for each in config.alertmanagers),
)

__all__ = ["NOTIFIERS", "NotSentError", "Notice", "Notifier", "notifiers"]


def notifiers(config: NotifiersConfig) -> tuple[Notifier, ...]:
    """Prepare all that are configured."""
    return tuple(notifier for configured in NOTIFIERS for notifier in configured(config))
