"""The log of a job as an event stream: the stored lines, then new ones, then the end."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from left4me.core.redis import keys
from left4me.core.web.sse import Event, Message, Page, Position, Source, Standing
from left4me.jobs import permissions, transitions
from left4me.jobs.models import Job, JobLog

if TYPE_CHECKING:
    from left4me.core.web.request import Person

MOST_LINES_REPLAYED = 2_000
_LINES_IN_A_PAGE = 250


def open_stream(user: Person, number: str) -> JobStream | None:
    """Return the stream of the job with this number; None if it does not exist or the user may not see it."""
    job = Job.objects.filter(pk=int(number)).first()
    return JobStream(job.pk) if job is not None and permissions.can_see(user, job) else None


class JobStream(Source):
    """The events of one job: `line`, `note`, `progress`, `state` and, last, `end`."""

    def __init__(self, job_id: int) -> None:
        self._job_id = job_id

    @property
    def channel(self) -> str:
        return keys.job_channel(self._job_id)

    def decode(self, raw: bytes) -> Message:
        message = json.loads(raw)
        if "lines" in message:
            events = tuple(_line_event(line) for line in message["lines"])
            return Message(events, after=(message["after"],))
        if "end" in message:
            return Message(after=(message["after"],), end=_event("end", message["end"]))
        kind = "progress" if "progress" in message else "state"
        return Message((_event(kind, message[kind] if kind == "progress" else message),))

    def standing(self, user: Person) -> Standing:
        job = Job.objects.filter(pk=self._job_id).first()
        if job is None or not permissions.can_see(user, job):
            return Standing(allowed=False, newest=(0,), ended=True)
        return Standing(allowed=True, newest=(job.last_seq,), ended=job.has_ended)

    def replay(self, after: Position) -> Page:
        # The row is read before the lines: lines are only added before the end, so if it has ended, all lines exist.
        job = Job.objects.filter(pk=self._job_id).first()
        if job is None:
            return Page((), after, end=_event("end", {"id": self._job_id, "state": "deleted"}))
        since = min(after[0], job.last_seq)
        events: list[Event] = []
        if job.last_seq - since > MOST_LINES_REPLAYED:
            first, since = since + 1, job.last_seq - MOST_LINES_REPLAYED
            events.append(Event("note", f"{since - first + 1:,} lines not shown", (since,)))
        # Not beyond `last_seq` of the row: a line that was added since would be sent twice.
        until = min(since + _LINES_IN_A_PAGE, job.last_seq)
        lines = JobLog.objects.filter(job=job, seq__gt=since, seq__lte=until).order_by("seq")
        events += [_line_event(line.as_json()) for line in lines]
        more = until < job.last_seq
        if not more and job.progress and job.is_live:
            events.append(_event("progress", job.progress))
        end = _event("end", transitions.end_of(job)) if job.has_ended and not more else None
        return Page(tuple(events), (until,), more=more, end=end)


def _line_event(line: dict[str, Any]) -> Event:
    return _event("line", line, (line["seq"],))


def _event(kind: str, data: object, position: Position | None = None) -> Event:
    return Event(kind, json.dumps(data, ensure_ascii=False, separators=(",", ":")), position)
