"""Who is told of alerts."""

import re
from typing import Annotated, Final, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from otel_wfperf.config.exporters import is_sendable
from otel_wfperf.config.secrets import SECRET_PROBLEM, Secret
from otel_wfperf.config.section import Section
from otel_wfperf.config.values import PositiveDuration
from otel_wfperf.model import Severity

# Source: RFC 9110, section 5.1, field names are tokens.
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def _is_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)


def checked_url(url: str) -> str:
    """Return a URL without a slash at its end; raise ValueError when it is none."""
    if not _is_url(url):
        raise ValueError("write http://host:port or https://host/path")
    return url.rstrip("/")


def _checked_secret_url(url: Secret) -> Secret:
    if not _is_url(url.get()):
        raise PydanticCustomError(SECRET_PROBLEM, "write http://host/path or https://host/path")
    return url


def _checked_headers(headers: dict[str, Secret]) -> dict[str, Secret]:
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not the name of a header; use letters, digits, - _ .")
        if not is_sendable(value.get()):
            raise ValueError(f"the value of {name!r} cannot be sent; it may hold printable ASCII only")
    return headers


Headers = Annotated[dict[str, Secret], AfterValidator(_checked_headers)]
HttpUrl = Annotated[str, AfterValidator(checked_url)]
# Whoever knows the address may write there.
SecretUrl = Annotated[Secret, AfterValidator(_checked_secret_url)]


class NotifierConfig(Section):
    """What all who are told have in common."""

    name: str = Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")
    """Name in metrics and messages."""
    min_severity: Severity = Severity.INFO
    """The least severe alert that is told (default info: all)."""
    timeout_s: PositiveDuration = 10.0
    """Longest wait for an answer (default 10s). Chosen: as the exporters."""
    max_messages: int = Field(default=30, ge=1)
    """Most messages within `per`; what is more waits, and only its latest state is told (count, default 30)."""
    per_s: PositiveDuration = 60.0
    """The time for `max_messages` (default 1m). Source: Slack takes one message a second; half of that is plenty."""
    repeat_s: PositiveDuration = 4 * 3600.0
    """How often an alert that still fires is told again (default 4h). Source: Alertmanager, repeat_interval."""


class WebhookConfig(NotifierConfig):
    """A POST of JSON to any address; docs/alerts.md shows the body."""

    url: SecretUrl
    """Where to: https://host/path. A secret, because paths often hold a token; never printed."""
    headers: Headers = Field(default_factory=dict)
    """Sent with each message, for example `authorization`; never printed."""


class SlackConfig(NotifierConfig):
    """A Slack channel, by an incoming webhook."""

    url: SecretUrl
    """https://hooks.slack.com/services/...; whoever has it may write to the channel, so it is a secret."""


class AlertmanagerConfig(NotifierConfig):
    """A Prometheus Alertmanager, by its API v2."""

    url: HttpUrl
    """http://host:9093, without /api/v2."""
    headers: Headers = Field(default_factory=dict)
    """Sent with each request, for example `authorization`; never printed."""
    repeat_s: PositiveDuration = 60.0
    """How often what fires is sent again (default 1m). Alertmanager takes an alert for resolved four times that long
    after it has heard of it last. Source: Prometheus, rules.alert.resend-delay (1 min), and four of them."""


class LogNotifierConfig(Section):
    """One line on standard error for each alert that fires or is resolved."""

    enabled: bool = True
    """Whether it is written (default true)."""


class NotifiersConfig(Section):
    """Who is told of alerts."""

    log: LogNotifierConfig = LogNotifierConfig()
    """Standard error."""
    webhooks: tuple[WebhookConfig, ...] = ()
    """Any HTTP address."""
    slack: tuple[SlackConfig, ...] = ()
    """Slack channels."""
    alertmanagers: tuple[AlertmanagerConfig, ...] = ()
    """Alertmanagers."""

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [each.name for each in (*self.webhooks, *self.slack, *self.alertmanagers)]
        if twice := sorted({name for name in names if [*names, "log"].count(name) > 1}):
            raise ValueError(f"each notifier needs its own name, and log is taken; used twice: {', '.join(twice)}")
        return self
