import os
from pathlib import Path

import pytest
from django.db import connection
from django.db.migrations.loader import MigrationLoader

from accounts.models import User


def test_tests_have_a_data_directory_of_their_own(settings):
    assert Path(os.environ["LEFT4ME_ROOT"]) == settings.LEFT4ME_ROOT
    assert "left4me-test-" in str(settings.LEFT4ME_ROOT)


def test_the_test_database_has_every_migration(db):
    loader = MigrationLoader(connection)
    assert set(loader.applied_migrations) == set(loader.disk_migrations)


@pytest.mark.django_db
def test_a_test_that_asks_for_the_database_is_marked_so(request):
    assert request.node.get_closest_marker("database")


def test_a_fixture_that_asks_for_the_database_marks_its_test(request, cast):
    assert request.node.get_closest_marker("database")


def test_a_test_without_the_database_is_not_marked_and_gets_none(request):
    assert request.node.get_closest_marker("database") is None
    with pytest.raises(RuntimeError, match="Database access not allowed"):
        User.objects.count()
