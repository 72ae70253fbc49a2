"""The states of a job and the transitions between them. The diagram in docs/ is made from this table."""

from __future__ import annotations

import sys

from django.db import models
from django.utils.translation import gettext_lazy as _


class State(models.TextChoices):
    QUEUED = "queued", _("Queued")
    RUNNING = "running", _("In progress")
    CANCELLING = "cancelling", _("Cancelling")
    SUCCEEDED = "succeeded", _("Succeeded")
    FAILED = "failed", _("Failed")
    CANCELLED = "cancelled", _("Cancelled")


ACTIVE = (State.RUNNING, State.CANCELLING)
LIVE = (State.QUEUED, *ACTIVE)
ENDED = (State.SUCCEEDED, State.FAILED, State.CANCELLED)

# Each transition with its cause. No transition leaves an ended state: a retry is a new job.
TRANSITIONS: dict[tuple[State, State], str] = {
    (State.QUEUED, State.RUNNING): "a worker claims it",
    (State.QUEUED, State.CANCELLED): "cancelled, or superseded, before it ran",
    (State.RUNNING, State.SUCCEEDED): "its body returned",
    (State.RUNNING, State.FAILED): "its body raised, or its worker died",
    (State.RUNNING, State.CANCELLING): "cancelled, or superseded, while it runs",
    (State.RUNNING, State.QUEUED): "its worker died or was stopped, and it may run again",
    (State.CANCELLING, State.CANCELLED): "its body stopped, or its worker died",
    (State.CANCELLING, State.SUCCEEDED): "its body returned before it stopped",
    (State.CANCELLING, State.FAILED): "its body raised before it stopped",
}


def allowed(old: str, new: str) -> bool:
    return (old, new) in TRANSITIONS


def diagram() -> str:
    """The table as a Mermaid state diagram in Markdown."""
    lines = [
        "# The states of a job",
        "",
        "Made by `python -m left4me.jobs.states` from `left4me/jobs/states.py`; a test compares the two.",
        "",
        "```mermaid",
        "stateDiagram-v2",
        "    [*] --> queued: requested",
        *(f"    {old.value} --> {new.value}: {why}" for (old, new), why in TRANSITIONS.items()),
        *(f"    {state.value} --> [*]" for state in ENDED),
        "```",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(diagram())
