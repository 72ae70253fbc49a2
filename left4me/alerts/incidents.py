"""Incidents: other apps report problems and recoveries here; this module decides which channels are alerted.

Call these functions inside the transaction that records the observation, so that the alert is stored if and only if
the observation is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.utils.translation import ngettext

from left4me.alerts.events import AGAIN_AFTER, ENDS_A_ROUND, FOR_ADMINS, QUIET_AFTER, Event
from left4me.alerts.models import Channel, Delivery, Incident
from left4me.core.statements import Given, update

# A recovery counts after this time without a new problem.
SETTLED_AFTER = timedelta(minutes=2)

_LONGEST_TITLE, _LONGEST_TEXT = 200, 1000


@dataclass(frozen=True, kw_only=True)
class ProblemReport:
    """A report of a problem. `key` identifies the incident, `subject` the affected resource, `owners` its user ids."""

    event: Event
    key: str
    subject: str
    title: str
    text: str = ""
    path: str = ""
    owners: Collection[int] = ()
    # The event and title of the recovery; without them recovery is not announced.
    recovered: Event | None = None
    recovered_title: str = ""


@dataclass(frozen=True, kw_only=True)
class Notice:
    """Something that happened to a server without being a problem. `owners` are the user ids that it concerns."""

    event: Event
    subject: str
    title: str
    text: str = ""
    path: str = ""
    owners: Collection[int] = ()


def report(problem: ProblemReport, *, now: datetime) -> int:
    """Open or continue an incident and alert the channels, unless they were. Return how many channels are alerted."""
    with transaction.atomic():
        incident = _incident(problem, now)
        is_first = problem.event not in incident.told
        is_due_again = not is_first and _is_due_again(problem.event, incident, now)
        if is_first:
            incident.told = [*incident.told, problem.event.value]
        elif is_due_again:
            incident.opened_at = now
        incident.count, incident.last_at, incident.well_since = incident.count + 1, now, None
        incident.save(update_fields=["told", "opened_at", "count", "last_at", "well_since"])
        if not is_first and not is_due_again:
            return 0
        return _deliver(_listening(problem), problem, incident, now=now)


def complete(problem: ProblemReport, *, now: datetime) -> int:
    """Alert the channels that were not, because who reported the problem could not see whose it is."""
    with transaction.atomic():
        incident = _incident(problem, now)
        alerted = set(incident.deliveries.values_list("channel_id", flat=True))
        missed = [channel for channel in _listening(problem) if channel.pk not in alerted]
        return _deliver(missed, problem, incident, now=now)


def notify(notice: Notice, *, now: datetime) -> int:
    """Tell the channels that chose this event. Return their number."""
    return _deliver(_listening(notice, now=now), notice, None, now=now)


def chosen_events() -> set[str]:
    """The events that any channel has chosen, so that nothing is looked up for the others."""
    return {event for events in Channel.objects.enabled().values_list("events", flat=True) for event in events}


def mark_recovered(key: str, *, now: datetime) -> bool:
    """Mark the incident as recovered; return whether there was one.

    `announce_recoveries` closes it if no new problem is reported.
    """
    incident = Incident.objects.filter(key=key, closed_at=None).first()
    if incident is None or incident.well_since is not None:
        return incident is not None
    incident.well_since = now
    if set(incident.told).intersection(ENDS_A_ROUND):
        incident.told = []
    incident.save(update_fields=["well_since", "told"])
    return True


def close(keys: Iterable[str], *, now: datetime) -> None:
    """Close incidents without notifying anyone."""
    for key in keys:
        _close.run(key=key, now=now)


# Each job that succeeds does this.
_close = update(lambda: Incident.objects.filter(key=Given("key"), closed_at=None), closed_at=Given("now"))


def announce_recoveries(*, now: datetime) -> int:
    """Close incidents that have stayed recovered and notify the channels that were alerted. Return their number."""
    ended = 0
    for incident in Incident.objects.filter(closed_at=None, well_since__lte=now - SETTLED_AFTER):
        with transaction.atomic():
            # A new problem may have been reported since the incident was read.
            still_well = Incident.objects.filter(pk=incident.pk, closed_at=None, well_since=incident.well_since)
            if not still_well.update(closed_at=now):
                continue
            ended += 1
            if incident.recovered_event:
                _tell_of_recovery(incident, now)
    return ended


def _incident(problem: ProblemReport, now: datetime) -> Incident:
    """The open incident, locked FOR UPDATE."""
    incident, _created = Incident.objects.get_or_create(
        key=problem.key,
        closed_at=None,
        defaults={
            "subject": problem.subject,
            "opened_at": now,
            "last_at": now,
            "recovered_event": problem.recovered or "",
            "recovered_title": problem.recovered_title[:_LONGEST_TITLE],
            "path": problem.path,
        },
    )
    return Incident.objects.select_for_update().get(pk=incident.pk)


def _is_due_again(event: Event, incident: Incident, now: datetime) -> bool:
    pause = AGAIN_AFTER.get(event)
    return pause is not None and now - incident.opened_at >= pause


def _listening(about: ProblemReport | Notice, *, now: datetime | None = None) -> list[Channel]:
    """The channels that chose this event of this resource. With `now`, without those that were just told of it."""
    if about.event in FOR_ADMINS:
        concerned = Q(user__is_admin=True)
    else:
        concerned = Q(user_id__in=about.owners) | Q(everything=True, user__is_admin=True)
    channels = Channel.objects.enabled().filter(concerned)
    told = Delivery.objects.filter(channel=OuterRef("pk"))
    if about.event == Event.JOB_FAILED:
        # A 'gave up' alert implies that the start failed: do not send both.
        gave_up = told.filter(event=Event.SERVER_GAVE_UP, incident__subject=about.subject, incident__closed_at=None)
        channels = channels.filter(~Exists(gave_up))
    if now is not None and (quiet := QUIET_AFTER.get(about.event)):
        just_told = told.filter(event=about.event, subject=about.subject, created_at__gt=now - quiet)
        channels = channels.filter(~Exists(just_told))
    # Workers of other hosts run this too, and their database role may not read the addresses.
    return [each for each in channels.only("events") if about.event in each.events]


def _tell_of_recovery(incident: Incident, now: datetime) -> None:
    alerted = incident.deliveries.values("channel_id")
    channels = [
        each for each in Channel.objects.enabled().filter(pk__in=alerted) if incident.recovered_event in each.events
    ]
    minutes = int((now - incident.opened_at).total_seconds() // 60)
    text = ngettext("Recovered after %(n)d minute.", "Recovered after %(n)d minutes.", minutes) % {"n": minutes}
    recovery = Notice(
        event=Event(incident.recovered_event),
        subject=incident.subject,
        title=incident.recovered_title,
        text=text,
        path=incident.path,
    )
    _deliver(channels, recovery, incident, now=now)


def _deliver(
    channels: list[Channel], about: ProblemReport | Notice, incident: Incident | None, *, now: datetime
) -> int:
    rows = [
        Delivery(
            channel=channel,
            incident=incident,
            event=about.event,
            subject=about.subject,
            title=about.title[:_LONGEST_TITLE],
            text=about.text[:_LONGEST_TEXT],
            path=about.path,
            created_at=now,
        )
        for channel in channels
    ]
    Delivery.objects.bulk_create(rows)
    return len(rows)
