import os
from pathlib import Path

from django.db import connection
from django.db.migrations.loader import MigrationLoader


def test_tests_have_a_data_directory_of_their_own(settings):
    assert Path(os.environ["LEFT4ME_ROOT"]) == settings.LEFT4ME_ROOT
    assert "left4me-test-" in str(settings.LEFT4ME_ROOT)


def test_the_test_database_has_every_migration(db):
    loader = MigrationLoader(connection)
    assert set(loader.applied_migrations) == set(loader.disk_migrations)
