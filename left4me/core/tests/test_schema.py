"""A database of another release, told by its migrations."""

from __future__ import annotations

import pytest
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone

from left4me.core import schema

pytestmark = pytest.mark.django_db


def apply(app: str, *names: str) -> None:
    for name in names:
        MigrationRecorder.Migration.objects.create(app=app, name=name, applied=timezone.now())


def test_a_database_of_this_release_fits():
    assert schema.mismatch() == ""


def test_migrations_of_an_app_that_this_release_has_not_do_not_matter():
    apply("gone", "0001_initial")
    assert schema.mismatch() == ""


def test_a_newer_database_names_some_of_what_this_release_does_not_know():
    apply("auth", "9002_b", "9001_a", "9003_c")
    assert "of a newer release than this host (auth.9001_a, auth.9002_b, auth.9003_c). It takes" in schema.mismatch()
    apply("auth", "9004_d")
    assert "(auth.9001_a, auth.9002_b, auth.9003_c and 1 more). It takes" in schema.mismatch()


def test_an_older_database_names_what_it_lacks():
    MigrationRecorder.Migration.objects.filter(app="auth", name="0001_initial").delete()
    assert "of an older release than this host (auth.0001_initial missing)" in schema.mismatch()


def test_migrations_that_others_replace_are_known_and_not_needed(monkeypatch):
    class Loader:
        def __init__(self, connection: object) -> None:
            migration = type("M", (), {"replaces": []})
            squashed = type("M", (), {"replaces": [("a", "1"), ("a", "2")]})
            self.disk_migrations = {("a", "1"): migration, ("a", "12"): squashed, ("b", "1"): migration}

    monkeypatch.setattr(schema, "MigrationLoader", Loader)
    known, needed = schema.of_this_release.__wrapped__()
    assert known == {("a", "1"), ("a", "2"), ("a", "12"), ("b", "1")}
    assert needed == {("a", "12"), ("b", "1")}
