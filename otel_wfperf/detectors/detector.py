"""What a detector is."""

from collections.abc import Iterator
from typing import ClassVar, Protocol

from otel_wfperf.analysis.population import Population
from otel_wfperf.model import Finding


class Detector(Protocol):
    """A rule that finds one kind of bottleneck in the runs of one workflow.

    Attributes:
        name: Public name, as in findings, metrics and configuration.
    """

    name: ClassVar[str]

    def detect(self, population: Population) -> Iterator[Finding]:
        """Yield one finding per subject."""
        ...
