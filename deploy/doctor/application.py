"""Checks of the application, its database, Redis, worker and beat, and of the machine as the application uses it."""

from __future__ import annotations

import time
from pathlib import Path

import redis
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from deploy.doctor import findings, machine
from deploy.doctor.findings import Finding, fault, ok, warning
from left4me.core.redis.client import client
from left4me.site import integrity, pulse, sealed_texts
from servers.gamehost.game import NoVersion
from servers.gamehost.sandbox import landlock
from servers.hosts import this_host
from servers.models import Server

_ABI_WITH_NETWORK = 4
_MOST_NAMED = 5


def examine() -> list[Finding]:
    """Run every check."""
    root, game = settings.LEFT4ME_ROOT, settings.LEFT4ME_GAME
    return findings.examine(
        {
            "python": machine.python,
            "database": database,
            "secrets": stored_secrets,
            "redis": broker,
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
            "database", f"not reachable: {error}", "Check DATABASE_URL, and that the database server is running."
        )
    if pending:
        return fault(
            "database", f"{len(pending)} migrations are not applied", "Start bin/up, or run `manage.py migrate`."
        )
    if damage := integrity.damage():
        what, _dot, cure = damage.partition(". ")
        return fault("database", what, cure)
    return ok("database", f"{connection.vendor}, migrations applied")


def stored_secrets() -> Finding:
    """Whether the secrets in the database can be decrypted: a server with an unreadable password does not start."""
    if not (unreadable := sealed_texts.unreadable()):
        return ok("secrets", "stored secrets can be decrypted")
    names = ", ".join(unreadable[:_MOST_NAMED]) + (" …" if len(unreadable) > _MOST_NAMED else "")
    if settings.LEFT4ME_SEALING_KEY:
        cure = "The web has another key. Run `left4mectl host add` for this host there, and let it join again."
    else:
        cure = (
            "If the key was changed, set the one before as LEFT4ME_OLD_SECRET_KEY and run `manage.py reseal_secrets`. "
            "Otherwise enter these secrets again: a new RCON password on the page of the server."
        )
    return fault("secrets", f"encrypted with another key: {names}", cure)


def broker() -> list[Finding]:
    """Whether Redis answers, its clock, and through Redis whether worker and beat run."""
    try:
        if settings.LEFT4ME_WEB_URL:
            # A worker host reaches its own keys only. Redis and the web's pulse are examined where the web runs.
            client().ping()
            return [ok("redis", "responds; worker hosts can't check it further")]
        version = client().info("server").get("redis_version", "?")
        seconds, micros = client().time()
        heart = pulse.read()
    except redis.RedisError as error:
        cure = "Start bin/up, which runs Redis, or set REDIS_URL to a running server."
        return [fault("redis", f"{settings.REDIS_URL.split('@')[-1]} does not answer: {error}", cure)]
    results = [
        ok("redis", f"version {version}"),
        machine.clock(ours=time.time(), theirs=seconds + micros / 1e6, whose="Redis"),
    ]
    if heart.fault:
        results.append(
            warning(
                "worker and beat", heart.fault, "Start bin/up, or run `systemctl start left4me-worker left4me-beat`."
            )
        )
    else:
        results.append(ok("worker and beat", f"last pulse {heart.age or 0:.0f} s ago"))
    return results


def sandbox() -> Finding:
    """Whether the kernel has what confines games beyond namespaces."""
    abi = landlock.version()
    if abi < _ABI_WITH_NETWORK:
        return warning(
            "game sandbox",
            "this kernel can't restrict which ports a game uses",
            "Use Linux 6.7 or newer with Landlock, for example from bookworm-backports. Servers also run without it.",
        )
    return ok("game sandbox", f"Landlock {abi} restricts the ports of games")


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
