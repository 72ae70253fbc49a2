"""Backups of servers that move to another host."""

from __future__ import annotations

import pytest
from django.utils import timezone

from left4me.backups import operations
from left4me.backups.models import Backup
from left4me.backups.tests.factories import make_backup
from left4me.testing.cast import Cast
from servers import tasks
from servers.actions import moves
from servers.tests.factories import make_server
from servers.tests.far_web import Pair, far_web, pair_of_hosts, port_of_web, process_of_web, worker_host  # noqa: F401 -- fixtures

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("redis_server")]


def test_they_move_with_their_server(pair: Pair, cast: Cast):
    server = make_server(cast.owner, host=pair.two, actual_state="stopped", actual_state_at=timezone.now())
    backup = make_backup(server, host="two")
    with pair.on("two"):
        backup.archive.parent.mkdir(parents=True)
        backup.archive.write_bytes(b"archive")
        (backup.archive.parent / f"{backup.pk}.json.gz").write_bytes(b"list")
    moves.request_move(server=server, target=pair.local, by=cast.owner)
    pair.drain("two")
    assert Backup.objects.get().host == "two"
    assert pair.drain("local").state == "succeeded"
    assert Backup.objects.get().host == "local"
    with pair.on("two"):
        tasks.drop_moved()
        assert not backup.archive.parent.exists()
    with pair.on("local"):
        assert operations.remove_orphans() == 0
        assert backup.archive.read_bytes() == b"archive"
