"""The record is only added to, by code and by hand."""

from datetime import timedelta
from importlib import import_module

import pytest
from django.db import DatabaseError, connection, transaction
from django.test import RequestFactory
from django.utils import timezone

from left4me.audit import record, tasks
from left4me.audit.models import AuditEntry, OnlyAdded

LONG_AGO = timedelta(days=366)


@pytest.fixture
def entry(cast):
    return record.write(action="server.start", by=cast.owner, target="server:12", port=27015)


def refused(sql: str) -> bool:
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(sql)
    except DatabaseError:
        return True
    return False


@pytest.fixture
def _guarded(db):
    """What other tests do without on SQLite (see left4me.testing.audit_rows); rolled back with the test."""
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute(import_module("left4me.audit.migrations.0003_only_added")._SQLITE["audit_entries_stay"])


def test_an_entry_says_who_did_what_from_where(cast):
    request = RequestFactory().get("/", REMOTE_ADDR="::ffff:192.0.2.1")
    entry = record.write(action="server.start", by=cast.owner, target="server:12", request=request, port=27015)
    entry.refresh_from_db()
    assert (entry.actor, entry.action, entry.target) == ("anna", "server.start", "server:12")
    assert (entry.address, entry.details) == ("192.0.2.1", {"port": 27015})


def test_the_system_acts_under_its_own_name(db):
    assert record.write(action="workshop.refresh", by=None).actor == "system"


def test_a_request_without_an_address_is_recorded(db):
    assert record.write(action="x.y", by=None, request=RequestFactory().get("/", REMOTE_ADDR="")).address is None


def test_code_cannot_change_or_remove_an_entry(entry):
    for attempt in (entry.save, entry.delete, AuditEntry.objects.all().delete, AuditEntry.objects.update):
        with pytest.raises(OnlyAdded):
            attempt()


@pytest.mark.usefixtures("_guarded")
def test_the_database_refuses_to_change_an_entry(entry):
    assert refused("UPDATE audit_auditentry SET actor = 'stan'")
    assert refused("UPDATE audit_auditentry SET user_id = NULL, action = 'server.stop'")


@pytest.mark.usefixtures("_guarded")
def test_the_database_refuses_to_remove_a_young_entry(entry):
    assert refused("DELETE FROM audit_auditentry")
    assert AuditEntry.objects.count() == 1


@pytest.mark.usefixtures("_guarded")
def test_the_record_outlives_the_account(cast, entry):
    cast.owner.delete()
    entry.refresh_from_db()
    assert (entry.user, entry.actor) == (None, "anna")


@pytest.mark.usefixtures("_guarded")
def test_what_is_older_than_a_year_goes_and_the_rest_stays(entry):
    AuditEntry(actor="old", action="x.y", created_at=timezone.now() - LONG_AGO).save()
    for _ in range(2):
        tasks.prune()
        assert [row.actor for row in AuditEntry.objects.all()] == ["anna"]
