"""Where the generated files and their sources are."""

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
DOCS = REPOSITORY / "docs"
CAPTURE = REPOSITORY / "tests" / "fixtures" / "captures" / "langgraph-openinference-bottleneck.jsonl"
