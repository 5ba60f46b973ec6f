"""What is an alert, and who is told."""

from typing import Annotated, Final, Self

from pydantic import AfterValidator, Field, model_validator

from otel_wfperf.alerts import BurnRate, ErrorRate, ExecutionTime, Found, MetricLevel, Promise, Rule, Terms
from otel_wfperf.config.notifiers import HttpUrl, NotifiersConfig
from otel_wfperf.config.section import Section
from otel_wfperf.config.values import Duration, PositiveDuration
from otel_wfperf.model import Severity
from otel_wfperf.semconv import PROCESS_CPU_UTILISATION, PROCESS_MEMORY_UTILISATION

_LOOK: Final = "open the link: it shows what is running and what has stalled"
_FEWER: Final = "run fewer agents at once, pass less context, or give the process more"
# Names of the rules that are always there.
_EXECUTION_TIME: Final = "execution_time"
_MEMORY: Final = "memory"
_CPU: Final = "cpu"
_ERROR_RATE: Final = "error_rate"
# Chosen: what goes up and down by 5 % about a threshold does not end.
_RESOLVE_RATIO: Final = 0.9


def _ns(duration_s: float) -> int:
    return round(duration_s * 1e9)


def _checked_patterns(patterns: tuple[str, ...]) -> tuple[str, ...]:
    if not patterns or not all(patterns):
        raise ValueError('write names or patterns such as research-*; ["*"] for all')
    return patterns


Ratio = Annotated[float, Field(gt=0, le=1)]
Patterns = Annotated[tuple[str, ...], AfterValidator(_checked_patterns)]
RuleName = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class RuleConfig(Section):
    """What all rules have in common."""

    severity: Severity = Severity.HIGH
    """How bad it is: critical, high, medium, low or info (default high)."""
    for_s: Duration = 0.0
    """How long it must be true before it fires (default 0s)."""
    keep_firing_for_s: Duration = 0.0
    """How long it must be over before it is resolved, so that what comes and goes is one alert (default 0s)."""

    def terms(self, name: str, advice: str) -> Terms:
        """Return what every rule has."""
        delays = {"for_ns": _ns(self.for_s), "keep_firing_ns": _ns(self.keep_firing_for_s)}
        return Terms(name=name, severity=self.severity, advice=advice, **delays)


class ExecutionTimeConfig(RuleConfig):
    """An execution runs for too long; told while it runs."""

    enabled: bool = True
    """Whether it is watched (default true)."""
    threshold_s: PositiveDuration = 300.0
    """How long an execution may take (default 300s)."""
    workflows: dict[str, PositiveDuration] = Field(default_factory=dict)
    """The same for workflows by name or pattern, such as `{nightly-*: 2h}`; the first that fits counts."""
    keep_firing_for_s: Duration = 60.0
    """How long no execution must be late before it is resolved (default 1m). Chosen: late executions that follow each
    other are one alert."""

    def rule(self) -> ExecutionTime:
        """Return the rule."""
        by_workflow = {pattern: _ns(threshold_s) for pattern, threshold_s in self.workflows.items()}
        terms = self.terms(_EXECUTION_TIME, _LOOK)
        return ExecutionTime(terms=terms, threshold_ns=_ns(self.threshold_s), by_workflow=by_workflow)


class ThresholdConfig(RuleConfig):
    """A value is too high, and has to fall some way below to be well again."""

    threshold: float
    """From here on it is true, in the unit of the metric."""
    resolve_below: float | None = None
    """Once it fires, it is over below this (default 0.9 x the threshold). Chosen: what goes up and down by 5 % about
    the threshold does not end."""

    @model_validator(mode="after")
    def _is_no_higher(self) -> Self:
        if self.lower > self.threshold:
            raise ValueError(f"resolve_below ({self.lower:g}) is above threshold ({self.threshold:g}); lower it")
        return self

    @property
    def lower(self) -> float:
        """The second threshold."""
        return _RESOLVE_RATIO * self.threshold if self.resolve_below is None else self.resolve_below


class LevelConfig(ThresholdConfig):
    """A gauge of a process is too high."""

    for_s: Duration = 60.0
    """How long it must be true before it fires (default 1m)."""
    keep_firing_for_s: Duration = 300.0
    """How long it must be over before it is resolved (default 5m)."""

    def level(self, name: str, metric: str, advice: str) -> MetricLevel:
        """Return the rule."""
        return MetricLevel(
            terms=self.terms(name, advice),
            metric=metric,
            threshold=self.threshold,
            resolve_below=self.lower,
        )


class MemoryConfig(LevelConfig):
    """The memory of a container, or of a machine without a limit, is nearly used up."""

    enabled: bool = True
    """Whether it is watched (default true)."""
    severity: Severity = Severity.CRITICAL
    """How bad it is (default critical): the kernel ends the process when there is no more."""
    threshold: Ratio = 0.9
    """Share of the memory (default 0.9)."""

    def rule(self) -> MetricLevel:
        """Return the rule."""
        return self.level(_MEMORY, PROCESS_MEMORY_UTILISATION.name, f"{_FEWER} memory")


class CpuConfig(LevelConfig):
    """A process uses nearly all CPUs that it may use."""

    enabled: bool = True
    """Whether it is watched (default true)."""
    threshold: Ratio = 0.85
    """Share of the CPUs that the process may use (default 0.85)."""
    for_s: Duration = 300.0
    """How long it must be true before it fires (default 5m). Chosen: some minutes of work are no fault."""

    def rule(self) -> MetricLevel:
        """Return the rule."""
        return self.level(_CPU, PROCESS_CPU_UTILISATION.name, f"{_FEWER} CPUs")


class MetricRuleConfig(LevelConfig):
    """Any other gauge that processes send as an OpenTelemetry metric."""

    name: RuleName
    """Name of the alert."""
    metric: str = Field(min_length=1, max_length=255)
    """Name of the metric, such as `wfperf.agent.queued`."""

    def rule(self) -> MetricLevel:
        """Return the rule."""
        return self.level(self.name, self.metric, f"find out what drives {self.metric} up")


class ErrorRateConfig(ThresholdConfig):
    """Too many executions of a workflow fail."""

    enabled: bool = True
    """Whether it is watched (default true)."""
    severity: Severity = Severity.CRITICAL
    """How bad it is (default critical)."""
    threshold: Ratio = 0.05
    """Share of executions that fail (default 0.05)."""
    window_s: PositiveDuration = 3600.0
    """How far back (default 1h). Chosen: workflows take minutes; fewer than an hour has hardly any."""
    min_executions: int = Field(default=20, ge=1)
    """With fewer in the window nothing is said (count, default 20). Chosen: two have to fail."""
    keep_firing_for_s: Duration = 300.0
    """How long it must be over before it is resolved (default 5m)."""

    def rule(self) -> ErrorRate:
        """Return the rule."""
        return ErrorRate(
            terms=self.terms(_ERROR_RATE, "look at the failed executions: /api/v1/executions?status=error"),
            threshold=self.threshold,
            resolve_below=self.lower,
            window_ns=_ns(self.window_s),
            min_executions=self.min_executions,
        )


class FindingsRuleConfig(RuleConfig):
    """A detector has found something bad enough."""

    name: RuleName
    """Name of the alert."""
    detectors: Patterns = ("*",)
    """Names or patterns of detectors (default all)."""
    workflows: Patterns = ("*",)
    """Names or patterns of workflows (default all)."""
    min_severity: Severity = Severity.CRITICAL
    """The least bad finding that counts (default critical)."""
    min_saving_s: Duration = 0.0
    """The least predicted gain that counts (default 0s: also findings without a prediction)."""
    window_s: PositiveDuration = 3600.0
    """How long it goes on after an execution had it last (default 1h)."""

    def rule(self) -> Found:
        """Return the rule."""
        return Found(
            terms=self.terms(self.name, "do what the finding recommends"),
            detectors=self.detectors,
            workflows=self.workflows,
            severity=self.min_severity,
            min_saving_s=self.min_saving_s,
            window_ns=_ns(self.window_s),
        )


class ObjectiveConfig(RuleConfig):
    """A service level objective, watched by the rate at which its error budget burns.

    Source: The Site Reliability Workbook, chapter 5: 14.4 x over 1 h and 5 min, or 6 x over 6 h and 30 min.
    """

    name: RuleName
    """Name of the alert."""
    severity: Severity = Severity.CRITICAL
    """How bad it is (default critical): the source wakes somebody up."""
    objective: float = Field(gt=0, lt=1)
    """Share of executions that must be good, such as 0.99."""
    latency_s: PositiveDuration | None = None
    """A good execution takes no longer (default: it only has to succeed)."""
    workflows: Patterns = ("*",)
    """Names or patterns of workflows; each has a budget of its own (default all)."""
    min_executions: int = Field(default=10, ge=1)
    """With fewer in the long window nothing is said (count, default 10). Chosen: a single failure wakes nobody up."""
    keep_firing_for_s: Duration = 300.0
    """How long it must be over before it is resolved (default 5m)."""

    def rule(self) -> BurnRate:
        """Return the rule."""
        limit_ns = None if self.latency_s is None else _ns(self.latency_s)
        return BurnRate(
            terms=self.terms(self.name, "look at what changed, and at failed and slow executions: /api/v1/executions"),
            objective=self.objective,
            promise=Promise(max_duration_ns=limit_ns),
            workflows=self.workflows,
            min_executions=self.min_executions,
            resolve_ratio=_RESOLVE_RATIO,
        )


class AlertsConfig(Section):
    """What is an alert, and who is told."""

    enabled: bool = True
    """Whether anything is watched (default true)."""
    page_url: HttpUrl | None = None
    """Address of the page as those who are told reach it, for links (default: `sidecar.listen.page`)."""
    execution_time: ExecutionTimeConfig = ExecutionTimeConfig()
    """An execution runs for too long."""
    memory: MemoryConfig = MemoryConfig()
    """The memory is nearly used up."""
    cpu: CpuConfig = CpuConfig()
    """The CPUs are nearly used up."""
    error_rate: ErrorRateConfig = ErrorRateConfig()
    """Too many executions fail."""
    metrics: tuple[MetricRuleConfig, ...] = ()
    """Other gauges."""
    findings: tuple[FindingsRuleConfig, ...] = ()
    """Findings of detectors."""
    objectives: tuple[ObjectiveConfig, ...] = ()
    """Service level objectives."""
    group_by: tuple[str, ...] = ("workflow",)
    """Labels that alerts of one message have in common: alertname, severity, workflow, subject; none = all alerts that
    begin or end together are one message (default workflow)."""
    notifiers: NotifiersConfig = NotifiersConfig()
    """Who is told."""

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [_EXECUTION_TIME, _MEMORY, _CPU, _ERROR_RATE]
        names += [each.name for each in self.metrics]
        names += [each.name for each in self.findings]
        names += [each.name for each in self.objectives]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"each rule needs its own name; used more than once: {', '.join(twice)}")
        return self

    @model_validator(mode="after")
    def _groups_by_labels(self) -> Self:
        known = ("alertname", "severity", "workflow", "subject")
        if unknown := [label for label in self.group_by if label not in known]:
            raise ValueError(f"group_by: {unknown[0]!r} is no label; labels are {', '.join(known)}")
        return self

    def rules(self) -> tuple[Rule, ...]:
        """Return the rules in effect."""
        if not self.enabled:
            return ()
        always = (self.execution_time, self.memory, self.cpu, self.error_rate)
        return (
            *(each.rule() for each in always if each.enabled),
            *(each.rule() for each in self.metrics),
            *(each.rule() for each in self.findings),
            *(each.rule() for each in self.objectives),
        )
