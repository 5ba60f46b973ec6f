"""A TCP proxy that does to connections what networks do: delay, silence, resets."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

_CHUNK_BYTES = 64 * 1024


@dataclass(slots=True, kw_only=True)
class FaultProxy:
    """What happens to what passes; may be changed at any time.

    Attributes:
        port: Where it listens on 127.0.0.1.
        delay_s: How long each piece waits on its way back (seconds).
        silent: Nothing passes any more, and nothing is closed: connections that meet this stay half-open for ever.
        reset_after_bytes: A connection is reset (RST) once so much has passed towards the back end; None = never.
        connections: Accepted so far (count).
    """

    port: int = 0
    delay_s: float = 0.0
    silent: bool = False
    reset_after_bytes: int | None = None
    connections: int = 0
    _target: tuple[str, int] = ("127.0.0.1", 0)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def heal(self) -> None:
        """Let everything pass from now on, but for connections that met silence."""
        self.delay_s, self.silent, self.reset_after_bytes = 0.0, False, None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with suppress(OSError):
            back_reader, back_writer = await asyncio.open_connection(*self._target)
            try:
                there = asyncio.create_task(self._carry(reader, back_writer, writer))
                back = asyncio.create_task(self._carry(back_reader, writer, None))
                self._tasks |= {there, back}
                await asyncio.wait({there, back}, return_when=asyncio.FIRST_COMPLETED)
                for task in (there, back):
                    task.cancel()
                await asyncio.gather(there, back, return_exceptions=True)
                self._tasks -= {there, back}
            finally:
                back_writer.close()
                writer.close()

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, client: asyncio.StreamWriter | None
    ) -> None:
        """Carry one direction; ``client`` is given on the way to the back end."""
        passed = 0
        while data := await reader.read(_CHUNK_BYTES):
            if self.silent:
                await asyncio.Event().wait()
            passed += len(data)
            if client is not None and self.reset_after_bytes is not None and passed > self.reset_after_bytes:
                _reset(client)
                return
            if client is None and self.delay_s:
                await asyncio.sleep(self.delay_s)
            writer.write(data)
            await writer.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close without the handshake of a close: the other end gets RST."""
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@asynccontextmanager
async def fault_proxy(target_port: int) -> AsyncIterator[FaultProxy]:
    """Run a proxy in front of a port on 127.0.0.1; everything passes until it is told otherwise."""
    proxy = FaultProxy(_target=("127.0.0.1", target_port))
    server = await asyncio.start_server(proxy._serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        for task in proxy._tasks:
            task.cancel()
        await asyncio.gather(*proxy._tasks, return_exceptions=True)
