"""Damage of the SQLite database: found at the start of the worker and every night, before backups consist of it.

PostgreSQL checks its pages itself and refuses to read a damaged one.
"""

from __future__ import annotations

import logging
import threading

import redis
from celery import shared_task, signals
from django.db import DatabaseError, connection, connections
from django.utils import timezone
from django.utils.translation import gettext as _

from left4me.alerts import incidents
from left4me.alerts.events import Event
from left4me.alerts.incidents import ProblemReport
from left4me.core import outages
from left4me.core.redis import keys
from left4me.core.redis.client import client

log = logging.getLogger(__name__)

_CURE = "Stop left4me and restore the last backup: `left4mectl restore FILE`."
_LONGEST = 300


def damage() -> str:
    """What SQLite finds wrong with the database, and the cure; empty if nothing. Reads the whole file."""
    if connection.vendor != "sqlite":
        return ""
    try:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA quick_check(1)")
            verdict = str(cursor.fetchone()[0])
    except DatabaseError as error:
        # A full disk or a lock is no damage, and is reported elsewhere.
        if outages.of(error) is not outages.DAMAGED:
            return ""
        verdict = str(error)
    return "" if verdict == "ok" else f"The database is damaged ({verdict[:_LONGEST]}). {_CURE}"


@shared_task(name="left4me.check_database", ignore_result=True)
def check() -> None:
    """Look for damage; keep what is found for `/ready`, and alert the admins."""
    if connection.vendor != "sqlite":
        return
    found = damage()
    try:
        if found:
            client().set(keys.DATABASE_DAMAGE, found)
        else:
            client().delete(keys.DATABASE_DAMAGE)
    except redis.RedisError as error:
        log.warning("The result of the check of the database could not be kept: %s", error)
    if not found:
        return
    log.critical("%s", found)
    try:
        incidents.report(
            ProblemReport(
                event=Event.DATABASE_DAMAGED,
                key="database",
                subject="database",
                title=_("The database is damaged"),
                text=found,
            ),
            now=timezone.now(),
        )
    except DatabaseError as error:
        # The part that holds alerts may be damaged too.
        log.critical("Nobody could be alerted: %s", error)


@signals.worker_ready.connect
def _check_at_start(**_: object) -> None:
    """Look for damage beside the first jobs: a large database takes a while to read."""

    def look() -> None:
        try:
            check()
        finally:
            connections.close_all()

    threading.Thread(target=look, name="check-database", daemon=True).start()


def last_damage() -> str:
    """What the last check found; empty if nothing. Raises redis.RedisError."""
    found = client().get(keys.DATABASE_DAMAGE)
    return found.decode() if isinstance(found, bytes) else ""
