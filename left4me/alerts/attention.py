"""What needs a user's attention: the form in which pages, the bell and the API show it.

`overlays/attention.py` decides it for overlays, `servers/state/attention.py` for servers and hosts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from left4me.core.web.refusals import Cure


class Severity(StrEnum):
    """How bad a reason is, the worst first; also the tone of its badge."""

    BAD = "bad"  # it does not work
    WARN = "warn"  # it works in part, or did not work a moment ago
    NOTE = "note"  # it works and can be better

    @property
    def rank(self) -> int:
        return list(Severity).index(self)


@dataclass(frozen=True, kw_only=True)
class Reason:
    """One reason for which something needs attention."""

    kind: str
    severity: Severity
    label: str  # for a badge
    text: str
    url: str
    cure: Cure | None = None


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A server, host or overlay that needs attention, with its reasons."""

    kind: str
    id: int
    name: str
    url: str
    reasons: Sequence[Reason]

    @property
    def key(self) -> str:
        return f"{self.kind}:{self.id}"

    @property
    def severity(self) -> Severity:
        """That of its worst reason."""
        return min((reason.severity for reason in self.reasons), key=lambda severity: severity.rank)


def worst_first(subjects: Sequence[Subject]) -> list[Subject]:
    """The subjects by severity; those of the same severity stay in their order."""
    return sorted(subjects, key=lambda subject: subject.severity.rank)
