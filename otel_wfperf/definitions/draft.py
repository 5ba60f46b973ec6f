"""A definition while it is being read, line by line; Markdown and YAML fill the same one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from otel_wfperf.definitions.agents import agents_in
from otel_wfperf.definitions.definition import Branch, Phase, Reference, ReferenceKind, Step, Waits
from otel_wfperf.definitions.sentences import Reader, says_independent_of_phases


@dataclass(slots=True)
class BranchDraft:
    """A branch so far."""

    label: str
    title: str
    line: int
    steps: list[Step] = field(default_factory=list)
    waits: Waits = field(default_factory=Waits)

    def finished(self) -> Branch:
        """Return the branch; without any step it is one step itself."""
        steps = tuple(self.steps) or (Step(text=self.title, line=self.line),)
        return Branch(label=self.label, title=self.title, line=self.line, steps=steps, waits=self.waits)


@dataclass(slots=True)
class PhaseDraft:
    """A phase so far."""

    label: str
    title: str
    line: int
    branches: list[BranchDraft] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    waits: Waits = field(default_factory=Waits)
    sequential: bool = False
    parallel: bool = False
    says_independent: bool = False

    def finished(self) -> Phase:
        """Return the phase; steps that are said to run in parallel become branches."""
        branches, steps = [branch.finished() for branch in self.branches], list(self.steps)
        if not branches and self.parallel and len(steps) > 1:
            branches = [
                Branch(label=str(number), title=step.agent or step.text, line=step.line, steps=(step,))
                for number, step in enumerate(steps, start=1)
            ]
            steps = []
        if not branches and not steps:
            steps = [Step(text=self.title, line=self.line)]
        return Phase(
            label=self.label,
            title=self.title,
            line=self.line,
            branches=tuple(branches),
            steps=tuple(steps),
            waits=self.waits,
            sequential=self.sequential,
            says_independent=self.says_independent,
        )


@dataclass(slots=True)
class Draft:
    """The definition so far, and where in it the reading is."""

    reader: Reader
    phases: list[PhaseDraft] = field(default_factory=list)
    _branch: BranchDraft | None = None
    _elsewhere: list[tuple[PhaseDraft, Reference, Waits]] = field(default_factory=list)

    def open_phase(self, label: str, title: str, line: int) -> PhaseDraft:
        """Start a phase."""
        phase = PhaseDraft(label, title, line)
        self.phases.append(phase)
        self._branch = None
        self.order(title, line)
        return phase

    def open_branch(self, label: str, title: str, line: int) -> BranchDraft:
        """Start a branch in the current phase."""
        self._branch = BranchDraft(label, title, line)
        self.phases[-1].branches.append(self._branch)
        self.order(title, line)
        return self._branch

    def close_branch(self) -> None:
        """Let what follows belong to the phase."""
        self._branch = None

    def calls(self, text: str, line: int) -> None:
        """Take the agents that a line calls as steps of where the reading is."""
        place = self._branch or self.phases[-1]
        place.steps += (Step(text=text, line=line, agent=agent) for agent in agents_in(text))

    def order(self, text: str, line: int) -> None:
        """Take what a line says about order."""
        phase = self.phases[-1]
        if self._branch is None and says_independent_of_phases(text):
            phase.says_independent = True
        for statement in self.reader.statements(text, line):
            if statement.subject is None:
                self.add(statement.waits)
            else:
                self._elsewhere.append((phase, statement.subject, statement.waits))

    def add(self, waits: Waits) -> None:
        """Add to what the current branch or phase says about order."""
        place = self._branch or self.phases[-1]
        place.waits += waits

    def finished(self) -> tuple[Phase, ...]:
        """Return the phases; what was said about another branch now belongs to that one."""
        for phase, subject, waits in self._elsewhere:
            place = _find(subject, [phase, *self.phases])
            if place is not None:
                place.waits += waits
        return tuple(phase.finished() for phase in self.phases)


def _find(subject: Reference, phases: Iterable[PhaseDraft]) -> BranchDraft | PhaseDraft | None:
    for phase in phases:
        if subject.kind is ReferenceKind.PHASE:
            if phase.label.lower() == subject.label.lower():
                return phase
        elif subject.phase is None or subject.phase == phase.label:
            for branch in phase.branches:
                if branch.label.lower() == subject.label.lower():
                    return branch
    return None
