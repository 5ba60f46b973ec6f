"""How much one sender may ask of the sidecar."""

from pydantic import Field

from otel_wfperf.config.section import Section
from otel_wfperf.config.values import Size


class LimitsConfig(Section):
    """How much one sender may ask of the sidecar.

    What is forwarded is what came, byte for byte: the limits of spans concern the analysis, which cuts or leaves out
    what is over them and counts it in `wfperf_analyzer_dropped_items_total`, by reason. The size of a request, over
    gRPC as over HTTP, is `sidecar.max_request_size`.
    """

    connections: int = Field(default=1_000, ge=1)
    """Connections to one HTTP port; the next gets 503 (count). Chosen: below the 1024 open files that many systems
    allow a process."""
    in_flight_size_bytes: Size = 256 * 1024**2
    """Bodies over all requests that are being received over HTTP, or checked; what comes on top of that is refused with
    a retryable status (default 256MiB). Chosen: four requests of the largest size."""
    request_items: int = Field(default=100_000, ge=1)
    """Spans, data points or log records of one request; larger ones are refused for good (count). Chosen: twelve times
    the 8192 that the Collector's batches hold."""
    attribute_count: int = Field(default=1_000, ge=1)
    """Attributes of a span, an event or a link, and entries of a list or mapping within one (count).

    Chosen: eight times the 128 that OpenTelemetry SDKs record, for dialects that write an attribute for each field of
    each message."""
    event_count: int = Field(default=1_000, ge=1)
    """Events of a span (count). Chosen: as attribute_count; streamed answers may have one for each chunk."""
    link_count: int = Field(default=1_000, ge=1)
    """Links of a span (count). Chosen: as attribute_count."""
    value_length: int = Field(default=1024**2, ge=1)
    """Characters or bytes of one value (count). Chosen: a prompt of 250 000 tokens."""
    value_depth: int = Field(default=32, ge=1)
    """Lists and mappings within one another in a value (count). Chosen: more than any message format nests."""
    name_length: int = Field(default=1_024, ge=1)
    """Characters of the name of a span, workflow, phase, agent or tool, and of an attribute's key (count).

    Chosen: longer than any name that a person gave, short enough for the index of a database."""
