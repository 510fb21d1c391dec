"""Errors that a person can act on: the value, what was expected, the remedy."""

from __future__ import annotations


class SkytriggerError(Exception):
    """The thing asked for failed. The command line exits with `exit_code`, without a traceback."""

    exit_code = 1


class InputError(SkytriggerError):
    """The request is wrong: exit code 2.

    Parameters
    ----------
    problem
        What is wrong, naming the offending value.
    expected
        What would have been right.
    remedy
        What the user can do about it.
    """

    exit_code = 2

    def __init__(self, problem: str, *, expected: str = "", remedy: str = "") -> None:
        self.problem, self.expected, self.remedy = problem, expected, remedy
        parts = [problem]
        if expected:
            parts.append(f"expected: {expected}")
        if remedy:
            parts.append(f"remedy: {remedy}")
        super().__init__("\n  ".join(parts))


class UnavailableError(InputError):
    """This machine cannot do what was asked (no such device, provider, precision or package)."""
