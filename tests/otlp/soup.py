"""Random protobuf that is, or nearly is, a request for traces: fields in any order, repeated, unknown, malformed."""

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import TypeAlias

# Wire types. Source: Protocol Buffers, "Encoding".
VARINT, EIGHT, LENGTH, GROUP, END, FOUR = 0, 1, 2, 3, 4, 5


class Chance(Random):
    """Decides what is written; most requests are free of faults, so that all of them is read."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.makes_faults = self.random() < 0.3

    def fault(self, share: float) -> bool:
        return self.makes_faults and self.random() < share


Schema: TypeAlias = Mapping[int, "tuple[int, Callable[[Chance, int], bytes]]"]


def varint(value: int, random: Chance | None = None) -> bytes:
    """Write an integer; with a source of chance sometimes longer than need be."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    if random is not None and random.random() < 0.02:
        # Tags and lengths have room for 5 bytes in all.
        for _ in range(random.randint(1, 11) if random.makes_faults else 2 if value < 2**14 else 0):
            out[-1] |= 0x80
            out.append(0)
    return bytes(out)


def field(number: int, wire: int, content: bytes, random: Chance | None = None) -> bytes:
    return varint(number << 3 | wire, random) + content


def chunk(content: bytes, random: Chance) -> bytes:
    """Write a length and what has it; sometimes the length is wrong."""
    length = len(content)
    if random.fault(0.004):
        length = max(0, length + random.choice((-2, -1, 1, 2, 200, 2**31, 2**40)))
    return varint(length, random) + content


def number(random: Chance, _depth: int) -> bytes:
    return varint(random.choice((0, 1, 2, 3, 5, 127, 128, 2**31, 2**32 - 1, 2**63, 2**64 - 1)), random)


def eight(random: Chance, _depth: int) -> bytes:
    return random.choice((bytes(8), random.randbytes(8), (10**18).to_bytes(8, "little")))


def four(random: Chance, _depth: int) -> bytes:
    return random.randbytes(4)


def text(random: Chance, _depth: int) -> bytes:
    said: Sequence[bytes] = (b"", b"a", b"gen_ai.operation.name", "grüße".encode(), "🎈".encode(), b"x" * 130)
    if random.fault(0.01):
        said = (b"\xff", b"\xc0\x80", b"\xed\xa0\x80", "é".encode()[:1])
    return chunk(random.choice(said), random)


def blob(length: int) -> Callable[[Chance, int], bytes]:
    def write(random: Chance, _depth: int) -> bytes:
        size = length if random.random() < 0.98 else random.choice((0, 1, length - 1, length + 1))
        return chunk(bytes(size) if random.random() < 0.01 else random.randbytes(size), random)

    return write


def message(schema: Callable[[], Schema], most: int) -> Callable[[Chance, int], bytes]:
    def write(random: Chance, depth: int) -> bytes:
        return chunk(fields(schema(), random, depth + 1, most), random)

    return write


def fields(schema: Schema, random: Chance, depth: int, most: int) -> bytes:
    """Write some fields of a message in any order; deep down fewer."""
    out = b""
    for _ in range(random.randint(0, max(1, most - depth))):
        if random.random() < 0.03:
            out += unknown(random, depth)
            continue
        known, (wire, write) = random.choice(list(schema.items()))
        if random.random() < 0.01:
            wire, write = random.choice(((VARINT, number), (EIGHT, eight), (FOUR, four), (LENGTH, text)))
        out += field(known, wire, write(random, depth), random)
    return out


def unknown(random: Chance, depth: int) -> bytes:
    """Write a field that nobody defined; sometimes one that cannot be."""
    at = random.choice((0, 17, 100, 2**29 - 1)) if random.fault(0.1) else random.choice((17, 100, 19000))
    wire = random.choice((END, 6, 7) if random.fault(0.05) else (VARINT, EIGHT, LENGTH, FOUR, GROUP, GROUP))
    if wire == GROUP:
        inner = b"".join(unknown(random, depth + 1) for _ in range(random.randint(0, 2))) if depth < 12 else b""
        end = at + 1 if random.fault(0.03) else at
        return field(at, GROUP, inner) + field(end, END, b"")
    write = {VARINT: number, EIGHT: eight, LENGTH: text, FOUR: four}.get(wire)
    return field(at, wire, write(random, depth) if write else b"", random)


def request(random: Chance) -> bytes:
    """Write one request; some are cut short or have a byte changed."""
    data = fields({1: (LENGTH, message(lambda: RESOURCE_SPANS, 8))}, random, 0, 3)
    if data and random.fault(0.3):
        return data[: random.randrange(len(data))]
    if data and random.fault(0.3):
        at = random.randrange(len(data))
        return data[:at] + random.randbytes(1) + data[at + 1 :]
    return data


VALUE: Schema = {
    1: (LENGTH, text),
    2: (VARINT, number),
    3: (VARINT, number),
    4: (EIGHT, eight),
    5: (LENGTH, message(lambda: {1: (LENGTH, message(lambda: VALUE, 6))}, 9)),
    6: (LENGTH, message(lambda: {1: (LENGTH, message(lambda: ATTRIBUTE, 9))}, 9)),
    7: (LENGTH, blob(8)),
}
ATTRIBUTE: Schema = {1: (LENGTH, text), 2: (LENGTH, message(lambda: VALUE, 8))}
ENTITY: Schema = dict.fromkeys(range(1, 5), (LENGTH, text))
RESOURCE: Schema = {
    1: (LENGTH, message(lambda: ATTRIBUTE, 6)),
    2: (VARINT, number),
    3: (LENGTH, message(lambda: ENTITY, 6)),
}
SCOPE: Schema = {
    1: (LENGTH, text),
    2: (LENGTH, text),
    3: (LENGTH, message(lambda: ATTRIBUTE, 6)),
    4: (VARINT, number),
}
EVENT: Schema = {1: (EIGHT, eight), 2: (LENGTH, text), 3: (LENGTH, message(lambda: ATTRIBUTE, 7)), 4: (VARINT, number)}
LINK: Schema = {
    1: (LENGTH, blob(16)),
    2: (LENGTH, blob(8)),
    3: (LENGTH, text),
    4: (LENGTH, message(lambda: ATTRIBUTE, 7)),
    5: (VARINT, number),
    6: (FOUR, four),
}
STATUS: Schema = {2: (LENGTH, text), 3: (VARINT, number)}
SPAN_FIELDS: Schema = {
    3: (LENGTH, text),
    4: (LENGTH, blob(8)),
    5: (LENGTH, text),
    6: (VARINT, number),
    7: (EIGHT, eight),
    8: (EIGHT, eight),
    9: (LENGTH, message(lambda: ATTRIBUTE, 7)),
    10: (VARINT, number),
    11: (LENGTH, message(lambda: EVENT, 8)),
    12: (VARINT, number),
    13: (LENGTH, message(lambda: LINK, 12)),
    14: (VARINT, number),
    15: (LENGTH, message(lambda: STATUS, 7)),
    16: (FOUR, four),
}


def span(random: Chance, depth: int) -> bytes:
    """Write a span, which mostly has ids."""
    ids = field(1, LENGTH, blob(16)(random, depth)) + field(2, LENGTH, blob(8)(random, depth))
    content = fields(SPAN_FIELDS, random, depth, 14) + (ids if random.random() < 0.95 else b"")
    return chunk(content, random)


SCOPE_SPANS: Schema = {1: (LENGTH, message(lambda: SCOPE, 7)), 2: (LENGTH, span), 3: (LENGTH, text)}
RESOURCE_SPANS: Schema = {
    1: (LENGTH, message(lambda: RESOURCE, 6)),
    2: (LENGTH, message(lambda: SCOPE_SPANS, 8)),
    3: (LENGTH, text),
}
