"""Checks of the application, its database, Redis, worker and beat, and of the machine as the application uses it."""

from __future__ import annotations

import time
from pathlib import Path

import redis
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from deploy.doctor import findings, machine
from deploy.doctor.findings import Finding, fault, ok, warning
from deploy.language import gettext as _
from left4me.core.redis.client import client
from left4me.core.web import processes
from left4me.site import integrity, pulse, sealed_texts
from servers.gamehost.game import NoVersion
from servers.gamehost.sandbox import landlock
from servers.hosts import this_host
from servers.models import Host, Server
from servers.state import copies

_ABI_WITH_NETWORK = 4
_MOST_NAMED = 5


def examine() -> list[Finding]:
    """Run every check."""
    root, game = settings.LEFT4ME_ROOT, settings.LEFT4ME_GAME
    return findings.examine(
        {
            "python": machine.python,
            "loopback": machine.loopback,
            "database": database,
            "secrets": stored_secrets,
            "keys of hosts": keys_of_hosts,
            "copies": copies_of_hosts,
            "redis": broker,
            "web": web,
            "disk": lambda: machine.disk(root, game=game),
            "overlayfs": lambda: machine.overlayfs(root),
            "fuse-overlayfs": machine.fuse_overlayfs,
            "archives": machine.archives,
            "32-bit libraries": lambda: machine.libraries_32_bit(game=game),
            "game libraries": lambda: machine.game_libraries(_tree(), game=game),
            "game sandbox": sandbox,
            "steamcmd": lambda: machine.steamcmd(root, game=game),
            "ports": lambda: machine.ports(settings.LEFT4ME_PORTS, in_use_by_us=_ports_of_servers()),
        }
    )


def database() -> Finding:
    """Whether the database answers and is at this release."""
    try:
        executor = MigrationExecutor(connection)
        pending = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except (DatabaseError, OSError) as error:
        return fault(
            "database",
            _("not reachable: %(error)s") % {"error": error},
            _("Check DATABASE_URL, and that the database server is running."),
        )
    if pending:
        return fault(
            "database",
            _("%(count)s migrations are not applied") % {"count": len(pending)},
            _("Start bin/up, or run `manage.py migrate`."),
        )
    if damage := integrity.damage():
        what, _dot, cure = damage.partition(". ")
        return fault("database", what, cure)
    return ok("database", _("%(vendor)s, migrations applied") % {"vendor": connection.vendor})


def stored_secrets() -> Finding:
    """Whether the secrets in the database can be decrypted: a server with an unreadable password does not start."""
    if not (unreadable := sealed_texts.unreadable()):
        return ok("secrets", _("stored secrets can be decrypted"))
    names = ", ".join(unreadable[:_MOST_NAMED]) + (" …" if len(unreadable) > _MOST_NAMED else "")
    if settings.LEFT4ME_SEALING_KEY:
        cure = _(
            "The web has another key, and this host could not ask for it: see the journal of left4me-worker. If its "
            "token was revoked, run `left4mectl host rekey` for this host on the web, and `left4mectl host join` here."
        )
    else:
        cure = _(
            "If the key was changed, set the one before as LEFT4ME_OLD_SECRET_KEY and run `manage.py "
            "reseal_secrets`. Otherwise enter these secrets again: a new RCON password on the page of the "
            "server."
        )
    return fault("secrets", _("encrypted with another key: %(names)s") % {"names": names}, cure)


def keys_of_hosts() -> list[Finding]:
    """Whether only the web has its key: releases before gave it to every host."""
    hosts = list(Host.objects.filter(knows_web_key=True).order_by("name"))
    if settings.LEFT4ME_SEALING_KEY or not hosts:
        return []
    names = ", ".join(host.name for host in hosts)
    if waiting := [host.name for host in hosts if not host.key_number]:
        cure = _("Run `left4mectl upgrade` on these hosts, so that each gets a key of its own: %(names)s.") % {
            "names": ", ".join(waiting)
        }
    else:
        cure = _("Run `left4mectl keys rotate`: nothing is encrypted with the old key then, except in older backups.")
    return [
        warning(
            "keys of hosts",
            _("these hosts were given the key of all stored secrets: %(names)s") % {"names": names},
            cure,
        )
    ]


def copies_of_hosts() -> list[Finding]:
    """Whether the servers of worker hosts were copied to this machine lately."""
    hosts = list(Host.objects.order_by("name"))
    if settings.LEFT4ME_WEB_URL or len(hosts) < 2:
        return []
    late = copies.late_servers(hosts, now=timezone.now())
    if not late:
        return [ok("copies", _("the servers of other hosts were copied within the last two days"))]
    cure = _("The page of the host says why. When the cause is mended, run `left4mectl manage copy_servers %(name)s`.")
    return [
        warning(
            "copies",
            _("no copy within the last two days of servers of %(host)s: %(names)s")
            % {"host": host.name, "names": ", ".join(late[host.pk][:_MOST_NAMED])},
            cure % {"name": host.name},
        )
        for host in hosts
        if host.pk in late
    ]


def broker() -> list[Finding]:
    """Whether Redis answers, its clock, and through Redis whether worker and beat run."""
    try:
        if settings.LEFT4ME_WEB_URL:
            # A worker host reaches its own keys only. Redis and the web's pulse are examined where the web runs.
            client().ping()
            return [ok("redis", _("responds; worker hosts can't check it further"))]
        version = client().info("server").get("redis_version", "?")
        seconds, micros = client().time()
        # In a container, units may see another boot id than this command, because they have a /proc of their own.
        heart = pulse.read(of_any_boot=True)
    except redis.RedisError as error:
        cure = _("Start bin/up, which runs Redis, or set REDIS_URL to a running server.")
        return [
            fault(
                "redis",
                _("%(address)s does not answer: %(error)s")
                % {"address": settings.REDIS_URL.split("@")[-1], "error": error},
                cure,
            )
        ]
    results = [
        ok("redis", _("version %(version)s") % {"version": version}),
        machine.clock(ours=time.time(), theirs=seconds + micros / 1e6, whose="Redis"),
    ]
    if heart.fault:
        results.append(
            warning(
                "worker and beat",
                heart.fault,
                _("Start bin/up, or run `systemctl start left4me-worker left4me-beat`."),
            )
        )
    else:
        results.append(ok("worker and beat", _("last pulse %(age).0f s ago") % {"age": heart.age or 0}))
    return results


def web() -> list[Finding]:
    """How many processes the web has, and whether PostgreSQL accepts all connections that they may open."""
    if settings.LEFT4ME_WEB_URL:
        return []
    number, threads = settings.LEFT4ME_WEB_PROCESSES, settings.LEFT4ME_WEB_THREADS
    if connection.vendor == "postgresql":
        pool = settings.DATABASES["default"]["OPTIONS"]["pool"]["max_size"]
        others = Host.objects.count()
        # The worker of each host has a pool, and so has what serves files to the others.
        most = pool * (others + (others > 1))
        most += pool if number == 1 else number * processes.most_database_connections(threads)
        with connection.cursor() as cursor:
            setting = "current_setting('%s')::int"
            cursor.execute(f"SELECT {setting % 'max_connections'} - {setting % 'superuser_reserved_connections'}")
            accepted = cursor.fetchone()[0]
        if most > accepted:
            return [
                warning(
                    "web",
                    _("PostgreSQL accepts %(accepted)s connections, and %(most)s may be opened by web and workers")
                    % {"accepted": accepted, "most": most},
                    _("Raise max_connections of PostgreSQL and restart it, or set LEFT4ME_WEB_PROCESSES lower."),
                )
            ]
    return [
        ok(
            "web",
            _("processes: %(number)s, each with %(threads)s threads for pages")
            % {"number": number, "threads": threads},
        )
    ]


def sandbox() -> Finding:
    """Whether the kernel has what confines games beyond namespaces."""
    abi = landlock.version()
    if abi < _ABI_WITH_NETWORK:
        return warning(
            "game sandbox",
            _("this kernel can't restrict which ports a game uses"),
            _(
                "Use Linux 6.7 or newer with Landlock, for example from bookworm-backports. Servers also run "
                "without it."
            ),
        )
    return ok("game sandbox", _("Landlock %(abi)s restricts the ports of games") % {"abi": abi})


def _tree() -> Path | None:
    try:
        return this_host.games().current().path
    except NoVersion:
        return None


def _ports_of_servers() -> frozenset[int]:
    try:
        return frozenset(Server.objects.filter(host__name=settings.LEFT4ME_HOST).values_list("port", flat=True))
    except DatabaseError:
        return frozenset()
