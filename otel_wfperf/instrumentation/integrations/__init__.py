"""The frameworks that can be recorded, one module each."""

from typing import Final

from otel_wfperf.instrumentation.integration import Integration
from otel_wfperf.instrumentation.integrations.agent_framework import AgentFrameworkIntegration
from otel_wfperf.instrumentation.integrations.agno import AgnoIntegration
from otel_wfperf.instrumentation.integrations.autogen import AutoGenIntegration
from otel_wfperf.instrumentation.integrations.crewai import CrewAIIntegration
from otel_wfperf.instrumentation.integrations.google_adk import GoogleADKIntegration
from otel_wfperf.instrumentation.integrations.haystack import HaystackIntegration
from otel_wfperf.instrumentation.integrations.langgraph import LangGraphIntegration
from otel_wfperf.instrumentation.integrations.llama_index import LlamaIndexIntegration
from otel_wfperf.instrumentation.integrations.openai_agents import OpenAIAgentsIntegration
from otel_wfperf.instrumentation.integrations.pydantic_ai import PydanticAIIntegration
from otel_wfperf.instrumentation.integrations.smolagents import SmolagentsIntegration
from otel_wfperf.instrumentation.integrations.strands import StrandsIntegration

# To add one: its file, its line here, its test. None of the modules imports its framework before the program does.
INTEGRATIONS: Final[tuple[Integration, ...]] = (
    AgentFrameworkIntegration(),
    AgnoIntegration(),
    AutoGenIntegration(),
    CrewAIIntegration(),
    GoogleADKIntegration(),
    HaystackIntegration(),
    LangGraphIntegration(),
    LlamaIndexIntegration(),
    OpenAIAgentsIntegration(),
    PydanticAIIntegration(),
    SmolagentsIntegration(),
    StrandsIntegration(),
)
