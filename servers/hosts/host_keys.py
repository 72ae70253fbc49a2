"""The key of each host, with which the passwords of its servers are encrypted, and no others."""

from __future__ import annotations

from collections.abc import Iterator

from django.db import transaction

from left4me.core import secrets
from servers.models import DeletedServer, Host, Server


@transaction.atomic
def replace_key(host: Host) -> str:
    """Give the host a new key, and encrypt with it what the host must read. Returns the key."""
    locked = Host.objects.select_for_update(of=("self",)).get(pk=host.pk)
    Host.objects.filter(pk=host.pk).update(key_number=locked.key_number + 1)
    host.key_number = locked.key_number + 1
    reseal(host)
    return secrets.key_named(host.key_name)


@transaction.atomic
def present_key(host: Host) -> str:
    """The key that the host asks for: its first one if it had the web's, as with older releases.

    Encrypts with it what was encrypted with another one, for example while the key was replaced.
    """
    locked = Host.objects.select_for_update(of=("self",)).get(pk=host.pk)
    if not locked.key_number:
        return replace_key(locked)
    reseal(locked)
    return secrets.key_named(locked.key_name)


def reseal(host: Host) -> int:
    """Encrypt the secrets of the host's servers with its present key; returns how many were not."""
    return sum(_resealed(host))


def _resealed(host: Host) -> Iterator[int]:
    for server in Server.objects.filter(host=host).iterator():
        before = {
            "sealed_rcon_password": server.sealed_rcon_password,
            "applied_sealed_rcon_password": server.applied_sealed_rcon_password,
        }
        if server.seal_for(host):
            after = {name: getattr(server, name) for name in before}
            # A password that was changed meanwhile is encrypted with the present key already.
            changed = sum(before[name] != after[name] for name in before)
            yield Server.objects.filter(pk=server.pk, **before).update(**after) * changed
    for deleted in DeletedServer.objects.filter(host=host).iterator():
        text = deleted.sealed_rcon_password
        try:
            resealed = secrets.resealed(text, key_name=host.key_name)
        except secrets.Unreadable:
            continue
        if resealed != text:
            same = DeletedServer.objects.filter(pk=deleted.pk, sealed_rcon_password=text)
            yield same.update(sealed_rcon_password=resealed)
