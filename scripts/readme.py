"""Fill in the parts of README.md that come from the program: the report and the list of commands.

Run it after a change of either; a test checks that they are current.
"""

import re

from otel_wfperf.assembly import assemble
from otel_wfperf.cli.main import help_text
from otel_wfperf.conventions import normalize
from otel_wfperf.detectors import detect
from otel_wfperf.otlp.files import read_spans
from otel_wfperf.report import text
from scripts.paths import CAPTURE, REPOSITORY

README = REPOSITORY / "README.md"


def report() -> str:
    """Return what `wfperf analyze` prints about the recorded run, at its default width."""
    spans = read_spans(CAPTURE.read_bytes(), name=CAPTURE.name).spans
    executions = assemble(operation for span in spans if (operation := normalize(span)) is not None)
    return text.render(executions, detect(executions))


def filled(readme: str) -> str:
    """Return the README with its generated parts as they should be."""
    for name, content in (("report", report()), ("help", help_text())):
        pattern = rf"(<!-- {name}: [^\n]*\n```text\n).*?(\n```)"
        readme = re.sub(pattern, lambda match: match[1] + content.rstrip() + match[2], readme, flags=re.DOTALL)  # noqa: B023
    return readme


if __name__ == "__main__":
    README.write_text(filled(README.read_text(encoding="utf-8")), encoding="utf-8")
