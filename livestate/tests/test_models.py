from __future__ import annotations

import pytest
from django.core.management import call_command

pytestmark = pytest.mark.django_db


def test_the_tables_of_the_migrations_are_those_of_the_models():
    call_command("makemigrations", "livestate", check_changes=True, dry_run=True, verbosity=0)
