"""Every span, attribute and metric name that the project writes, once, with its unit and source.

Names of the OpenTelemetry GenAI semantic conventions are used exactly where they exist;
``wfperf.*`` covers what they lack. Foreign spellings that are only read stay in the
convention that reads them.
"""

from dataclasses import dataclass
from typing import Final

# -- attributes of the GenAI semantic conventions (open-telemetry/semantic-conventions-genai, model/gen-ai) --------
OPERATION_NAME: Final = "gen_ai.operation.name"
WORKFLOW_NAME: Final = "gen_ai.workflow.name"
AGENT_NAME: Final = "gen_ai.agent.name"
TOOL_NAME: Final = "gen_ai.tool.name"
TOOL_CALL_ID: Final = "gen_ai.tool.call.id"
PROVIDER_NAME: Final = "gen_ai.provider.name"
REQUEST_MODEL: Final = "gen_ai.request.model"
REQUEST_TEMPERATURE: Final = "gen_ai.request.temperature"
RESPONSE_MODEL: Final = "gen_ai.response.model"
RESPONSE_ID: Final = "gen_ai.response.id"
FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
TIME_TO_FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"
CONVERSATION_ID: Final = "gen_ai.conversation.id"
DATA_SOURCE_ID: Final = "gen_ai.data_source.id"
INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
CACHE_READ_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
CACHE_WRITE_TOKENS: Final = "gen_ai.usage.cache_write.input_tokens"
REASONING_TOKENS: Final = "gen_ai.usage.reasoning.output_tokens"
TOKEN_TYPE: Final = "gen_ai.token.type"
ERROR_TYPE: Final = "error.type"
SERVICE_NAME: Final = "service.name"
SERVICE_INSTANCE_ID: Final = "service.instance.id"
SERVICE_VERSION: Final = "service.version"
HOST_NAME: Final = "host.name"

# -- our own attributes (the conventions have no phase, wait or context size) -------------------------------------
SPAN_KIND: Final = "wfperf.span.kind"  # workflow|phase|agent|tool|llm|retrieval|wait|context|handoff
PHASE_NAME: Final = "wfperf.phase.name"
PHASE_STEP: Final = "wfperf.phase.index"  # scheduling step; equal steps ran in parallel
DEPENDS_ON: Final = "wfperf.phase.depends_on"  # string[]; absent = not declared
PARALLEL_GROUP: Final = "wfperf.parallel.group"
PARALLEL_WIDTH: Final = "wfperf.parallel.width"  # branches (count)
TOOL_CACHED: Final = "wfperf.tool.cached"  # bool: the result is that of an earlier call; the tool did not run
TURN_ID: Final = "wfperf.turn.id"  # the model response that asked for this tool call
WAIT_KIND: Final = "wfperf.wait.kind"  # queue|concurrency|rate_limit|lock|retry_backoff|human
WAIT_RESOURCE: Final = "wfperf.wait.resource"
QUEUE_DEPTH: Final = "wfperf.queue.depth"
CONNECTION_WAIT: Final = "wfperf.connection.wait"  # s, until the client's pool had a connection free for the call
CONNECTION_SETUP: Final = "wfperf.connection.setup"  # s, for address, connect and TLS; 0 = there was a connection
CONCURRENCY_LIMIT: Final = "wfperf.concurrency.limit"
HANDOFF_FROM: Final = "wfperf.handoff.from"  # the agent that passes the work on
HANDOFF_TO: Final = "wfperf.handoff.to"
RETRY_ATTEMPT: Final = "wfperf.retry.attempt"  # 1 = first try
CONTEXT_OPERATION: Final = "wfperf.context.operation"  # build|trim|compact|summarise
CONTEXT_BYTES: Final = "wfperf.context.bytes"
CONTEXT_TOKENS: Final = "wfperf.context.tokens"
CONTEXT_MESSAGES: Final = "wfperf.context.messages"
CONTEXT_LIMIT: Final = "wfperf.context.limit"  # tokens
CONTEXT_GROWTH: Final = "wfperf.context.growth"  # By, since the previous call of the same agent; may be negative
CONTEXT_REUSED_RATIO: Final = "wfperf.context.reused_ratio"
PROMPT_HASH: Final = "wfperf.prompt.hash"  # of the whole prompt; never text
PROMPT_PREFIX_HASH: Final = "wfperf.prompt.prefix_hash"
INPUT_HASH: Final = "wfperf.input.hash"  # canonical arguments or state
OUTPUT_HASH: Final = "wfperf.output.hash"
INPUT_BYTES: Final = "wfperf.input.bytes"
OUTPUT_BYTES: Final = "wfperf.output.bytes"
INPUT_FRAGMENTS: Final = "wfperf.input.fragments"  # base64: hashed fragments, see analysis.fragments
OUTPUT_FRAGMENTS: Final = "wfperf.output.fragments"
QUALITY: Final = "wfperf.quality"  # 0..1
TOTAL_INPUT_TOKENS: Final = "wfperf.total.input_tokens"
TOTAL_OUTPUT_TOKENS: Final = "wfperf.total.output_tokens"
TOTAL_CACHE_READ_TOKENS: Final = "wfperf.total.cache_read_tokens"
TOTAL_CACHE_WRITE_TOKENS: Final = "wfperf.total.cache_write_tokens"
TOTAL_REASONING_TOKENS: Final = "wfperf.total.reasoning_tokens"
CPU_TIME: Final = "wfperf.cpu.time"  # s, of the operation's own code, that of its children left out
LOOP_BLOCKED: Final = "wfperf.event_loop.blocked"  # s, in steps of the operation's own code that held the event loop
LOOP_BLOCKED_LONGEST: Final = "wfperf.event_loop.blocked_longest"  # s, the longest such step
CPU_RATIO: Final = "wfperf.cpu.ratio"  # process CPU over available CPUs, 0..1
MEMORY_RSS: Final = "wfperf.memory.rss"  # By
MEMORY_RATIO: Final = "wfperf.memory.ratio"
LOOP_LAG: Final = "wfperf.event_loop.lag"  # s
CPU_PRESSURE: Final = "wfperf.cpu.pressure"  # PSI some, 0..1
MEMORY_PRESSURE: Final = "wfperf.memory.pressure"
CPU_STEAL: Final = "wfperf.cpu.steal"
SPANS_STARTED: Final = "wfperf.spans.started"  # on a trace's first span in a process: spans that it started (count)
SPANS_DROPPED: Final = "wfperf.spans.dropped"  # the same: of those, lost before export (count)
START_EVENT: Final = "wfperf.span.start"  # log record: a span that is still open
SPAN_NAME: Final = "wfperf.span.name"  # on log records, as the one below
PARENT_SPAN_ID: Final = "wfperf.span.parent_id"  # 16 hex digits
FINDING_COUNT: Final = "wfperf.finding.count"  # on the annotation span
FINDING_EVENT: Final = "wfperf.finding"  # one event of the annotation span for each finding
FINDING_DETECTOR: Final = "wfperf.finding.detector"
FINDING_SEVERITY: Final = "wfperf.finding.severity"
FINDING_CONFIDENCE: Final = "wfperf.finding.confidence"
FINDING_SUBJECT: Final = "wfperf.finding.subject"  # kind:name
FINDING_SUMMARY: Final = "wfperf.finding.summary"
FINDING_RECOMMENDATION: Final = "wfperf.finding.recommendation"
FINDING_SAVING: Final = "wfperf.finding.saving"  # s, median of the prediction
FINDING_FINGERPRINT: Final = "wfperf.finding.fingerprint"
ANNOTATION_SCOPE: Final = "otel_wfperf.annotation"  # scope of annotation spans; never analysed again
INSTRUMENTATION_SCOPE: Final = "otel_wfperf"

# -- values of gen_ai.operation.name that the project writes -------------------------------------------------------
INVOKE_WORKFLOW: Final = "invoke_workflow"
INVOKE_AGENT: Final = "invoke_agent"
EXECUTE_TOOL: Final = "execute_tool"
CHAT: Final = "chat"
TEXT_COMPLETION: Final = "text_completion"
RETRIEVAL: Final = "retrieval"

_LONG_BUCKETS_S = (1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0)
_AGENT_BUCKETS_S = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 102.4, 204.8, 409.6)
_CALL_BUCKETS_S = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_TOKEN_BUCKETS = (1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0, 16384.0, 65536.0, 262144.0, 1048576.0, 4194304.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricName:
    """One metric that the instrumentation writes.

    Attributes:
        name: OpenTelemetry name.
        instrument: histogram, counter, up_down_counter or observable_gauge.
        unit: UCUM unit.
        description: What is measured.
        attributes: Attribute names; all of low cardinality.
        source: Where the definition comes from.
        buckets: Advised bucket boundaries, for histograms.
    """

    name: str
    instrument: str
    unit: str
    description: str
    attributes: tuple[str, ...] = ()
    source: str = "otel-wfperf"
    buckets: tuple[float, ...] = ()


_GENAI = "semantic-conventions-genai docs/gen-ai/gen-ai-metrics.md"

WORKFLOW_DURATION: Final = MetricName(
    name="gen_ai.invoke_workflow.duration",
    instrument="histogram",
    unit="s",
    description="Duration of workflow executions.",
    attributes=(WORKFLOW_NAME, ERROR_TYPE),
    source=_GENAI,
    buckets=_LONG_BUCKETS_S,
)
PHASE_DURATION: Final = MetricName(
    name="wfperf.phase.duration",
    instrument="histogram",
    unit="s",
    description="Duration of workflow phases.",
    attributes=(WORKFLOW_NAME, PHASE_NAME, ERROR_TYPE),
    buckets=_AGENT_BUCKETS_S,
)
AGENT_DURATION: Final = MetricName(
    name="gen_ai.invoke_agent.duration",
    instrument="histogram",
    unit="s",
    description="Response time of agents.",
    attributes=(AGENT_NAME, ERROR_TYPE, REQUEST_MODEL),
    source=_GENAI,
    buckets=_AGENT_BUCKETS_S,
)
CONTEXT_DURATION: Final = MetricName(
    name="wfperf.context.duration",
    instrument="histogram",
    unit="s",
    description="Time spent building, trimming and passing context.",
    attributes=(CONTEXT_OPERATION,),
    buckets=_CALL_BUCKETS_S,
)
AGENT_CPU_TIME: Final = MetricName(
    name="wfperf.agent.cpu.time",
    instrument="counter",
    unit="s",
    description="CPU time used by agents' own code.",
    attributes=(AGENT_NAME,),
)
PROCESS_MEMORY: Final = MetricName(
    name="wfperf.process.memory.rss",
    instrument="observable_gauge",
    unit="By",
    description="Resident set size of the process.",
    source="psutil Process.memory_info",
)
PROCESS_CPU_UTILISATION: Final = MetricName(
    name="wfperf.process.cpu.utilization",
    instrument="observable_gauge",
    unit="1",
    description="CPU time of the process over that of the CPUs that it may use, in the last second.",
    source="psutil Process.cpu_percent; cgroup cpu.max",
)
PROCESS_MEMORY_UTILISATION: Final = MetricName(
    name="wfperf.process.memory.utilization",
    instrument="observable_gauge",
    unit="1",
    description="Memory in use over the limit of the container, or over the machine's memory without one.",
    source="cgroup memory.current, memory.max; psutil virtual_memory",
)
NETWORK_IO: Final = MetricName(
    name="wfperf.network.io",
    instrument="observable_counter",
    unit="By",
    description="Bytes that the host sent and received.",
    attributes=("network.io.direction",),
    source="psutil net_io_counters",
)
ACTIVE_AGENTS: Final = MetricName(
    name="wfperf.agent.active",
    instrument="up_down_counter",
    unit="{agent}",
    description="Agents running now; compare with wfperf.agent.capacity.",
    attributes=(AGENT_NAME,),
)
AGENT_CAPACITY: Final = MetricName(
    name="wfperf.agent.capacity",
    instrument="observable_gauge",
    unit="{agent}",
    description="Agents that may run at once, where a limit is configured.",
)
WORKFLOWS_COMPLETED: Final = MetricName(
    name="wfperf.workflow.completed",
    instrument="counter",
    unit="{workflow}",
    description="Finished workflow executions; its rate over an hour is workflows per hour.",
    attributes=(WORKFLOW_NAME, ERROR_TYPE),
)
TASKS_COMPLETED: Final = MetricName(
    name="wfperf.task.completed",
    instrument="counter",
    unit="{task}",
    description="Finished phases and agent and tool calls; its rate over a minute is tasks per minute.",
    attributes=(SPAN_KIND, ERROR_TYPE),
)
AGENT_UTILISATION: Final = MetricName(
    name="wfperf.agent.utilization",
    instrument="observable_gauge",
    unit="1",
    description="Busy share of the agent capacity since the last collection.",
)
QUEUE_WAIT: Final = MetricName(
    name="wfperf.queue.wait",
    instrument="histogram",
    unit="s",
    description="Time spent waiting for a slot, lock, rate limit or person.",
    attributes=(WAIT_KIND, WAIT_RESOURCE),
    buckets=_CALL_BUCKETS_S,
)
QUEUE_DEPTH_METRIC: Final = MetricName(
    name="wfperf.agent.queued",
    instrument="up_down_counter",
    unit="{request}",
    description="Requests waiting now.",
    attributes=(WAIT_KIND, WAIT_RESOURCE),
)
CONTEXT_TOKENS_METRIC: Final = MetricName(
    name="wfperf.context.tokens",
    instrument="histogram",
    unit="{token}",
    description="Prompt size of model calls.",
    attributes=(AGENT_NAME, REQUEST_MODEL),
    buckets=_TOKEN_BUCKETS,
)
CLIENT_DURATION: Final = MetricName(
    name="gen_ai.client.operation.duration",
    instrument="histogram",
    unit="s",
    description="Duration of model calls.",
    attributes=(OPERATION_NAME, PROVIDER_NAME, REQUEST_MODEL, ERROR_TYPE),
    source=_GENAI,
    buckets=_CALL_BUCKETS_S,
)
TOKEN_USAGE: Final = MetricName(
    name="gen_ai.client.token.usage",
    instrument="histogram",
    unit="{token}",
    description="Tokens used by model calls.",
    attributes=(OPERATION_NAME, PROVIDER_NAME, REQUEST_MODEL, TOKEN_TYPE),
    source=_GENAI,
    buckets=_TOKEN_BUCKETS,
)
TOOL_DURATION: Final = MetricName(
    name="gen_ai.execute_tool.duration",
    instrument="histogram",
    unit="s",
    description="Duration of tool calls.",
    attributes=(TOOL_NAME, AGENT_NAME, ERROR_TYPE),
    source=_GENAI,
    buckets=_CALL_BUCKETS_S,
)

METRICS: Final[tuple[MetricName, ...]] = (
    WORKFLOW_DURATION,
    PHASE_DURATION,
    AGENT_DURATION,
    CONTEXT_DURATION,
    AGENT_CPU_TIME,
    PROCESS_MEMORY,
    PROCESS_CPU_UTILISATION,
    PROCESS_MEMORY_UTILISATION,
    NETWORK_IO,
    ACTIVE_AGENTS,
    AGENT_CAPACITY,
    WORKFLOWS_COMPLETED,
    TASKS_COMPLETED,
    AGENT_UTILISATION,
    QUEUE_WAIT,
    QUEUE_DEPTH_METRIC,
    CONTEXT_TOKENS_METRIC,
    CLIENT_DURATION,
    TOKEN_USAGE,
    TOOL_DURATION,
)
