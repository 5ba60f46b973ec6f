"""The frameworks that can be recorded, one module each."""

from typing import Final

from otel_wfperf.instrumentation.integration import Integration
from otel_wfperf.instrumentation.integrations.langgraph import LangGraphIntegration

# To add one: its file, its line here, its test. None of the modules imports its framework before the program does.
INTEGRATIONS: Final[tuple[Integration, ...]] = (LangGraphIntegration(),)
