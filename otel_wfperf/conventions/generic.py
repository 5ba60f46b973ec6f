"""Any other span: HTTP, database, the user's own."""

from typing import ClassVar

from otel_wfperf.conventions.fields import span_fields
from otel_wfperf.model import Operation, OperationKind, Span


class Generic:
    """The fallback: recognises everything and claims nothing."""

    name: ClassVar[str] = ""

    def recognises(self, span: Span) -> bool:  # noqa: ARG002 - everything is recognised
        """Recognise every span."""
        return True

    def operation(self, span: Span) -> Operation:
        """Keep the span's own name."""
        fields = span_fields(span)
        return Operation(**fields, kind=OperationKind.OTHER, name=span.name, dialect=self.name, outside=True)
