"""Refusals of actions. A page shows the message with its button; the API answers 409 (see left4me/api.py)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from django.core.exceptions import ValidationError


@dataclass(frozen=True, kw_only=True)
class Cure:
    """One press that mends something or takes it back: a POST of `operation` to `url`; without one, a link."""

    label: str
    url: str
    operation: str = ""

    def as_json(self) -> dict[str, str]:
        return asdict(self)


class Refused(Exception):
    """The action is not possible now. The message says why to the person who asked; `cure` makes it possible."""

    def __init__(self, message: str, *, cure: Cure | None = None) -> None:
        self.cure = cure
        super().__init__(message)


class Stale(Refused):
    """The row has changed since the caller read it. Nothing was written; `current` is the row as it is now."""

    def __init__(self, message: str, *, current: Any) -> None:
        self.current = current
        super().__init__(message)


class InUse(Refused):
    """The row cannot be deleted while other rows use it. `used_by` lists them, as the API names them."""

    def __init__(self, message: str, *, cure: Cure | None = None, **used_by: list[dict[str, Any]]) -> None:
        self.used_by = used_by
        super().__init__(message, cure=cure)


class Invalid(ValidationError):
    """A value that cannot be saved, with the cure that a form shows beside the message."""

    def __init__(self, message: str, *, cure: Cure | None = None) -> None:
        self.cure = cure
        super().__init__(message)


def message_of(fault: Exception) -> str:
    return " ".join(fault.messages) if isinstance(fault, ValidationError) else str(fault)


def cure_of(fault: Exception) -> Cure | None:
    """The first cure of a refusal, or of the errors of a form."""
    if isinstance(fault, ValidationError) and not hasattr(fault, "cure"):
        errors = [each for each in _leaves(fault) if each is not fault]
        return next((cure for each in errors if (cure := cure_of(each))), None)
    return getattr(fault, "cure", None)


def _leaves(fault: ValidationError) -> list[ValidationError]:
    if hasattr(fault, "error_dict"):
        return [each for errors in fault.error_dict.values() for each in errors]
    return list(fault.error_list)
