"""Checks of what left4me talks to: database, Redis, worker and beat."""

from __future__ import annotations

import time

import redis
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from deploy.doctor import machine
from deploy.doctor.findings import Finding, fault, ok, warning
from left4me.core.redis.client import client
from left4me.site import pulse


def database() -> Finding:
    try:
        executor = MigrationExecutor(connection)
        pending = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except (DatabaseError, OSError) as error:
        return fault("database", f"cannot be reached: {error}", "Check DATABASE_URL and that the server runs.")
    if pending:
        return fault("database", f"{len(pending)} migrations are missing", "Start bin/up, or `manage.py migrate`.")
    return ok("database", f"{connection.vendor}, at this version")


def broker() -> list[Finding]:
    """Redis, its clock, and through it worker and beat."""
    try:
        version = client().info("server").get("redis_version", "?")
        seconds, micros = client().time()
        heart = pulse.read()
    except redis.RedisError as error:
        cure = "Start bin/up, which runs one, or point REDIS_URL at a server that runs."
        return [fault("redis", f"{settings.REDIS_URL.split('@')[-1]} does not answer: {error}", cure)]
    findings = [
        ok("redis", f"version {version}"),
        machine.clock(ours=time.time(), theirs=seconds + micros / 1e6, whose="Redis"),
    ]
    if heart.fault:
        findings.append(
            warning("worker and beat", heart.fault, "Start bin/up, or the units left4me-worker and -beat.")
        )
    else:
        findings.append(ok("worker and beat", f"last pulse {heart.age or 0:.0f} s ago"))
    return findings
