"""Which person a command means."""

from argparse import ArgumentTypeError
from collections.abc import Sequence

from django.core.management.base import CommandError

from gdpr.subjects import InvalidSubject, Subject

USAGE = 2
"""The exit status of arguments that nothing can be done with, as argparse has it."""


def identifier(text: str) -> tuple[str, str]:
    """One identifier of a person as it is typed, such as `email=ada@example.com`. Raises ArgumentTypeError."""
    kind, equals, value = text.partition("=")
    if not equals:
        raise ArgumentTypeError(f"{text!r} is not of the form email=ada@example.com or actorId=u1")
    try:
        Subject.read({kind: value})
    except InvalidSubject as error:
        raise ArgumentTypeError(f"{text!r} {error.rule}") from None
    return kind, value


def chosen_subject(identifiers: Sequence[tuple[str, str]]) -> Subject | None:
    """The person of all identifiers; None, which means the whole company, only where nothing was named."""
    if not identifiers:
        return None
    named: dict[str, list[str]] = {}
    for kind, value in identifiers:
        named.setdefault(kind, []).append(value)
    try:
        return Subject.read(named)
    except InvalidSubject as error:
        raise CommandError(f"--subject: {error.rule}", returncode=USAGE) from None
