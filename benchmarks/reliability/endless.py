"""Load without an end, and a back end that takes it: requests are told apart by a digest, so that nothing grows.

Run as a program, this is the back end: `python -m benchmarks.reliability.endless PORT_FILE DIGESTS_FILE`.
"""

from __future__ import annotations

import asyncio
import hashlib
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import grpc
import grpc.aio

from benchmarks.reliability.load import METHOD, Batch, workflow_batches

DIGEST_BYTES: Final = 8
_BATCH_SPANS: Final = 512
_TRACE_SPANS: Final = 16
_TRACES: Final = _BATCH_SPANS // _TRACE_SPANS
# Times in the spans are those of the template; anew often enough that executions are of just now.
_SAME_TEMPLATE: Final = 200


def endless_batches() -> Iterator[Batch]:
    """Make batches of new executions for ever, cheaply: a template in which the trace ids are exchanged."""
    first = 1
    while True:
        (template,) = workflow_batches(_BATCH_SPANS, first=first)
        places = [_places(template.data, first + number) for number in range(_TRACES)]
        for _ in range(_SAME_TEMPLATE):
            data = bytearray(template.data)
            for number, found in enumerate(places):
                trace_id = (first + number).to_bytes(16, "big")
                for place in found:
                    data[place : place + 16] = trace_id
            yield Batch(bytes(data), template.spans)
            first += _TRACES


def _places(data: bytes, trace: int) -> list[int]:
    trace_id = trace.to_bytes(16, "big")
    places: list[int] = []
    place = data.find(trace_id)
    while place >= 0:
        places.append(place)
        place = data.find(trace_id, place + 16)
    if len(places) != _TRACE_SPANS:
        raise ValueError(f"trace {trace}: found {len(places)} times in its batch, not {_TRACE_SPANS}")
    return places


def digest(data: bytes) -> bytes:
    """Return what a request is known by."""
    return hashlib.blake2b(data, digest_size=DIGEST_BYTES).digest()


def digests(file: Path) -> list[bytes]:
    """Return what the back end has noted, oldest first."""
    noted = file.read_bytes()
    return [noted[place : place + DIGEST_BYTES] for place in range(0, len(noted), DIGEST_BYTES)]


async def _serve(port_file: Path, digests_file: Path) -> None:
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    with digests_file.open("ab", buffering=0) as noted:

        async def export(request: bytes, _: object) -> bytes:
            noted.write(digest(request))
            return b""

        server = grpc.aio.server(options=[("grpc.max_receive_message_length", -1)])
        service, _, method = METHOD.strip("/").partition("/")
        handlers = {method: grpc.unary_unary_rpc_method_handler(export)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        await asyncio.to_thread(port_file.write_text, str(port), encoding="utf-8")
        await stopping.wait()
        await server.stop(1)


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1]), Path(sys.argv[2])))
