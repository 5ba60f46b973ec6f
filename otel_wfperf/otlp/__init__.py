"""Bytes <-> spans: OTLP in protobuf and JSON, and the trace files that people have.

``protobuf`` and ``json`` hold one codec each, ``requests`` checks what a receiver gets, ``status`` has the bodies of
answers, and ``files`` finds out what a file is.
Nothing outside this package imports the generated protobuf classes.
"""

from otel_wfperf.otlp import files, json, protobuf, requests, status
from otel_wfperf.otlp.batch import InvalidFieldError, TraceBatch
from otel_wfperf.otlp.files import FileContents

__all__ = ["FileContents", "InvalidFieldError", "TraceBatch", "files", "json", "protobuf", "requests", "status"]
