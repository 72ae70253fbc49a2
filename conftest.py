"""Plugins and order of all tests. `left4me.testing.environment` is loaded before it and makes the data directory."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
import pytest_django
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

pytest_plugins = [
    "left4me.testing.audit_rows",
    "left4me.testing.browser",
    "left4me.testing.caller",
    "left4me.testing.cast",
    "left4me.testing.costs",
    "left4me.testing.database",
    "left4me.testing.folders",
    "left4me.tests.live_site",
    "left4me.testing.needs",
    "left4me.testing.passwords",
    "left4me.testing.receiver",
    "left4me.testing.redis_server",
    "left4me.testing.static_files",
    "left4me.testing.whole",
    "left4me.testing.testhost",
]

# Tests that run one after the other in one process. The machines are three groups that take about as long, and each
# module has one machine. The role of hosts belongs to the whole PostgreSQL server, not to a database. The tests of the
# check share copies of the checkout, and those of permissions the document of the API, which takes a second to make.
GROUPS = {
    "check": ["test_check.py"],
    "permissions": ["test_permissions.py"],
    "role-of-hosts": ["test_host_rights.py", "test_host_rows.py", "test_host_tasks.py"],
    "machines-1": ["left_as_it_was[sqlite", "without_git_and_refuses", "test_image.py"],
    "machines-2": ["left_as_it_was[postgres", "moves_to_postgresql", "test_install_on_a_machine.py"],
    "machines-3": ["test_two_hosts.py", "test_docs.py::test_every_command"],
}


def pytest_configure() -> None:
    """Look for no garbage before all tests are collected: they stay until the end, and there are many of them."""
    gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start the longest tests first. Started last, one process would run them while the others have nothing to do."""
    items.sort(key=lambda item: [item.get_closest_marker(name) is None for name in ("machine", "slow")])


class Distribution(LoadScopeScheduling):
    """Gives each test to the process that is free next, but keeps the tests of a group in one process.

    xdist's own `xdist_group` has no effect under pytest 9.2: xdist 3.8 writes the group to an attribute that is gone.
    """

    def _split_scope(self, nodeid: str) -> str:
        return next((group for group, parts in GROUPS.items() if any(part in nodeid for part in parts)), nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Distribution:
    return Distribution(config, log)


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: pytest_django.DjangoDbBlocker) -> Iterator[None]:
    """Create the test database. At the end, close every connection that would prevent its removal."""
    from django.db import connection

    if connection.vendor != "postgresql":
        yield
        return
    with django_db_blocker.unblock():
        _keep_rows_of_migrations()
    yield
    # Threads of services under test keep their connection until their process ends, as in production.
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def _keep_rows_of_migrations() -> None:
    """Restore what migrations created whenever a test with real transactions has emptied the database.

    Otherwise the default host and the templates are there or not, depending on which tests ran before.
    """
    from django.apps import apps
    from django.core import serializers
    from django.db.models.signals import post_migrate

    from servers.models import Host, StarterBlueprint

    created = serializers.serialize("json", [*Host.objects.all(), *StarterBlueprint.objects.all()])

    def restore(*, using: str, **_: object) -> None:
        for row in serializers.deserialize("json", created, using=using):
            row.save(using=using)

    # Emptying the database sends this signal, as a migration does.
    post_migrate.connect(restore, sender=apps.get_app_config("servers"), weak=False)
