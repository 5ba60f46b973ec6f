from __future__ import annotations

import base64
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from otel_wfperf.config.secrets import Secret
from otel_wfperf.sidecar.tokens import Tokens

FIRST, SECOND = "first-0123456789abcdef", "second-0123456789abcdef"


def in_file(path: Path, token: str) -> Secret:
    path.write_text(f"{token}\n")
    return TypeAdapter(Secret).validate_python({"file": str(path)})


def basic(user: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


@pytest.mark.parametrize("token", [FIRST, SECOND])
def test_any_of_the_tokens_is_good_however_it_is_sent(token: str) -> None:
    tokens = Tokens([Secret.literal(FIRST), Secret.literal(SECOND)])

    assert all(tokens.accept(header) for header in (f"Bearer {token}", f"bearer  {token} ", basic("anyone", token)))


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        FIRST,
        f"Bearer {FIRST[:-1]}",
        f"Bearer {FIRST}x",
        f"Bearer {FIRST.upper()}",
        f"Token {FIRST}",
        f"Bearer {FIRST} {SECOND}",
        "Bearer \udcff\udcfe",
        "Bearer ä",
        f"Basic {FIRST}",
        "Basic !!!",
        basic(FIRST, ""),
        basic("any", FIRST[:-1]),
        "Basic " + base64.b64encode(b"\xff:\xff").decode(),
        f"Bearer {'x' * 10**6}",
    ],
)
def test_nothing_else_is_good(header: str | None) -> None:
    assert not Tokens([Secret.literal(FIRST), Secret.literal(SECOND)]).accept(header)


def test_a_changed_file_counts_within_a_second(tmp_path: Path) -> None:
    now_s = 100.0
    path = tmp_path / "token"
    tokens = Tokens([in_file(path, FIRST)], clock_s=lambda: now_s)
    assert tokens.accept(f"Bearer {FIRST}")

    in_file(path, SECOND)
    now_s += 1.0

    assert not tokens.accept(f"Bearer {FIRST}")
    assert tokens.accept(f"Bearer {SECOND}")


def test_a_token_that_cannot_be_read_is_not_good_until_it_can_be_read_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    now_s = 100.0
    path = tmp_path / "token"
    tokens = Tokens([in_file(path, FIRST), Secret.literal(SECOND)], clock_s=lambda: now_s)
    path.unlink()
    for _ in range(3):
        assert not tokens.accept(f"Bearer {FIRST}")
        assert tokens.accept(f"Bearer {SECOND}")
        now_s += 1.0
    [record] = caplog.records
    assert str(path) in record.message

    in_file(path, FIRST)
    assert tokens.accept(f"Bearer {FIRST}")
