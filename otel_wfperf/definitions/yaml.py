"""Workflow definitions in YAML: the same things as in Markdown, under keys.

A phase or branch is a mapping; its label is ``phase``, ``branch``, ``id`` or ``label``, else it is taken from a name
such as ``Branch A: Backend``, else from its position. A step is a mapping with ``agent``, or a line as in Markdown.
Keys that are not known are left alone, unless they look like a misspelled one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import PurePath
from typing import TYPE_CHECKING, Final

from otel_wfperf.definitions.definition import Definition, Duration, Reference, ReferenceKind, Step, Waits
from otel_wfperf.definitions.draft import Draft, PhaseDraft
from otel_wfperf.definitions.headings import heading, says_sequential
from otel_wfperf.definitions.sentences import Reader
from otel_wfperf.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from yaml import Node

_LABELS: Final = ("id", "label", "number")
_TITLES: Final = ("title", "name")
_AGENTS: Final = ("agent", "subagent_type")
_STEPS: Final = ("steps", "tasks")
_AFTER: Final = ("depends_on", "after", "needs", "requires", "dependencies")
_BEFORE: Final = ("must_complete_before", "before", "blocks")
_TEXTS: Final = ("text", "task", "description", "prompt")
_MODES: Final = ("parallel", "sequential")
_OTHERS: Final = ("duration", "model")
_COMMON: Final = (*_LABELS, *_TITLES, *_AGENTS, *_STEPS, *_AFTER, *_BEFORE, *_TEXTS, *_OTHERS)
_KNOWN: Final[Mapping[str, tuple[str, ...]]] = {
    "definition": ("name", "title", "phases", "description"),
    "phase": ("phase", "branches", "mode", "execution", *_COMMON),
    "branch": ("branch", *_COMMON),
    "step": ("step", *_LABELS, *_TITLES, *_AGENTS, *_TEXTS, *_OTHERS),
}
# Chosen: depend_on and agnet are mistakes, model and timeout are not.
_SIMILARITY: Final = 0.8
_DURATION: Final = re.compile(
    r"(\d+(?:\.\d+)?)\s*(ms|s|m|min|h)?\s*(?:(?:-|\u2013|to)\s*(\d+(?:\.\d+)?)\s*(ms|s|m|min|h)?)?"
)
_SECONDS: Final = {"ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_REFERENCE: Final = re.compile(
    r"(?:phase\s+(?P<phase>\S+?),?\s+)?(?P<kind>branch|phase)\s+(?P<label>.+)", re.IGNORECASE
)


def parse_yaml(text: str, source: str) -> Definition:
    """Read a definition; raise InputError with every problem and its line when it is none.

    Args:
        text: The document.
        source: Where it is from, for messages.
    """
    try:
        import yaml  # noqa: PLC0415 - comes with the sidecar extra
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"{source}: reading YAML", "sidecar") from error

    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        raise InputError(f"{source}:{mark.line + 1 if mark else 1}: is not YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise InputError(f"{source}: is not YAML: {error}") from error
    parser = _Parser(source)
    definition = parser.definition(root)
    if parser.problems:
        raise InputError("\n".join(parser.problems))
    return definition


@dataclass(slots=True)
class _Parser:
    source: str
    problems: list[str] = field(default_factory=list)
    draft: Draft = field(default_factory=lambda: Draft(Reader()))

    def definition(self, root: Node | None) -> Definition:
        keys = self._mapping(root, "definition") if root is not None else {}
        phases = self._items(keys.get("phases"), "phases")
        if not phases and not self.problems:
            self._complain(root, "has no phases; write `phases:` and below it a list such as `- title: Plan`")
        for number, node in enumerate(phases, start=1):
            self._phase(number, node)
        name = self._first(keys, _TITLES) or PurePath(self.source).stem
        return Definition(name=name, source=self.source, phases=self.draft.finished())

    def _phase(self, number: int, node: Node) -> None:
        keys = self._mapping(node, "phase")
        label, title = self._label(keys, ReferenceKind.PHASE, str(number))
        phase = self.draft.open_phase(label, title, _line(node))
        phase.sequential |= self._is_sequential(keys)
        phase.parallel = not phase.sequential and "mode" in keys
        phase.says_independent = any(key in keys and not self._items(keys[key], key) for key in _AFTER)
        self._contents(keys, node, phase)
        for position, branch in enumerate(self._items(keys.get("branches"), "branches")):
            self._branch(position, branch)

    def _branch(self, position: int, node: Node) -> None:
        keys = self._mapping(node, "branch")
        label, title = self._label(keys, ReferenceKind.BRANCH, chr(ord("A") + position % 26))
        self.draft.open_branch(label, title, _line(node))
        self._contents(keys, node)

    def _contents(self, keys: Mapping[str, Node], node: Node, phase: PhaseDraft | None = None) -> None:
        """Take the steps and the order of a phase or branch; an agent of its own is a step before them."""
        place = phase or self.draft.phases[-1].branches[-1]
        if any(name in keys for name in _AGENTS):
            place.steps.append(self._step(keys, node))
        for name in _STEPS:
            for step in self._items(keys.get(name), name):
                if _is_scalar(step):
                    self.draft.calls(step.value, _line(step))
                    self.draft.order(step.value, _line(step))
                else:
                    place.steps.append(self._step(self._mapping(step, "step"), step))
        after = tuple(self._references(keys, _AFTER))
        self.draft.add(Waits(after=after, before=tuple(self._references(keys, _BEFORE))))

    def _step(self, keys: Mapping[str, Node], node: Node) -> Step:
        text = self._first(keys, (*_TEXTS, *_TITLES)) or ""
        agent = self._first(keys, _AGENTS)
        return Step(text=text, line=_line(node), agent=agent, duration=self._duration(keys.get("duration")))

    def _duration(self, node: Node | None) -> Duration | None:
        if node is None:
            return None
        match = _DURATION.fullmatch(self._text(node).strip())
        if match is None:
            self._complain(node, "duration: write seconds or a range, such as 20s, 90-180s or 2m")
            return None
        low, unit, high, high_unit = match.groups()
        low_s = float(low) * _SECONDS[unit or high_unit or "s"]
        high_s = float(high) * _SECONDS[high_unit or unit or "s"] if high else low_s
        if high_s < low_s:
            self._complain(node, f"duration: {self._text(node)} ends below its start; write the shorter one first")
        return Duration(low_s=low_s, high_s=high_s)

    def _references(self, keys: Mapping[str, Node], names: tuple[str, ...]) -> Iterator[Reference]:
        for name in names:
            for node in self._items(keys.get(name), name):
                if _is_scalar(node):
                    yield _reference(node.value.strip(), _line(node))
                    continue
                target = self._mapping(node, name)
                branch, phase = self._first(target, ("branch",)), self._first(target, ("phase",))
                if branch is None and phase is None:
                    self._complain(node, f"{name}: write a label, or {{branch: A, phase: 1}}")
                elif branch is not None:
                    yield Reference(kind=ReferenceKind.BRANCH, label=branch, line=_line(node), phase=phase)
                elif phase is not None:
                    yield Reference(kind=ReferenceKind.PHASE, label=phase, line=_line(node))

    def _label(self, keys: Mapping[str, Node], kind: ReferenceKind, usual: str) -> tuple[str, str]:
        """Return label and title of a phase or branch."""
        name, label = self._first(keys, _TITLES), self._first(keys, (kind.value, *_LABELS))
        opened = heading(label or "") or heading(name or "")
        if opened is not None:
            return opened.label, opened.title or (name or "")
        if label is None and kind is ReferenceKind.BRANCH and name is not None:
            return name, name
        return label or usual, name or label or ""

    def _is_sequential(self, keys: Mapping[str, Node]) -> bool:
        for key in ("mode", "execution"):
            if key in keys:
                mode = self._text(keys[key])
                if mode not in _MODES:
                    self._complain(keys[key], f"{key}: unknown: {mode}; write parallel or sequential")
                return says_sequential(mode)
        return False

    def _mapping(self, node: Node | None, kind: str) -> Mapping[str, Node]:
        """Return the keys of a mapping; complain when it is none, and of keys that look misspelled."""
        if node is None or _kind(node) != "mapping":
            self._complain(node, f"expected a mapping for a {kind}, such as `title: Plan`")
            return {}
        found: dict[str, Node] = {}
        for key, value in node.value:
            name = str(key.value)
            known = _KNOWN.get(kind, ("branch", "phase"))
            near = get_close_matches(name, known, n=1, cutoff=_SIMILARITY)
            if name not in known and near:
                self._complain(key, f"unknown key: {name} (did you mean {near[0]}?)")
            found[name] = value
        return found

    def _items(self, node: Node | None, name: str) -> list[Node]:
        """Return the members of a list; one scalar stands for a list of it."""
        if node is None or (_is_scalar(node) and node.value in {"", "null", "~", "none"}):
            return []
        if _kind(node) == "sequence":
            return list(node.value)
        if _is_scalar(node) or name not in {"phases", "branches", *_STEPS}:
            return [node]
        self._complain(node, f"{name}: expected a list, each member starting with `-`")
        return []

    def _first(self, keys: Mapping[str, Node], names: tuple[str, ...]) -> str | None:
        return next((self._text(keys[name]) for name in names if name in keys), None)

    def _text(self, node: Node) -> str:
        if _is_scalar(node):
            return str(node.value)
        self._complain(node, "expected a text here")
        return ""

    def _complain(self, node: Node | None, problem: str) -> None:
        self.problems.append(f"{self.source}:{_line(node) if node is not None else 1}: {problem}")


def _reference(text: str, line: int) -> Reference:
    """Read ``C``, ``Branch C``, ``Phase 1`` or ``Phase 1 Branch C``; a bare name is a branch, else a phase."""
    match = _REFERENCE.fullmatch(text)
    if match is None:
        return Reference(kind=ReferenceKind.BRANCH, label=text, line=line)
    return Reference(kind=ReferenceKind(match["kind"].lower()), label=match["label"], line=line, phase=match["phase"])


def _is_scalar(node: Node) -> bool:
    return _kind(node) == "scalar"


def _kind(node: Node) -> str:
    """Return mapping, sequence or scalar; the types of PyYAML do not know that nodes say it."""
    return str(getattr(node, "id", ""))


def _line(node: Node) -> int:
    return int(node.start_mark.line) + 1
