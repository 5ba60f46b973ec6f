"""What a command is, and the parser that all of them share."""

from __future__ import annotations

import argparse
from difflib import get_close_matches
from typing import ClassVar, NoReturn, Protocol

from otel_wfperf.errors import InputError


class UsageError(InputError):
    """The command line cannot be used.

    Attributes:
        hint: The next step.
    """

    def __init__(self, message: str, *, hint: str) -> None:
        """Keep the hint apart from the message."""
        self.hint = hint
        super().__init__(message)


class Command(Protocol):
    """One command of ``wfperf``.

    Attributes:
        name: What the user types.
        summary: One line for the list of commands.
        details: Behavior and examples, as ``--help`` prints them.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    details: ClassVar[str]

    def add_arguments(self, parser: Parser) -> None:
        """Declare the arguments; every option states its unit and default."""

    def run(self, arguments: argparse.Namespace) -> int:
        """Do it and return the exit status; raise WfperfError when it cannot be done."""


class Parser(argparse.ArgumentParser):
    """Reports what is wrong as an exception, in the words of the other errors."""

    def error(self, message: str) -> NoReturn:
        """Raise UsageError instead of ending the process."""
        raise UsageError(message, hint=f"{self.prog} --help shows the arguments and examples")


def parser_for(command: Command) -> Parser:
    """Build the parser of one command."""
    parser = Parser(
        prog=f"wfperf {command.name}",
        description=command.summary[:1].upper() + command.summary[1:] + ".",
        epilog=command.details,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.add_arguments(parser)
    return parser


def unknown(what: str, typed: str, known: list[str]) -> UsageError:
    """Build the error for a name that does not exist, with the nearest that does."""
    near = get_close_matches(typed, known, n=1)
    suggestion = f" (did you mean {near[0]}?)" if near else ""
    return UsageError(f"unknown {what}: {typed}{suggestion}", hint=f"{what}s are {', '.join(known)}")
