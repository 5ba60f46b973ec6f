"""One OTLP request of each signal with every kind of field in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from otel_wfperf.log import Signal
from otel_wfperf.otlp.requests import check_json

TRACE_ID, SPAN_ID = "5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174"
_VALUES: Final = [
    {"key": "text", "value": {"stringValue": "some text"}},
    {"key": "flag", "value": {"boolValue": True}},
    {"key": "integer", "value": {"intValue": "42"}},
    {"key": "number", "value": {"doubleValue": 1.5}},
    {"key": "bytes", "value": {"bytesValue": "AQID"}},
    {"key": "list", "value": {"arrayValue": {"values": [{"stringValue": "item"}]}}},
    {"key": "mapping", "value": {"kvlistValue": {"values": [{"key": "inner", "value": {"intValue": "1"}}]}}},
]
_POINT: Final = {"startTimeUnixNano": "1544712660000000000", "timeUnixNano": "1544712661000000000"}
DOCUMENTS: Final[Mapping[Signal, dict[str, Any]]] = {
    Signal.TRACES: {
        "resourceSpans": [
            {
                "resource": {"attributes": _VALUES[:2], "droppedAttributesCount": 1},
                "scopeSpans": [
                    {
                        "scope": {"name": "scope", "version": "1", "attributes": _VALUES[:1]},
                        "spans": [
                            {
                                "traceId": TRACE_ID,
                                "spanId": SPAN_ID,
                                "parentSpanId": "eee19b7ec3c1b173",
                                "traceState": "a=b",
                                "flags": 1,
                                "name": "a span",
                                "kind": 2,
                                "startTimeUnixNano": "1544712660000000000",
                                "endTimeUnixNano": "1544712661000000000",
                                "attributes": _VALUES,
                                "droppedAttributesCount": 1,
                                "events": [
                                    {"timeUnixNano": "1544712660300000000", "name": "event", "attributes": _VALUES[:1]}
                                ],
                                "links": [{"traceId": TRACE_ID, "spanId": SPAN_ID, "attributes": _VALUES[:1]}],
                                "status": {"code": 2, "message": "failed"},
                            }
                        ],
                        "schemaUrl": "schema",
                    }
                ],
            }
        ]
    },
    Signal.METRICS: {
        "resourceMetrics": [
            {
                "resource": {"attributes": _VALUES[:1]},
                "scopeMetrics": [
                    {
                        "scope": {"name": "scope"},
                        "metrics": [
                            {"name": "g", "unit": "s", "gauge": {"dataPoints": [{**_POINT, "asDouble": 1.5}]}},
                            {
                                "name": "s",
                                "sum": {
                                    "aggregationTemporality": 2,
                                    "isMonotonic": True,
                                    "dataPoints": [{**_POINT, "asInt": "5", "attributes": _VALUES[:1]}],
                                },
                            },
                            {
                                "name": "h",
                                "histogram": {
                                    "aggregationTemporality": 1,
                                    "dataPoints": [
                                        {
                                            **_POINT,
                                            "count": "2",
                                            "sum": 2.5,
                                            "bucketCounts": ["1", "1"],
                                            "explicitBounds": [1.5],
                                        }
                                    ],
                                },
                            },
                        ],
                    }
                ],
            }
        ]
    },
    Signal.LOGS: {
        "resourceLogs": [
            {
                "resource": {"attributes": _VALUES[:1]},
                "scopeLogs": [
                    {
                        "scope": {"name": "scope"},
                        "logRecords": [
                            {
                                "timeUnixNano": "1544712660300000000",
                                "severityNumber": 9,
                                "severityText": "INFO",
                                "body": {"stringValue": "a message"},
                                "attributes": _VALUES[:2],
                                "traceId": TRACE_ID,
                                "spanId": SPAN_ID,
                                "flags": 1,
                            }
                        ],
                    }
                ],
            }
        ]
    },
}


def good(signal: Signal) -> bytes:
    """Return a request with every kind of field, in protobuf."""
    return check_json(signal, json.dumps(DOCUMENTS[signal]).encode()).data
