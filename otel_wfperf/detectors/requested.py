"""What was asked for in the runs of a workflow, by what was asked."""

from collections.abc import Mapping, Sequence

from otel_wfperf.analysis.attempts import Request
from otel_wfperf.analysis.population import Population
from otel_wfperf.detectors.place import subject_of
from otel_wfperf.model import OperationKind, Subject


def requests_by_subject(population: Population) -> Mapping[Subject, Sequence[Request]]:
    """Return the requests of all runs, in order, by their call or step; compute it with ``Population.once``."""
    by_name: dict[tuple[OperationKind, str], list[Request]] = {}
    for requests in population.requests.values():
        for request in requests:
            first = request.attempts[0]
            by_name.setdefault((first.kind, first.name), []).append(request)
    found: dict[Subject, list[Request]] = {}
    for requests_of_name in by_name.values():
        found.setdefault(subject_of(requests_of_name[0].first), []).extend(requests_of_name)
    return found
