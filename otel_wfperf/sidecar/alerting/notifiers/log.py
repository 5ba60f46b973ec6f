"""One line on standard error for each alert that fires or is resolved."""

from __future__ import annotations

import logging
from typing import ClassVar

from otel_wfperf.alerts import AlertState
from otel_wfperf.alerts.documents import alert_document
from otel_wfperf.alerts.wording import sentence
from otel_wfperf.config import NotifierConfig
from otel_wfperf.sidecar.alerting.notifiers.notifier import Notice

_LOGGER = logging.getLogger(__name__)
NAME = "log"


class Log:
    """Writes events; as JSON they hold everything that is known of the alert under ``alert``."""

    takes_all: ClassVar[bool] = True

    def __init__(self) -> None:
        """Have the usual rate."""
        self.config = NotifierConfig(name=NAME)

    async def send(self, notice: Notice) -> None:
        """See Notifier."""
        for alert in notice.alerts:
            level = logging.WARNING if alert.state is AlertState.FIRING else logging.INFO
            link = notice.links.get(alert.fingerprint)
            _LOGGER.log(level, "%s", sentence(alert, link), extra={"alert": alert_document(alert, link=link)})

    async def close(self) -> None:
        """See Notifier."""
