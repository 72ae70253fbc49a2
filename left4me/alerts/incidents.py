"""What other apps say: something is wrong, something is well again. Who is told of it, and once, is decided here.

Call these inside the transaction that writes what was observed: the alert is then written exactly when that is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.utils.translation import gettext as _

from left4me.alerts.events import AGAIN_AFTER, ENDS_A_ROUND, FOR_ADMINS, Event
from left4me.alerts.models import Channel, Delivery, Incident

# What comes up and falls again within this time was never well.
SETTLED_AFTER = timedelta(minutes=2)

_LONGEST_TITLE, _LONGEST_TEXT = 200, 1000


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """One sign that something is wrong. `key` names the incident, `subject` the thing, `owners` whose it is."""

    event: Event
    key: str
    subject: str
    title: str
    text: str = ""
    path: str = ""
    owners: Collection[int] = ()
    # What is said once it is well again; nothing when left out.
    recovered: Event | None = None
    recovered_title: str = ""


def trouble(sign: Trouble, *, now: datetime) -> int:
    """Note that something is wrong and tell of it, unless that was told already; return how many channels are told."""
    with transaction.atomic():
        incident = _incident(sign, now)
        is_first = sign.event not in incident.told
        is_due_again = not is_first and _is_due_again(sign.event, incident, now)
        if is_first:
            incident.told = [*incident.told, sign.event.value]
        elif is_due_again:
            incident.opened_at = now
        incident.count, incident.last_at, incident.well_since = incident.count + 1, now, None
        incident.save(update_fields=["told", "opened_at", "count", "last_at", "well_since"])
        if not is_first and not is_due_again:
            return 0
        channels = [each for each in _listening(sign) if sign.event in each.events]
        return _deliver(channels, incident, event=sign.event, title=sign.title, text=sign.text, now=now)


def well(key: str, *, now: datetime) -> None:
    """Note that what was wrong seems mended; `settle` says so when it stays that way."""
    incident = Incident.objects.filter(key=key, closed_at=None).first()
    if incident is None or incident.well_since is not None:
        return
    incident.well_since = now
    if set(incident.told).intersection(ENDS_A_ROUND):
        incident.told = []
    incident.save(update_fields=["well_since", "told"])


def over(keys: Iterable[str], *, now: datetime) -> None:
    """End incidents without a word: somebody has seen to it, or the thing is gone."""
    Incident.objects.filter(key__in=list(keys), closed_at=None).update(closed_at=now)


def settle(*, now: datetime) -> int:
    """End the incidents that have been well for a while and tell those who heard of them; return how many ended."""
    ended = 0
    for incident in Incident.objects.filter(closed_at=None, well_since__lte=now - SETTLED_AFTER):
        with transaction.atomic():
            # It may have gone wrong again since it was read.
            still_well = Incident.objects.filter(pk=incident.pk, closed_at=None, well_since=incident.well_since)
            if not still_well.update(closed_at=now):
                continue
            ended += 1
            if incident.recovered_event:
                _tell_of_recovery(incident, now)
    return ended


def _incident(sign: Trouble, now: datetime) -> Incident:
    """The open incident, held against others who notice the same."""
    incident, _created = Incident.objects.get_or_create(
        key=sign.key,
        closed_at=None,
        defaults={
            "subject": sign.subject,
            "opened_at": now,
            "last_at": now,
            "recovered_event": sign.recovered or "",
            "recovered_title": sign.recovered_title[:_LONGEST_TITLE],
            "path": sign.path,
        },
    )
    return Incident.objects.select_for_update().get(pk=incident.pk)


def _is_due_again(event: Event, incident: Incident, now: datetime) -> bool:
    pause = AGAIN_AFTER.get(event)
    return pause is not None and now - incident.opened_at >= pause


def _listening(sign: Trouble) -> list[Channel]:
    if sign.event in FOR_ADMINS:
        concerned = Q(user__is_admin=True)
    else:
        concerned = Q(user_id__in=sign.owners) | Q(everything=True, user__is_admin=True)
    channels = Channel.objects.enabled().filter(concerned)
    if sign.event == Event.JOB_FAILED:
        # Who was told that this server gave up needs not hear that its start therefore failed.
        known = Delivery.objects.filter(
            channel=OuterRef("pk"),
            event=Event.SERVER_GAVE_UP,
            incident__subject=sign.subject,
            incident__closed_at=None,
        )
        channels = channels.filter(~Exists(known))
    # Other hosts' workers come here too, and may not read where a channel leads.
    return list(channels.only("events"))


def _tell_of_recovery(incident: Incident, now: datetime) -> None:
    heard = incident.deliveries.values("channel_id")
    channels = [
        each for each in Channel.objects.enabled().filter(pk__in=heard) if incident.recovered_event in each.events
    ]
    took = int((now - incident.opened_at).total_seconds() // 60)
    text = _("It took %(minutes)d minutes.") % {"minutes": took}
    event = Event(incident.recovered_event)
    _deliver(channels, incident, event=event, title=incident.recovered_title, text=text, now=now)


def _deliver(
    channels: list[Channel], incident: Incident, *, event: Event, title: str, text: str, now: datetime
) -> int:
    rows = [
        Delivery(
            channel=channel,
            incident=incident,
            event=event,
            subject=incident.subject,
            title=title[:_LONGEST_TITLE],
            text=text[:_LONGEST_TEXT],
            path=incident.path,
            created_at=now,
        )
        for channel in channels
    ]
    Delivery.objects.bulk_create(rows)
    return len(rows)
