"""What was recorded, as spans and as the execution that the sidecar makes of them."""

from functools import cache

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_wfperf.assembly import assemble
from otel_wfperf.conventions import normalize
from otel_wfperf.model import Execution, Operation, OperationKind, TokenUsage
from otel_wfperf.otlp.protobuf import decode_traces


@cache
def global_exporter() -> InMemorySpanExporter:
    """Return what the global provider of this process exports to; OpenTelemetry takes one provider only."""
    exporter = InMemorySpanExporter()
    provider = trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):
        provider = TracerProvider(shutdown_on_exit=False)
        trace.set_tracer_provider(provider)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return exporter


class Recording:
    """What was exported so far."""

    def __init__(self, exporter: InMemorySpanExporter) -> None:
        self.exporter = exporter

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        return self.exporter.get_finished_spans()

    def clear(self) -> None:
        self.exporter.clear()

    def executions(self) -> list[Execution]:
        """All executions: encoded as OTLP, decoded, understood and assembled as in the sidecar."""
        batch = decode_traces(encode_spans(self.spans).SerializeToString())
        assert not batch.rejected
        operations = [operation for span in batch.spans if (operation := normalize(span)) is not None]
        return assemble(operations)

    def execution(self) -> Execution:
        """The one execution."""
        [execution] = self.executions()
        return execution

    def tree(self) -> str:
        """The one execution as text; see :func:`tree`."""
        return tree(self.execution())

    def trees(self) -> list[str]:
        return [tree(execution) for execution in self.executions()]

    def tokens(self) -> TokenUsage:
        """Tokens of all model calls of the one execution."""
        return tokens(self.execution())

    def __contains__(self, text: str) -> bool:
        """Whether some text is anywhere in what was exported."""
        return any(text in span.to_json() for span in self.spans)


def tokens(execution: Execution) -> TokenUsage:
    """Sum the tokens of an execution as the report does: each is counted once."""
    total = TokenUsage()
    for operation in execution.operations:
        total += operation.tokens or TokenUsage()
    return total


def tree(execution: Execution, *, hide: frozenset[OperationKind] = frozenset()) -> str:
    """Write an execution as text: one line an operation, ``kind name [facts]``, children indented.

    Siblings are ordered by start, those of one parallel group or step by name. Facts: the error, attempt, step,
    group, declared dependencies and tokens (``in+out``), each only where it is known.

    Args:
        execution: What to write.
        hide: Kinds that are left out; what is below them moves up.
    """
    return "\n".join(_lines(execution, execution.root, "", hide))


def _lines(execution: Execution, operation: Operation, indent: str, hide: frozenset[OperationKind]) -> list[str]:
    lines, below = [], indent
    if operation.kind not in hide:
        lines.append(f"{indent}{_line(operation)}")
        below = indent + "  "
    children = list(execution.children(operation.span_id))
    first = {_group(child): number for number, child in reversed(list(enumerate(children)))}
    for child in sorted(children, key=lambda each: (first[_group(each)], each.name, each.start_ns)):
        lines += _lines(execution, child, below, hide)
    return lines


def _group(operation: Operation) -> object:
    together = operation.parallel_group or operation.step
    return operation.span_id if together is None else together


def _line(operation: Operation) -> str:
    facts = {
        "error": operation.error,
        "attempt": operation.attempt if operation.attempt != 1 else None,
        "step": operation.step,
        "group": operation.parallel_group,
        "after": None if operation.depends_on is None else ",".join(operation.depends_on) or "nothing",
        "tokens": operation.tokens and f"{operation.tokens.input}+{operation.tokens.output}",
        "from": operation.handoff_from,
    }
    shown = " ".join(f"{name}={value}" for name, value in facts.items() if value is not None)
    return f"{operation.kind} {operation.name}" + (f" [{shown}]" if shown else "")
