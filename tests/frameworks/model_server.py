"""A model server on loopback that speaks OpenAI's API and answers what a test scripted.

Chat completions and responses, plain and streamed, with tool calls, exact token counts and failures.
"""

import json
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from otel_wfperf.model import TokenUsage


@dataclass(frozen=True)
class ToolCall:
    """A tool that the model asks for."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


_SMALL = TokenUsage(input=10, output=5)


@dataclass(frozen=True)
class Answer:
    """What the model says next.

    Attributes:
        text: Its text; streamed word by word.
        tools: What it asks for instead, or as well.
        tokens: What the call is said to have used.
        status: HTTP status; 400 and above fail, and nothing is counted.
        gate: Called before the answer is sent, such as ``Barrier.wait`` to prove that two calls overlap.
    """

    text: str = ""
    tools: Sequence[ToolCall] = ()
    tokens: TokenUsage = _SMALL
    status: int = 200
    gate: Callable[[], object] | None = None


class ModelServer:
    """Answers each request with the first scripted rule whose text its prompt holds, else with the next answer.

    Attributes:
        requests: Bodies of the requests, in the order in which they came.
        served: Tokens of all successful answers.
    """

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.served = TokenUsage()
        self.url = ""
        self._answers: deque[Answer] = deque()
        self._rules: list[tuple[str, deque[Answer]]] = []
        self._ids: Counter[str] = Counter()
        self._lock = threading.Lock()

    def reset(self) -> None:
        """Forget script, requests and counts."""
        with self._lock:
            self.requests, self.served = [], TokenUsage()
            self._answers.clear()
            self._rules.clear()

    def script(self, *answers: Answer | str) -> None:
        """Answer with these, in order."""
        self._answers.extend(map(_answer, answers))

    def when(self, text: str, *answers: Answer | str) -> None:
        """Answer requests that hold a text with these, in order; the last one is repeated."""
        self._rules.append((text, deque(map(_answer, answers))))

    def next(self, body: Mapping[str, Any]) -> Answer:
        with self._lock:
            self.requests.append(dict(body))
            said = json.dumps(body)
            answer = self._matching(said)
            if answer.status < 400:
                self.served += answer.tokens
        if answer.gate is not None:
            answer.gate()
        return answer

    def new_id(self, prefix: str) -> str:
        with self._lock:
            self._ids[prefix] += 1
            return f"{prefix}_{self._ids[prefix]}"

    def _matching(self, said: str) -> Answer:
        for text, answers in self._rules:
            if text in said:
                return answers.popleft() if len(answers) > 1 else answers[0]
        return self._answers.popleft() if self._answers else Answer("nothing is scripted", status=500)

    @classmethod
    @contextmanager
    def running(cls) -> Iterator["ModelServer"]:
        """Serve on a free port of loopback; ``url`` ends in /v1, as the clients expect."""
        scripted = cls()
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(scripted))
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        scripted.url = f"http://127.0.0.1:{server.server_port}/v1"
        try:
            yield scripted
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


def _answer(answer: Answer | str) -> Answer:
    return Answer(answer) if isinstance(answer, str) else answer


def _handler(scripted: ModelServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)))
            answer = scripted.next(body)
            if answer.status >= 400:
                self._send(answer.status, "application/json", json.dumps({"error": {"message": answer.text or "no"}}))
                return
            make = _responses if self.path.endswith("/responses") else _chat
            whole, events = make(scripted, body, answer)
            if body.get("stream"):
                self._send(200, "text/event-stream", "".join(events))
            else:
                self._send(200, "application/json", json.dumps(whole))

        def _send(self, status: int, content_type: str, text: str) -> None:
            data = text.encode()
            self.send_response(status)
            self.send_header("content-type", content_type)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler


def _chat(server: ModelServer, body: Mapping[str, Any], answer: Answer) -> tuple[dict[str, Any], list[str]]:
    calls = [
        {
            "index": number,
            "id": server.new_id("call"),
            "type": "function",
            "function": {"name": tool.name, "arguments": json.dumps(tool.arguments)},
        }
        for number, tool in enumerate(answer.tools)
    ]
    tokens = answer.tokens
    usage = {
        "prompt_tokens": tokens.input,
        "completion_tokens": tokens.output,
        "total_tokens": tokens.input + tokens.output,
        "prompt_tokens_details": {"cached_tokens": tokens.cache_read},
        "completion_tokens_details": {"reasoning_tokens": tokens.reasoning},
    }
    head = {"id": server.new_id("chatcmpl"), "created": 1_700_000_000, "model": body.get("model")}
    reason = "tool_calls" if calls else "stop"
    message: dict[str, Any] = {"role": "assistant", "content": answer.text or None}
    if calls:
        message["tool_calls"] = calls
    choice = {"index": 0, "message": message, "finish_reason": reason}
    whole = {**head, "object": "chat.completion", "choices": [choice], "usage": usage}
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": word} for word in _words(answer.text)]
    deltas += [{"tool_calls": [call]} for call in calls]
    chunk = {**head, "object": "chat.completion.chunk"}
    chunks: list[dict[str, Any]] = [
        {**chunk, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas
    ]
    chunks.append({**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
    if (body.get("stream_options") or {}).get("include_usage"):
        chunks.append({**chunk, "choices": [], "usage": usage})
    return whole, [*(f"data: {json.dumps(each)}\n\n" for each in chunks), "data: [DONE]\n\n"]


def _responses(server: ModelServer, body: Mapping[str, Any], answer: Answer) -> tuple[dict[str, Any], list[str]]:
    output: list[dict[str, Any]] = []
    if answer.text:
        part = {"type": "output_text", "text": answer.text, "annotations": []}
        message = {"type": "message", "role": "assistant", "status": "completed", "content": [part]}
        output.append({**message, "id": server.new_id("msg")})
    for tool in answer.tools:
        call = {"type": "function_call", "name": tool.name, "arguments": json.dumps(tool.arguments)}
        output.append({**call, "id": server.new_id("fc"), "call_id": server.new_id("call"), "status": "completed"})
    tokens = answer.tokens
    usage = {
        "input_tokens": tokens.input,
        "input_tokens_details": {"cached_tokens": tokens.cache_read},
        "output_tokens": tokens.output,
        "output_tokens_details": {"reasoning_tokens": tokens.reasoning},
        "total_tokens": tokens.input + tokens.output,
    }
    whole = {
        "id": server.new_id("resp"),
        "object": "response",
        "created_at": 1_700_000_000,
        "status": "completed",
        "model": body.get("model"),
        "output": output,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": usage,
    }
    events: list[dict[str, Any]] = [{"type": "response.created", "response": {**whole, "output": [], "usage": None}}]
    for number, item in enumerate(output):
        events.append({"type": "response.output_item.added", "output_index": number, "item": item})
        if item["type"] == "message":
            place = {"item_id": item["id"], "output_index": number, "content_index": 0}
            events += [
                {"type": "response.output_text.delta", **place, "delta": word, "logprobs": []}
                for word in _words(answer.text)
            ]
        events.append({"type": "response.output_item.done", "output_index": number, "item": item})
    events.append({"type": "response.completed", "response": whole})
    numbered = ({**event, "sequence_number": number} for number, event in enumerate(events))
    return whole, [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in numbered]


def _words(text: str) -> list[str]:
    return [f"{word} " for word in text.split(" ")[:-1]] + text.split(" ")[-1:] if text else []
