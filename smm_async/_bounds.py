"""What a number, or an object, that a program passes must be."""

from __future__ import annotations

import math

__all__ = ["check_seconds", "check_type", "check_whole"]


def check_whole(name: str, value: object) -> None:
    """Raise a `ValueError` unless ``value`` is a whole number of at least 1."""
    if type(value) is not int or value < 1:
        message = f"{name} must be a whole number of at least 1, not {value!r}."
        raise ValueError(message)


def check_seconds(name: str, value: object, *, least: float) -> None:
    """Raise a `ValueError` unless ``value`` is a finite number of seconds of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value < math.inf:
        message = f"{name} must be a number of seconds of at least {least:g}, not {value!r}."
        raise ValueError(message)


def check_type(name: str, value: object, cls: type, expected: str) -> None:
    """Raise a `ValueError` unless ``value`` is of a class, which ``expected`` describes."""
    if not isinstance(value, cls):
        message = f"{name} must be {expected}, not {type(value).__name__}."
        raise ValueError(message)  # noqa: TRY004  callers have one error to expect of bad arguments
