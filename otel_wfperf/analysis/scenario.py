"""The language of what-if: ``cache tool:get_inventory; parallel phase:fetch capacity=4``.

::

    scenario = change (";" change)*
    change   = verb target ("," target)* option*
    target   = KIND ":" NAME, or NAME of the kind before it; * stands for any characters, quotes for themselves
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from otel_wfperf.analysis.interventions import CACHE_SCOPES, Cache, ContextLimit, Intervention, MoveWork, Speed
from otel_wfperf.analysis.parallel_steps import Together
from otel_wfperf.analysis.selection import KINDS, Target, names
from otel_wfperf.errors import InputError
from otel_wfperf.model import Execution

LANGUAGE: Final = """\
changes of --what-if, apart with ';', replayed together:
  cache TARGET [hit=50ms] [scope=run|runs|warm]
                             equal calls after the first are hits; scope: of one run (the default), over all runs,
                             or every call
  remove TARGET              it takes no time
  faster TARGET 30%          it takes 30 % less time; x2: it is twice as fast
  parallel TARGET [capacity=4]
                             steps inside one phase, agent or workflow start together; siblings of several names
                             or of a pattern do (tool:a,b, phase:research_*). What is declared, or seen from content,
                             to wait for another step stays after it; nothing moves across a model call between the
                             steps, or across another step unless a model turn or declared graph allows it
  move agent:A to agent:B    model calls of A take what those of B would for their tokens; the rest of A stays
  context agent:A 8000 tokens
                             its prompts are cut to 8000 tokens; also 8k
  TARGET is KIND:NAME, or several with ','; KIND is workflow, phase, agent, tool, llm, retrieval, embedding or wait.
  * stands for any characters; quote names with spaces, commas or a literal *: tool:"get weather"."""

_TOKEN: Final = re.compile(r"""\s+|(?P<mark>[;,])|(?P<word>(?:"[^"]*"|'[^']*'|[^\s;,"'])+)|(?P<stray>["'])""")
_PIECE: Final = re.compile(r""""(?P<double>[^"]*)"|'(?P<single>[^']*)'|(?P<plain>[^"']+)""")
_DURATION: Final = re.compile(r"(?P<number>\d+(?:\.\d+)?)(?P<unit>ns|us|µs|ms|s|min)?")
_UNITS_NS: Final = {"ns": 1, "us": 1_000, "µs": 1_000, "ms": 1_000_000, "s": 1_000_000_000, "min": 60_000_000_000}
_PERCENT: Final = re.compile(r"(?P<number>\d+(?:\.\d+)?)%")
_TIMES: Final = re.compile(r"[x×](?P<number>\d+(?:\.\d+)?)")  # noqa: RUF001  # people paste the sign
_TOKENS: Final = re.compile(r"(?P<number>\d+(?:\.\d+)?)(?P<kilo>k?)")
_EXAMPLE: Final = "cache tool:search; parallel phase:fetch"


class ScenarioError(InputError):
    """A scenario cannot be understood, or names what does not exist.

    Attributes:
        hint: The next step.
    """

    def __init__(self, message: str, *, text: str, position: int, hint: str) -> None:
        """Show where in the text it is."""
        self.hint = hint
        super().__init__(f"--what-if {text!r}, character {position}: {message}")


@dataclass(frozen=True, slots=True)
class Scenario:
    """What a user asks for.

    Attributes:
        text: As typed.
        interventions: In the order in which they were typed.
        parts: What was typed for each of them.
    """

    text: str
    interventions: tuple[Intervention, ...]
    parts: tuple[str, ...]

    def check(self, executions: Sequence[Execution]) -> None:
        """Raise ScenarioError for a name that nothing in the executions has."""
        for target in self._targets():
            known = names(executions, target.kind)
            if any(target.matches(name) for name in known):
                continue
            raise ScenarioError(
                f"no {target.kind} is called {target.name}{_nearest(target.name, known)}",
                text=self.text,
                position=target.position,
                hint=_known_names(executions, target, known),
            )

    def _targets(self) -> Iterator[Target]:
        for each in self.interventions:
            yield from each.targets
            if isinstance(each, MoveWork):
                yield each.to


def parse_scenario(text: str) -> Scenario:
    """Read a scenario; raise ScenarioError with the place where it cannot be understood."""
    changes: list[list[_Word]] = [[]]
    for word in _words(text):
        if word.text == ";" and word.is_mark:
            changes.append([])
        else:
            changes[-1].append(word)
    changes = [words for words in changes if words]
    if not changes:
        raise ScenarioError("it says nothing", text=text, position=1, hint=f"write for example '{_EXAMPLE}'")
    return Scenario(
        text=text,
        interventions=tuple(_Change(text, words[0], words[1:]).intervention() for words in changes),
        parts=tuple(" ".join(word.text for word in words).replace(" ,", ",") for words in changes),
    )


@dataclass(frozen=True, slots=True)
class _Word:
    text: str
    position: int
    is_mark: bool = False


def _words(text: str) -> Iterator[_Word]:
    for match in _TOKEN.finditer(text):
        position = match.start() + 1
        if match["stray"]:
            raise ScenarioError(
                "the quote is not closed", text=text, position=position, hint=f"close it with {match['stray']}"
            )
        if match["mark"] or match["word"]:
            yield _Word(match["mark"] or match["word"], position, is_mark=bool(match["mark"]))


@dataclass(slots=True)
class _Change:
    """One change while it is read."""

    text: str
    verb: _Word
    rest: list[_Word]

    def intervention(self) -> Intervention:
        read = _VERBS.get(self.verb.text.lower())
        if read is None:
            near = _nearest(self.verb.text, tuple(_VERBS))
            raise self.error(f"unknown verb {self.verb.text}{near}", self.verb, f"verbs are {', '.join(_VERBS)}")
        result = read(self)
        if self.rest:
            raise self.error(f"{self.rest[0].text} means nothing here", self.rest[0], self._usage())
        return result

    def error(self, message: str, word: _Word | None = None, hint: str | None = None) -> ScenarioError:
        position = word.position if word else len(self.text) + 1
        return ScenarioError(message, text=self.text, position=position, hint=hint or self._usage())

    def targets(self, *, kind: str | None = None) -> tuple[Target, ...]:
        """Read KIND:NAME and what follows it after commas."""
        found = [self._target(kind, None)]
        while self.rest and self.rest[0].is_mark:
            self.rest.pop(0)
            found.append(self._target(kind, found[-1].kind))
        return tuple(found)

    def option(self, name: str) -> _Word | None:
        """Take NAME=VALUE out of what is left; the word is the value's."""
        for at, word in enumerate(self.rest):
            key, separator, value = word.text.partition("=")
            if separator and key == name:
                del self.rest[at]
                return _Word(value, word.position + len(key) + 1)
        return None

    def take(self, what: str) -> _Word:
        """Take the next word."""
        if not self.rest or self.rest[0].is_mark:
            raise self.error(f"{self.verb.text} lacks {what}", self.rest[0] if self.rest else None)
        return self.rest.pop(0)

    def _target(self, kind: str | None, default: str | None) -> Target:
        word = self.take("what to change (KIND:NAME)")
        given, separator, name = word.text.partition(":")
        if not separator or (given not in KINDS and default is not None):
            given, name = default or "", word.text
        if given not in KINDS:
            if not separator:
                raise self.error(f"{word.text} lacks its kind", word, f"write KIND:NAME, such as tool:{word.text}")
            raise self.error(f"unknown kind {given}{_nearest(given, KINDS)}", word, f"kinds are {', '.join(KINDS)}")
        if kind is not None and given != kind:
            raise self.error(f"{self.verb.text} takes {kind}s, not {given}s", word)
        literal, pattern = _pattern(name)
        if not literal:
            raise self.error(f"{given}: lacks a name", word, f"write {given}:NAME, or {given}:* for all")
        return Target(kind=given, name=literal, pattern=pattern, position=word.position)

    def _usage(self) -> str:
        return f"write {_USAGES.get(self.verb.text.lower(), _EXAMPLE)}; wfperf analyze --help shows all changes"


def _cache(change: _Change) -> Intervention:
    targets = change.targets()
    hit, scope = change.option("hit"), change.option("scope")
    if scope is not None and scope.text not in CACHE_SCOPES:
        raise change.error(f"unknown scope {scope.text}{_nearest(scope.text, CACHE_SCOPES)}", scope)
    hit_ns = 0
    if hit is not None:
        match = _DURATION.fullmatch(hit.text)
        if match is None or (match["unit"] is None and float(match["number"])):
            raise change.error(f"{hit.text or 'nothing'} is no duration", hit, "write hit=50ms or hit=0.2s")
        hit_ns = round(float(match["number"]) * _UNITS_NS[match["unit"] or "s"])
    return Cache(targets=targets, hit_ns=hit_ns, scope=scope.text if scope else "run")


def _remove(change: _Change) -> Intervention:
    targets = change.targets()
    for target in targets:
        if target.kind == "workflow":
            raise change.error(
                "of a run without its workflow nothing is left",
                _Word("", target.position),
                "name what is to go inside it",
            )
    return Speed(targets=targets, factor=0.0)


def _faster(change: _Change) -> Intervention:
    targets = change.targets()
    much = change.take("how much")
    text = much.text
    if change.rest and change.rest[0].text == "%":
        text += change.rest.pop(0).text
    percent, times = _PERCENT.fullmatch(text), _TIMES.fullmatch(text)
    if percent and 0 < float(percent["number"]) < 100:
        return Speed(targets=targets, factor=1 - float(percent["number"]) / 100)
    if times and float(times["number"]) > 0:
        return Speed(targets=targets, factor=1 / float(times["number"]))
    if percent:
        raise change.error(f"{text} is not between 0 and 100 %", much, "write remove to leave no time at all")
    raise change.error(f"{text} says not how much faster", much)


def _parallel(change: _Change) -> Intervention:
    targets = change.targets()
    capacity = change.option("capacity")
    if capacity is not None and not (capacity.text.isdecimal() and int(capacity.text) > 0):
        raise change.error(
            f"capacity {capacity.text or 'nothing'} runs nothing", capacity, "write capacity=4 or leave out"
        )
    return Together(targets=targets, capacity=int(capacity.text) if capacity else None)


def _move(change: _Change) -> Intervention:
    targets = change.targets(kind="agent")
    link = change.take("where to (to agent:B)")
    if link.text != "to":
        raise change.error(f"{link.text} instead of to", link)
    [to, *more] = change.targets(kind="agent")
    if more or not to.is_one_name:
        raise change.error("the work moves to one agent", _Word("", (more or [to])[0].position))
    return MoveWork(targets=targets, to=to)


def _context(change: _Change) -> Intervention:
    targets = change.targets(kind="agent")
    count = change.take("a number of tokens")
    match = _TOKENS.fullmatch(count.text.removesuffix("tokens"))
    if match is None:
        raise change.error(f"{count.text} is no number of tokens", count)
    if change.rest and change.rest[0].text in {"token", "tokens"}:
        change.rest.pop(0)
    elif not match["kilo"] and not count.text.endswith("tokens"):
        raise change.error(f"{count.text} lacks its unit", count, f"write {count.text} tokens")
    return ContextLimit(targets=targets, tokens=round(float(match["number"]) * (1000 if match["kilo"] else 1)))


_VERBS: Final[Mapping[str, Callable[[_Change], Intervention]]] = {
    "cache": _cache,
    "remove": _remove,
    "faster": _faster,
    "parallel": _parallel,
    "move": _move,
    "context": _context,
}
_USAGES: Final = {
    "cache": "cache tool:NAME hit=50ms scope=runs",
    "remove": "remove phase:NAME",
    "faster": "faster phase:NAME 30% or faster llm:NAME x2",
    "parallel": "parallel phase:NAME capacity=4",
    "move": "move agent:A to agent:B",
    "context": "context agent:NAME 8000 tokens",
}


def _pattern(typed: str) -> tuple[str, str]:
    """Return a name without its quotes, and the regular expression that it stands for."""
    literal, pattern = "", ""
    for piece in _PIECE.finditer(typed):
        quoted = piece["double"] if piece["double"] is not None else piece["single"]
        literal += piece["plain"] if quoted is None else quoted
        pattern += re.escape(quoted) if quoted is not None else ".*".join(map(re.escape, piece["plain"].split("*")))
    return literal, pattern


def _nearest(typed: str, known: Sequence[str]) -> str:
    by_lower = {name.lower(): name for name in known}
    near = get_close_matches(typed.lower(), list(by_lower), n=1)
    return f" (did you mean {by_lower[near[0]]}?)" if near else ""


def _known_names(executions: Sequence[Execution], target: Target, known: Sequence[str]) -> str:
    # Chosen: what fits into two lines of a terminal.
    few = 12
    if known:
        more = f" and {len(known) - few} more" if len(known) > few else ""
        return f"{target.kind}s are {', '.join(known[:few])}{more}"
    other = [kind for kind in KINDS if any(target.matches(name) for name in names(executions, kind))]
    if other and target.is_one_name:
        return f"write {other[0]}:{target.name}"
    present = [kind for kind in KINDS if names(executions, kind)]
    return f"there is no {target.kind} in these traces; there are {', '.join(present)}"
