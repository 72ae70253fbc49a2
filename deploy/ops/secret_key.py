"""Replacing LEFT4ME_SECRET_KEY, from which the key of all stored secrets is derived."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from deploy.language import gettext as _
from deploy.ops import application, environment
from deploy.ops.layout import Layout
from deploy.ops.machine import services
from deploy.ops.plan import CannotGoOn

KEY: Final = "LEFT4ME_SECRET_KEY"
OLD_KEY: Final = "LEFT4ME_OLD_SECRET_KEY"


@dataclass(frozen=True)
class Rotated:
    """What a rotation did."""

    resealed: int
    unreadable: list[str]  # secrets that no known key opens; they have to be set again
    worker_hosts: list[str]  # these have the old key, until they are upgraded


def rotate(layout: Layout, *, forget_old: bool, say: Callable[[str], None]) -> Rotated:
    """Replace the secret key and encrypt all stored secrets with the new one. Games keep running.

    The keys of worker hosts are derived from it, and change too: each host asks for its new one by itself.

    The old key stays readable, for what it has signed, until the next rotation; with `forget_old` it does not. Can be
    run again after an interruption. Raises CannotGoOn, CommandError.
    """
    present = environment.read(layout).get(KEY, "")
    if not present or present not in layout.secrets_file.read_text():
        raise CannotGoOn(
            _("%(key)s is not in %(secrets_file)s. Move it there first.")
            % {"key": KEY, "secrets_file": layout.secrets_file}
        )
    if environment.read(layout).get(OLD_KEY):
        # Whatever an interrupted rotation has left encrypted with the key before is read for the last time.
        _reseal(layout)
    say(_("writing a new key; the old one stays readable"))
    _write(layout, {KEY: secrets.token_urlsafe(48), OLD_KEY: present})
    say(_("encrypting stored secrets with the new key"))
    rotated = _reseal(layout, "--new-key")
    if forget_old and rotated.unreadable:
        raise CannotGoOn(
            _(
                "The old key is not forgotten, because some secrets could not be encrypted with the new one: "
                "%(names)s. Set them again, then repeat this command."
            )
            % {"names": ", ".join(rotated.unreadable)}
        )
    if forget_old:
        say(_("forgetting the old key"))
        _write(layout, {OLD_KEY: ""})
    return rotated


def _reseal(layout: Layout, *options: str) -> Rotated:
    output = application.manage(layout, "reseal_secrets", "--json", *options).output
    counted = json.loads(output.strip().splitlines()[-1])
    hosts = application.manage(layout, "list_hosts", "--with-web-key").output.split()
    return Rotated(counted["resealed"], counted["unreadable"], hosts)


def _write(layout: Layout, values: dict[str, str]) -> None:
    text = environment.with_values(layout.secrets_file.read_text(), values)
    environment.write(layout.secrets_file, text, layout=layout)
    units = [services.WORKER, services.BEAT, services.WEB]
    # It gives worker hosts their keys.
    services.restart([*units, services.CONTENT] if services.CONTENT in services.of_this_machine(layout) else units)
