"""OTLP/JSON requests, small and by hand."""

import json
from typing import Any

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
SPAN_ID = "b7ad6b7169203331"


def span_json(**fields: Any) -> dict[str, Any]:
    """One span that is valid but for what ``fields`` say."""
    return {"traceId": TRACE_ID, "spanId": SPAN_ID, "name": "chat", "startTimeUnixNano": "1", **fields}


def traces_json(*spans: dict[str, Any], service: str = "planner") -> dict[str, Any]:
    """An ExportTraceServiceRequest around spans."""
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": {"name": "s"}, "spans": list(spans)}]}]}


def payload(document: object) -> bytes:
    return json.dumps(document).encode()


def attribute(value: object) -> bytes:
    """Encode a request whose one span has the attribute ``key``; ``value`` is its AnyValue."""
    return payload(traces_json(span_json(attributes=[{"key": "key", "value": value}])))


METRICS = {
    "resourceMetrics": [
        {
            "scopeMetrics": [
                {
                    "metrics": [
                        {
                            "name": "calls",
                            "unit": "1",
                            "sum": {
                                "aggregationTemporality": 2,
                                "isMonotonic": True,
                                "dataPoints": [{"timeUnixNano": "3", "asInt": "7"}],
                            },
                        },
                        {
                            "name": "duration",
                            "unit": "s",
                            "histogram": {
                                "aggregationTemporality": 1,
                                "dataPoints": [
                                    {
                                        "timeUnixNano": 3,
                                        "count": "2",
                                        "sum": 0,
                                        "bucketCounts": ["0", 2],
                                        "explicitBounds": [0.5],
                                        "exemplars": [{"asDouble": 0.25, "traceId": TRACE_ID, "spanId": SPAN_ID}],
                                    }
                                ],
                            },
                        },
                    ]
                }
            ]
        }
    ]
}
LOGS = {
    "resourceLogs": [
        {
            "scopeLogs": [
                {
                    "logRecords": [
                        {
                            "timeUnixNano": "5",
                            "severityNumber": 9,
                            "body": {"stringValue": "hello"},
                            "traceId": TRACE_ID,
                            "spanId": SPAN_ID,
                        }
                    ]
                }
            ]
        }
    ]
}
