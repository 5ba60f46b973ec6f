"""A research team on LangGraph: plan, research in parallel, analyse, write, review.

The model is scripted, so no key and no network is needed; it answers as slowly as real models do. Nothing here
knows about otel-wfperf: run it under ``wfperf run -- python examples/langgraph_research.py`` to see where its time
goes, or ``wfperf demo``, which does that.

By default the team makes four mistakes that are common in agent workflows; ``--healthy`` runs it without them:

1. The analyst asks for three independent data sets in one turn, and the node loads them one after the other.
2. The writer's model endpoint is overloaded: its calls take about five times as long as the same model elsewhere.
3. The paper reader sends every paper it has read with every further request.
4. Analyst, writer and reviewer each load the same glossary, which never changes.
"""

import argparse
import math
import operator
import time
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Annotated, Any, TypedDict

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ContextThreadPoolExecutor
from langchain_core.tools import BaseTool, StructuredTool
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph

# Service time of one call: FIRST_TOKEN_S + tokens in and out, times a log-normal factor. Fitted to recorded calls of
# chat models (llm_calls.csv, gpt-3.5-turbo-0125 and gpt-4o-mini): 0.7 s in the middle, and a log standard deviation
# of 0.37 between calls of one model with answers of one length; SPREAD_LIMIT keeps a short demo free of flukes.
FIRST_TOKEN_S = 0.25
OUTPUT_TOKEN_S = 0.012
INPUT_TOKEN_S = 0.00012
LOG_SPREAD = 0.37
SPREAD_LIMIT = 1.5

TOOL_CALL_TOKENS = 12
CHARACTERS_PER_TOKEN = 4
MODEL = "scripted-chat-1"
OVERLOAD = 5.0
PAPERS = 4
WORDS = ("storage", "demand", "market", "price", "grid", "battery", "forecast", "capacity", "policy", "supply", "cost")


class State(TypedDict):
    """What the graph passes from agent to agent."""

    topic: str
    run: int
    plan: str
    notes: Annotated[list[str], operator.add]
    analysis: str
    draft: str
    review: str


@dataclass(frozen=True, slots=True)
class Timing:
    """How long calls take.

    Attributes:
        seed: Equal seeds give equal times.
        scale: Factor on every time; 1 is as slow as real models.
    """

    seed: int
    scale: float

    def spread(self, *identity: object) -> float:
        """Draw the log-normal factor that belongs to one call."""
        random = Random("/".join(map(str, (self.seed, *identity))))
        return math.exp(LOG_SPREAD * max(-SPREAD_LIMIT, min(SPREAD_LIMIT, random.gauss(0, 1))))

    def pause(self, seconds: float) -> None:
        """Take the time that a remote service would."""
        time.sleep(seconds * self.scale)


class ScriptedChatModel(BaseChatModel):
    """Answers from a script and takes as long as a real model with as many tokens.

    Attributes:
        timing: How long calls take.
        overload: Factor on its times, for an endpoint that is overloaded.
        prompt_cache: Report the part of a prompt that was sent before as read from the provider's cache.
    """

    timing: Timing
    overload: float = 1.0
    prompt_cache: bool = False

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> Any:
        return super()._get_ls_params(stop=stop, **kwargs) | {"ls_provider": "scripted", "ls_model_name": MODEL}

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,  # noqa: ARG002  # part of the interface
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002  # part of the interface
        **kwargs: Any,
    ) -> ChatResult:
        """Wait as long as the tokens take, then give the scripted answer."""
        identity: str = kwargs["identity"]
        text: str = kwargs["text"]
        tool_calls: Sequence[dict[str, Any]] = kwargs["tool_calls"]
        tokens_in = sum(map(tokens, messages))
        tokens_out = len(text) // CHARACTERS_PER_TOKEN + TOOL_CALL_TOKENS * len(tool_calls)
        cached = sum(map(tokens, messages[:-1])) if self.prompt_cache and len(messages) > 2 else 0
        seconds = FIRST_TOKEN_S + OUTPUT_TOKEN_S * tokens_out + INPUT_TOKEN_S * (tokens_in - cached)
        self.timing.pause(self.overload * seconds * self.timing.spread(identity))
        answer = AIMessage(
            content=text,
            id=f"response-{identity}",
            tool_calls=[{**call, "type": "tool_call"} for call in tool_calls],
            usage_metadata={
                "input_tokens": tokens_in,
                "output_tokens": tokens_out,
                "total_tokens": tokens_in + tokens_out,
                "input_token_details": {"cache_read": cached},
            },
            response_metadata={"id": f"response-{identity}", "model_name": MODEL},
        )
        return ChatResult(generations=[ChatGeneration(message=answer)])


def tokens(message: BaseMessage) -> int:
    """Estimate the length of a message (tokens)."""
    return len(str(message.content)) // CHARACTERS_PER_TOKEN


def prose(identity: str, length_tokens: int) -> str:
    """Make up text: the same for the same identity, and with an identifier that others can quote."""
    random = Random(identity)
    reference = f"ref-{random.getrandbits(48):012x}"
    words = random.choices(WORDS, k=max(1, length_tokens * CHARACTERS_PER_TOKEN // 7))
    return " ".join([reference, *words])


def tool(name: str, seconds: float, length_tokens: int, timing: Timing) -> BaseTool:
    """Make a read-only tool: a pause, then a text that depends on the argument alone."""

    def read(query: str) -> str:
        timing.pause(seconds * timing.spread(name, query) ** 0.5)
        return prose(f"{name}/{query}", length_tokens)

    return StructuredTool.from_function(read, name=name, description=f"Read-only: {name.replace('_', ' ')}.")


@dataclass(frozen=True, slots=True)
class Team:
    """The agents; each method that takes a state is a node of the graph.

    Attributes:
        healthy: Leave the four mistakes out.
    """

    timing: Timing
    healthy: bool
    tools: dict[str, BaseTool]

    @classmethod
    def hire(cls, timing: Timing, *, healthy: bool) -> "Team":
        """Set up the tools and the agents that use them."""
        tools = [
            tool("search_web", 0.9, 60, timing),
            tool("search_news", 0.7, 60, timing),
            tool("read_paper", 0.5, 5000, timing),
            tool("load_filings", 4.2, 50, timing),
            tool("load_prices", 4.0, 50, timing),
            tool("load_weather", 3.8, 50, timing),
            tool("load_glossary", 2.2, 80, timing),
        ]
        return cls(timing, healthy, {each.name: each for each in tools})

    def plan(self, state: State, config: RunnableConfig) -> dict[str, Any]:
        """Split the topic into questions."""
        agent = self.agent("planner", state, config)
        return {"plan": agent.ask(f"Split into research questions: {state['topic']}", length_tokens=45)}

    def research_web(self, state: State, config: RunnableConfig) -> dict[str, Any]:
        """Search the web once."""
        agent = self.agent("web researcher", state, config)
        return {"notes": [agent.look_up(f"Work on the plan: {state['plan']}", [("search_web", state["plan"])])]}

    def research_news(self, state: State, config: RunnableConfig) -> dict[str, Any]:
        """Search the news once."""
        agent = self.agent("news researcher", state, config)
        return {"notes": [agent.look_up(f"Work on the plan: {state['plan']}", [("search_news", state["plan"])])]}

    def read_papers(self, state: State, config: RunnableConfig) -> dict[str, Any]:
        """Read four papers, one after the other: which one is next depends on what the last one says."""
        agent = self.agent("paper reader", state, config, prompt_cache=self.healthy)
        finding = agent.ask(f"Which paper first? {state['plan']}", length_tokens=20, call=("read_paper", state["plan"]))
        for paper in range(1, PAPERS + 1):
            text = agent.use_tools()[0]
            if self.healthy:
                agent.forget_tool_results(keep=f"Key points: {text[:200]}")
            following = ("read_paper", finding) if paper < PAPERS else None
            finding = agent.ask("What matters here, and which paper next?", length_tokens=20, call=following)
        return {"notes": [finding]}

    def analyse(self, state: State, config: RunnableConfig) -> dict[str, Any]:
        """Load three data sets and compare them with the notes."""
        agent = self.agent("analyst", state, config, glossary=True)
        notes = "\n".join(sorted(state["notes"]))
        data = [("load_filings", "storage"), ("load_prices", "storage"), ("load_weather", "storage")]
        return {"analysis": agent.look_up(f"Compare with data: {notes}", data, at_once=self.healthy)}

    def write(self, state: State, config: RunnableConfig) -> dict[str, Any]:
        """Outline, draft and polish."""
        overload = 1.0 if self.healthy else OVERLOAD
        agent = self.agent("writer", state, config, glossary=not self.healthy, overload=overload)
        outline = agent.ask(f"Outline a report on: {state['analysis']}", length_tokens=30)
        draft = agent.ask(f"Write it along this outline: {outline}", length_tokens=40)
        return {"draft": agent.ask(f"Polish: {draft}", length_tokens=40)}

    def check(self, state: State, config: RunnableConfig) -> dict[str, Any]:
        """Check the draft."""
        agent = self.agent("reviewer", state, config, glossary=not self.healthy)
        issues = agent.ask(f"List what is unclear in: {state['draft']}", length_tokens=35)
        return {"review": agent.ask(f"Give a verdict on: {issues}", length_tokens=25)}

    def agent(
        self,
        name: str,
        state: State,
        config: RunnableConfig,
        *,
        glossary: bool = False,
        overload: float = 1.0,
        prompt_cache: bool = False,
    ) -> "Agent":
        """Start a conversation of one agent, with the glossary in its instructions if it wants that."""
        model = ScriptedChatModel(timing=self.timing, overload=overload, prompt_cache=prompt_cache)
        instructions = f"You are the {name}. {prose('instructions', 700)}"
        if glossary:
            instructions += str(self.tools["load_glossary"].invoke({"query": "energy"}, config))
        return Agent(name, state["run"], config, model, self.tools, [SystemMessage(instructions)])


@dataclass(slots=True)
class Agent:
    """A conversation with the model."""

    name: str
    run: int
    config: RunnableConfig
    model: ScriptedChatModel
    tools: dict[str, BaseTool]
    messages: list[BaseMessage]
    turn: int = 0

    def ask(self, text: str, *, length_tokens: int, call: tuple[str, str] | None = None) -> str:
        """Add a message and let the model answer."""
        return self.answer(HumanMessage(text), length_tokens=length_tokens, calls=[call] if call else [])

    def look_up(self, text: str, calls: Sequence[tuple[str, str]], *, at_once: bool = False) -> str:
        """Let the model ask for tools, run them, and let it conclude."""
        self.answer(HumanMessage(text), length_tokens=10, calls=calls)
        self.use_tools(at_once=at_once)
        return self.answer(HumanMessage("Conclude."), length_tokens=45)

    def answer(self, message: BaseMessage, *, length_tokens: int, calls: Sequence[tuple[str, str]] = ()) -> str:
        """Send the conversation with one more message; keep and return the answer."""
        self.messages.append(message)
        self.turn += 1
        identity = f"{self.name.replace(' ', '-')}-{self.run}-{self.turn}"
        tool_calls = [
            {"name": name, "args": {"query": query[:200]}, "id": f"call-{identity}-{number}"}
            for number, (name, query) in enumerate(calls)
        ]
        answer = self.model.invoke(
            self.messages, self.config, identity=identity, text=prose(identity, length_tokens), tool_calls=tool_calls
        )
        self.messages.append(answer)
        return str(answer.content)

    def use_tools(self, *, at_once: bool = False) -> list[str]:
        """Run the tools that the last answer asked for, in series or all at once."""
        answer = self.messages[-1]
        calls = answer.tool_calls if isinstance(answer, AIMessage) else []
        if at_once:
            with ContextThreadPoolExecutor() as pool:
                results = list(pool.map(self.use_tool, calls))
        else:
            results = [self.use_tool(call) for call in calls]
        self.messages.extend(results)
        return [str(result.content) for result in results]

    def use_tool(self, call: Any) -> ToolMessage:
        """Run one tool."""
        result: ToolMessage = self.tools[call["name"]].invoke(call, self.config)
        return result

    def forget_tool_results(self, *, keep: str) -> None:
        """Put a short note in place of the last tool result."""
        last = self.messages[-1]
        if isinstance(last, ToolMessage):
            self.messages[-1] = ToolMessage(keep, tool_call_id=last.tool_call_id)


def build_graph(team: Team) -> "CompiledStateGraph[State, None, State, State]":
    """Connect the agents."""
    researchers = ["web_researcher", "news_researcher", "paper_reader"]
    graph = StateGraph(State)
    graph.add_node("planner", team.plan)
    graph.add_node("web_researcher", team.research_web)
    graph.add_node("news_researcher", team.research_news)
    graph.add_node("paper_reader", team.read_papers)
    graph.add_node("analyst", team.analyse)
    graph.add_node("writer", team.write)
    graph.add_node("reviewer", team.check)
    graph.add_edge(START, "planner")
    for name in researchers:
        graph.add_edge("planner", name)
    graph.add_edge(researchers, "analyst")
    graph.add_edge("analyst", "writer")
    graph.add_edge("writer", "reviewer")
    graph.add_edge("reviewer", END)
    return graph.compile(name="research")


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="A research team on LangGraph with a scripted model.")
    parser.add_argument("--healthy", action="store_true", help="run without the four planted mistakes")
    parser.add_argument("--runs", type=int, default=4, help="executions of the workflow (count, default 4)")
    parser.add_argument("--seed", type=int, default=7, help="equal seeds give equal service times (default 7)")
    parser.add_argument(
        "--time-scale", type=float, default=0.2, help="factor on service times; 1 = real models (default 0.2)"
    )
    return parser.parse_args()


def main() -> None:
    """Run the workflow a few times and print what it produced."""
    arguments = parse_arguments()
    team = Team.hire(Timing(arguments.seed, arguments.time_scale), healthy=arguments.healthy)
    graph = build_graph(team)
    for run in range(1, arguments.runs + 1):
        begun = time.perf_counter()
        state = State(topic="the market for grid storage", run=run, plan="", notes=[], analysis="", draft="", review="")
        review = str(graph.invoke(state)["review"])
        print(f"run {run}: {time.perf_counter() - begun:.1f} s, review {review.split(maxsplit=1)[0]}", flush=True)


if __name__ == "__main__":
    main()
