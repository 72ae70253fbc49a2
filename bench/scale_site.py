"""The rows of bench/scale: people with alerts, and hosts whose servers are theirs, each with a database role."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import cycle, islice
from typing import TYPE_CHECKING

from bench.load_site import cookie_of

if TYPE_CHECKING:
    from servers.models import Server

# Of all people. They see every server, so they hear of each that changes.
ONE_ADMIN_IN = 40
ONE_CHANNEL_IN = 10
ONE_ROTATION_IN = 10
_ROTATION = [{"kind": "campaign", "map": "c1m1_hotel"}, {"kind": "campaign", "map": "c2m1_highway"}]


@dataclass(frozen=True)
class HostOfServers:
    """What a simulated host has to know of itself."""

    name: str
    server_ids: list[int]


@dataclass(frozen=True)
class Visitor:
    """Who has the page of which server open."""

    cookie: str
    server_id: int


class Site:
    """Django has to be set up before it is made, with PostgreSQL."""

    def __init__(self, *, people: int, alerts_to: str) -> None:
        from django.db import connection

        from accounts.models import User
        from left4me.alerts.models import Channel
        from left4me.alerts.tests.factories import make_channel
        from left4me.site import host_rights
        from servers.models import Blueprint

        self._people = [
            User.objects.create_user(f"person{number}", is_admin=number % ONE_ADMIN_IN == 0)
            for number in range(people)
        ]
        self._blueprints = {
            person.pk: Blueprint.objects.create(owner=person, name=f"blueprint {person.pk}") for person in self._people
        }
        for person in self._people[::ONE_CHANNEL_IN]:
            make_channel(person, address=alerts_to, kind=Channel.Kind.WEBHOOK, everything=person.is_admin)
        with connection.cursor() as cursor:
            cursor.execute(f'CREATE ROLE "{host_rights.ROLE}" NOLOGIN')
        host_rights.apply(connection)
        self._owners = cycle(self._people)
        self._servers: list[Server] = []
        self.hosts = 0
        self._cookies = [cookie_of(person) for person in self._people]

    def add_host(self, servers: int) -> HostOfServers:
        """Add a host on which so many servers run, owned by everybody in turn."""
        from django.db import connection
        from django.utils import timezone

        from left4me.core.version import VERSION
        from left4me.site import host_rights, host_rows
        from livestate.rotation.models import Rotation
        from servers.models import Host, Server

        self.hosts += 1
        now = timezone.now()
        host = Host.objects.create(
            name=f"scale{self.hosts}", last_seen_at=now, version=VERSION, last_port=65535, game_version="1"
        )
        with connection.cursor() as cursor:
            role = f"{host_rows.ROLE_PREFIX}{host.name}"
            cursor.execute(f'CREATE ROLE "{role}" LOGIN IN ROLE "{host_rights.ROLE}"')
        # Sealed once: what a password costs is not what is measured, and a host keeps them decrypted.
        sealed = Server(rcon_password="bench", host=host).sealed_rcon_password
        rows = Server.objects.bulk_create(
            Server(
                owner=owner,
                host=host,
                blueprint=self._blueprints[owner.pk],
                name=f"{host.name} {number}",
                port=27015 + number,
                sealed_rcon_password=sealed,
                desired_state=Server.Desired.RUNNING,
                actual_state=Server.State.RUNNING,
                actual_state_at=now,
                started_at=now,
            )
            for number, owner in enumerate(islice(self._owners, servers))
        )
        Rotation.objects.bulk_create(
            Rotation(server=server, is_on=True, entries=_ROTATION) for server in rows[::ONE_ROTATION_IN]
        )
        self._servers += rows
        return HostOfServers(host.name, [row.pk for row in rows])

    @property
    def count(self) -> int:
        return len(self._servers)

    def visitors(self) -> list[Visitor]:
        """Everybody with the page of a server of their own, spread over the hosts."""
        of_person: dict[int, list[int]] = {}
        for server in self._servers:
            of_person.setdefault(server.owner_id, []).append(server.pk)
        return [
            Visitor(cookie, own[number % len(own)])
            for number, (person, cookie) in enumerate(zip(self._people, self._cookies, strict=True))
            if (own := of_person.get(person.pk))
        ]
