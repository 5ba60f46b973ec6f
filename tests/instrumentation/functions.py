"""One function of each kind."""

import asyncio
from collections.abc import AsyncGenerator, Generator


def plain(arguments: int) -> int:
    return arguments + 1


async def coroutine(arguments: int) -> int:
    await asyncio.sleep(0)
    return arguments + 1


def generator(arguments: int) -> Generator[int, None, int]:
    yield arguments
    yield arguments + 1
    return 7


async def async_generator(arguments: int) -> AsyncGenerator[int, None]:
    yield arguments
    await asyncio.sleep(0)
    yield arguments + 1


async def consumed(iterator: AsyncGenerator[int, None]) -> list[int]:
    return [item async for item in iterator]
