"""Alerts at work: look once a second and at each deadline, keep what is known, tell those who want to know."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

from otel_wfperf.alerts import (
    Alert,
    AlertBook,
    AlertState,
    Facts,
    Level,
    MetricLevel,
    Outcome,
    Outcomes,
    Rule,
    Running,
    SeenFinding,
    Silence,
    silenced_by,
)
from otel_wfperf.alerts.rules import BurnRate, ErrorRate
from otel_wfperf.config import AlertsConfig
from otel_wfperf.errors import DecodeError, WfperfError
from otel_wfperf.log import Record, Signal
from otel_wfperf.model import Execution, ExecutionStatus, Finding
from otel_wfperf.otlp.metrics import decode_gauges
from otel_wfperf.sidecar.alerting.delivery import Counts, Delivery
from otel_wfperf.sidecar.alerting.notifiers import notifiers
from otel_wfperf.sidecar.alerting.state_file import Kept, load, save
from otel_wfperf.sidecar.clock import steady_clock
from otel_wfperf.store import Ending

_LOGGER = logging.getLogger(__name__)
_NEVER_NS: Final = 2**63
_COUNTED: Final = (AlertState.PENDING.value, AlertState.FIRING.value, "silenced")
# Chosen: those who look at a silence that is over find it for a day.
_KEEP_SILENCES_NS: Final = 86_400_000_000_000
_MAX_SILENCES: Final = 1_000
# Chosen: some minutes of metrics, should nobody look at them.
_MAX_MEASURED: Final = 10_000


class AlertCounts(Counts, Protocol):
    """Where alerts are counted."""

    def alerts(self, counts: Counter[tuple[str, str]]) -> None:
        """Show how many alerts there are, by name and state."""

    def dropped(self, reason: str, items: int) -> None:
        """Count what was not looked at."""


class AskWhatRuns(Protocol):
    """Asks what runs."""

    def __call__(self, *, exact: bool) -> Awaitable[Sequence[Running]]:
        """Return it as it is now, or as it was a moment ago, which is cheaper."""


class Alerting:
    """Watches what the pipeline takes in.

    Attributes:
        page_url: Where links lead.
    """

    def __init__(
        self,
        config: AlertsConfig,
        state: Path,
        *,
        counts: AlertCounts,
        clock_ns: Callable[[], int] | None = None,
    ) -> None:
        """Prepare; nothing is read before :meth:`start`.

        Args:
            config: Rules and notifiers.
            state: File of what survives a restart.
            counts: Where alerts are counted.
            clock_ns: Nanoseconds since the Unix epoch, without jumps; :func:`steady_clock` by default.
        """
        self.page_url = config.page_url or ""
        self._config = config
        self._state = state
        self._counts = counts
        self._clock_ns = clock_ns or steady_clock()
        self._rules = config.rules()
        self._watched = frozenset(rule.metric for rule in self._rules if isinstance(rule, MetricLevel))
        self._facts = Facts(outcomes=_outcomes(self._rules))
        self._book = AlertBook()
        self._silences: dict[str, Silence] = {}
        self._deliveries: tuple[Delivery, ...] = ()
        self._measured: deque[Level] = deque(maxlen=_MAX_MEASURED)
        self._next_look_ns: dict[str, int] = {}
        self._due_ns: dict[str, int] = {}
        self._refused = 0
        self._faulty: set[str] = set()
        self._unsaved = False
        self._cannot_save = False
        self._wake = asyncio.Event()

    # -- lifecycle -------------------------------------------------------------------------------------------------

    async def start(self, endings: Callable[[int], Iterable[Ending]]) -> None:
        """Go on where the last run ended.

        Args:
            endings: Reads how executions ended since a moment (nanoseconds since the Unix epoch); blocks.
        """
        if not self._rules:
            return
        kept = await asyncio.to_thread(load, self._state)
        now_ns = self._clock_ns()
        self._book = AlertBook(kept.alerts, now_ns=now_ns)
        self._book.drop_rules_except((rule.terms.name for rule in self._rules), now_ns=now_ns)
        self._silences = {each.silence_id: each for each in kept.silences}
        await self._recall(endings, now_ns)
        self._deliveries = tuple(
            Delivery(
                notifier,
                counts=self._counts,
                group_by=self._config.group_by,
                link=self.link,
                clock_ns=self._clock_ns,
                random=random.random,
                told=kept.told.get(notifier.config.name),
                changed=self._changed,
            )
            for notifier in notifiers(self._config.notifiers)
        )

    async def run(self, running: AskWhatRuns) -> None:
        """Look until cancelled.

        Args:
            running: Asks what runs; it costs more to know exactly, which matters when a deadline has passed.
        """
        if not self._rules:
            return
        async with asyncio.TaskGroup() as sending:
            for delivery in self._deliveries:
                sending.create_task(delivery.run(), name=f"wfperf notifier {delivery.name}")
            while True:
                await self.look(await running(exact=self._clock_ns() >= min(self._due_ns.values(), default=0)))
                await self._until_next()

    async def stop(self, timeout_s: float) -> None:
        """Tell what is still to be told, if it is taken at once, and keep the rest.

        Args:
            timeout_s: Longest time for the first (seconds).
        """
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.gather(*(each.flush() for each in self._deliveries))
        except TimeoutError:
            _LOGGER.warning("alerts: what could not be told within %g s is told after the next start", timeout_s)
        await asyncio.gather(*(each.close() for each in self._deliveries))
        self._unsaved = bool(self._rules)
        await self._save()

    async def look(self, running: Sequence[Running]) -> None:
        """Let the rules look at the facts once.

        Args:
            running: What runs now.
        """
        self._facts.running = running
        while self._measured:
            self._facts.levels.put(self._measured.popleft())
        now_ns = self._clock_ns()
        before = self._states()
        for rule in self._rules:
            if now_ns >= self._next_look_ns.get(rule.terms.name, 0):
                self._apply(rule, now_ns)
        self._tell(now_ns)
        self._unsaved |= self._states() != before
        await self._save()

    # -- what the pipeline reports ---------------------------------------------------------------------------------

    def measured(self, records: Iterable[Record], *, now_ns: int) -> None:
        """Take the gauges that rules watch out of metrics requests; called in the pipeline's thread."""
        if not self._watched:
            return
        for record in records:
            if record.signal is not Signal.METRICS:
                continue
            try:
                points = decode_gauges(record.data, self._watched)
            except DecodeError:
                self._counts.dropped("undecodable", record.items)
                continue
            self._measured.extend(
                Level(
                    metric=each.metric,
                    service=each.service,
                    instance=each.instance,
                    value=each.value,
                    unit=each.unit,
                    at_ns=now_ns,
                )
                for each in points
            )

    def analysed(self, execution: Execution, findings: Sequence[Finding]) -> None:
        """Take in how an execution ended, and what it was found to have."""
        now_ns = self._clock_ns()
        self._book.ended(execution.trace_id)
        # Late spans re-open an execution, which has been counted already.
        if execution.version == 1:
            self._ended(
                Ending(
                    trace_id=execution.trace_id,
                    workflow=execution.workflow,
                    status=execution.status,
                    duration_ns=execution.duration_ns,
                    stored_unix_ns=now_ns,
                )
            )
        for finding in findings:
            self._facts.findings.put(SeenFinding(finding=finding, trace_id=execution.trace_id, seen_ns=now_ns))

    # -- what the API shows and does -------------------------------------------------------------------------------

    def alerts(self) -> tuple[tuple[Alert, tuple[str, ...]], ...]:
        """Return all alerts, each with the ids of the silences that apply to it."""
        now_ns = self._clock_ns()
        return tuple((each, silenced_by(each, self._silences.values(), now_ns=now_ns)) for each in self._book.all())

    @property
    def now_ns(self) -> int:
        """The time that alerts go by (nanoseconds since the Unix epoch)."""
        return self._clock_ns()

    @property
    def silences(self) -> tuple[Silence, ...]:
        """Those that apply, will apply, or did within a day."""
        return tuple(self._silences.values())

    def silence(self, silence: Silence) -> None:
        """Add a silence; raise ValueError when there are too many."""
        if len(self._silences) >= _MAX_SILENCES:
            raise ValueError(f"there are {_MAX_SILENCES} silences already; end some, or write a wider one")
        self._silences[silence.silence_id] = silence
        self._changed()

    def end_silence(self, silence_id: str) -> bool:
        """End a silence now; False when there is none of that id."""
        silence = self._silences.pop(silence_id, None)
        self._changed()
        return silence is not None

    def link(self, alert: Alert) -> str | None:
        """Return the page that shows more of an alert."""
        if not self.page_url:
            return None
        trace_id = alert.reading.trace_id
        return f"{self.page_url}/executions/{trace_id}" if trace_id else f"{self.page_url}/"

    # -- inside ----------------------------------------------------------------------------------------------------

    async def _recall(self, endings: Callable[[int], Iterable[Ending]], now_ns: int) -> None:
        try:
            for ending in await asyncio.to_thread(endings, now_ns - _longest_ns(self._rules)):
                self._ended(ending)
        except WfperfError as error:
            _LOGGER.warning("alerts: error rates begin anew: %s", error)

    def _ended(self, ending: Ending) -> None:
        """Count an execution; nobody knows how one ended that is incomplete."""
        if ending.status is not ExecutionStatus.INCOMPLETE:
            self._facts.outcomes.add(
                Outcome(
                    trace_id=ending.trace_id,
                    workflow=ending.workflow,
                    duration_ns=ending.duration_ns,
                    failed=ending.status is ExecutionStatus.ERROR,
                    at_ns=ending.stored_unix_ns,
                )
            )

    def _apply(self, rule: Rule, now_ns: int) -> None:
        """Let a rule look, and note when it has to look again."""
        name, due_ns = rule.terms.name, None
        try:
            self._book.apply(rule, self._facts, now_ns=now_ns)
            due_ns = rule.due_ns(self._facts, now_ns=now_ns)
        except Exception:
            # A fault of ours in one rule must not silence the others.
            if name not in self._faulty:
                _LOGGER.exception("alerts: rule %s failed; further failures are only counted", name)
            self._faulty.add(name)
            self._counts.dropped("rule_failed", 1)
        self._due_ns[name] = due_ns or _NEVER_NS
        self._next_look_ns[name] = min(now_ns + rule.every_ns, self._due_ns[name])

    def _states(self) -> dict[str, AlertState]:
        return {each.fingerprint: each.state for each in self._book.all()}

    def _changed(self) -> None:
        """Save soon, so that a crash repeats no message."""
        self._unsaved = True
        self._wake.set()

    def _tell(self, now_ns: int) -> None:
        for old in [each for each in self._silences.values() if now_ns - each.ends_ns >= _KEEP_SILENCES_NS]:
            del self._silences[old.silence_id]
        shown = self.alerts()
        silenced = {alert.fingerprint for alert, silences in shown if silences}
        for delivery in self._deliveries:
            delivery.update((alert for alert, _ in shown), silenced, now_ns=now_ns)
        counts = Counter({(rule.terms.name, state): 0 for rule in self._rules for state in _COUNTED})
        for alert, silences in shown:
            counts[alert.terms.name, "silenced" if silences else alert.state.value] += 1
        self._counts.alerts(Counter({key: count for key, count in counts.items() if key[1] in _COUNTED}))
        if (more := self._book.refused - self._refused) > 0:
            self._counts.dropped("alert_limit", more)
            self._refused = self._book.refused

    async def _until_next(self) -> None:
        """Wait until a rule has to look, or a silence has changed."""
        wait_s = max(0, min(self._next_look_ns.values()) - self._clock_ns()) / 1e9
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._wake.wait()
        self._wake.clear()

    async def _save(self) -> None:
        if not self._unsaved:
            return
        self._unsaved = False
        told = {each.name: dict(each.told) for each in self._deliveries}
        kept = Kept(alerts=self._book.all(), silences=self.silences, told=told)
        try:
            await asyncio.to_thread(save, self._state, kept)
            self._cannot_save = False
        except OSError as error:
            self._unsaved = True
            if not self._cannot_save:
                _LOGGER.error(  # noqa: TRY400 - the trace says nothing more
                    "alerts: %s cannot be written (%s); until it can, a restart forgets what was told",
                    self._state,
                    error.strerror,
                )
            self._cannot_save = True


def _longest_ns(rules: Iterable[Rule]) -> int:
    """Return the longest time that rules look back at executions that have ended (nanoseconds)."""
    windows_ns = [rule.window_ns for rule in rules if isinstance(rule, ErrorRate)]
    windows_ns += [each.long_ns for rule in rules if isinstance(rule, BurnRate) for each in rule.windows]
    return max(windows_ns, default=0)


def _outcomes(rules: Sequence[Rule]) -> Outcomes:
    promises = [rule.promise for rule in rules if isinstance(rule, ErrorRate | BurnRate)]
    return Outcomes(promises, longest_ns=_longest_ns(rules))
